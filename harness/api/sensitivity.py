"""Trains the rows that claims need again under each alternative of each assumption.

All variations are one plan, so that what they share with the table and with each other is trained once. Their runs stay
in the store: they are answers to "what if", and a table's own runs keep their place; the page is kept with the table's
run.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.api import SENSITIVITY_FORMATS
from harness.api.engine import Engine
from harness.api.labels import label_of
from harness.api.listener import Listener
from harness.api.outputs import choose_folder
from harness.api.plan import estimates_of
from harness.api.prepare import Prepared, prepare
from harness.api.speeds import known_speeds
from harness.api.stored import stored_measurements
from harness.api.tracking import table_key
from harness.errors import InputError, did_you_mean
from harness.formatting import counted
from harness.matrix import Assumption, Claim, Declaration, matrix_to_json
from harness.plan import Plan, Run

if TYPE_CHECKING:
    from harness.execute import Outcome, Slot
    from harness.report.sensitivity import Sensitivity, Variation

_UNFOLDED = ("What changes",)


@dataclass(frozen=True)
class Varied:
    """The rows that the claims need, under one alternative or as they are."""

    key: str
    value: Any
    prepared: Prepared
    """Its plan holds the needed rows alone."""
    unread: bool = False

    @property
    def mark(self) -> str:
        """The suffix that distinguishes its rows from those of the table."""
        return f" [{self.key.rpartition('.')[2]}={self.value}]" if self.key else ""


@dataclass(frozen=True)
class PreparedSensitivity:
    """All variations of a table, ready to run."""

    claims: tuple[Claim, ...]
    base: Varied
    variations: tuple[Varied, ...]
    formats: Sequence[str]
    """The formats to write the page in."""
    whole: bool
    """Whether these are all claims that compare rows, under all assumptions: what a table's heading may speak of."""

    @property
    def parts(self) -> tuple[Varied, ...]:
        """The table as it is, then every alternative."""
        return (self.base, *self.variations)

    @property
    def plan(self) -> Plan:
        """One plan of all variations: every stage once, parents first."""
        stages = {name: stage for one in self.parts for name, stage in one.prepared.plan.stages.items()}
        cached = frozenset[str]().union(*(one.prepared.plan.cached for one in self.parts))
        runs = tuple(
            Run(f"{run.row}{one.mark}", run.seed, run.stages) for one in self.parts for run in one.prepared.plan.runs
        )
        return Plan(stages, runs, cached, (), any(one.prepared.plan.assumed for one in self.parts))


def prepare_sensitivity(
    table: Path | Declaration,
    *,
    assumptions: Sequence[str] | None = None,
    claims: Sequence[str] | None = None,
    seeds: list[int] | None = None,
    overrides: Mapping[str, Any] | None = None,
    formats: Sequence[str] = SENSITIVITY_FORMATS,
    may_assume: bool = False,
    listener: Listener | None = None,
    **options: Any,
) -> PreparedSensitivity:
    """Reads a table and plans the rows that its claims need, as they are and under each alternative.

    Args:
        table: The table.
        assumptions: Settings whose alternatives are tried; None: all that declare some.
        claims: The texts of claims; None: all.
        seeds: Instead of the declared ones.
        overrides: What holds in every variation.
        formats: What is to be written of the page.
        may_assume: For plans alone; see ``prepare``.
        listener: Receives notes.
        options: ``profile``, ``data`` and ``store``, as for ``prepare``.

    Raises:
        InputError: If a name is not one of the table's, a format is none of ``SENSITIVITY_FORMATS``, or there is
            nothing to vary.
    """
    from harness.report import check_formats

    check_formats(formats, SENSITIVITY_FORMATS)
    given = {"seeds": seeds, "may_assume": may_assume, **options}
    first = prepare(table, overrides=overrides, listener=listener, **given)
    chosen = _claims(first, claims)
    cited = {one.method for one in first.matrix.cited}
    needed = list(dict.fromkeys(side for one in chosen for side in (one.better, one.than) if side not in cited))
    base = Varied("", None, _restricted(first, needed))
    variations = []
    for assumption in _assumptions(first, assumptions):
        for value in assumption.alternatives:
            if value == assumption.value:
                continue
            laid = {**(overrides or {}), assumption.key: value}
            try:
                prepared = _restricted(prepare(table, overrides=laid, **given), needed)
            except InputError as error:
                raise InputError(f"the alternative {value} of the assumption {assumption.key}: {error}") from error
            unread = prepared.plan.stages.keys() == base.prepared.plan.stages.keys()
            variations.append(Varied(assumption.key, value, prepared, unread))
    if not variations:
        raise InputError(f"{first.matrix.name}: no assumption has an alternative to its value here")
    return PreparedSensitivity(chosen, base, tuple(variations), tuple(formats), assumptions is None and claims is None)


def _claims(prepared: Prepared, wanted: Sequence[str] | None) -> tuple[Claim, ...]:
    declared = {one.text: one for one in prepared.matrix.claims}
    for text in wanted or ():
        if text not in declared:
            raise InputError(
                f'--claims: "{text}" is not a claim of {prepared.matrix.name}; {did_you_mean(text, declared)}'
            )
    sides = {run.row for run in prepared.plan.runs} | {one.method for one in prepared.matrix.cited}
    chosen = [one for one in prepared.matrix.claims if wanted is None or one.text in wanted]
    if found := [one for one in chosen if {one.better, one.than} <= sides]:
        return tuple(found)
    raise InputError(f"{prepared.matrix.name}: no claim compares rows that can be trained, so no verdict can change")


def _assumptions(prepared: Prepared, wanted: Sequence[str] | None) -> list[Assumption]:
    varied = {one.key: one for one in prepared.matrix.assumptions if one.alternatives}
    known = {one.key for one in prepared.matrix.assumptions}
    for key in wanted or ():
        if key in known - varied.keys():
            raise InputError(
                f"--assumptions: {key} declares no alternatives; add them to the recipe: alternatives: [...]"
            )
        if key not in varied:
            raise InputError(f'--assumptions: "{key}" is not an assumption here; {did_you_mean(key, varied)}')
    return [one for key, one in varied.items() if wanted is None or key in wanted]


def _restricted(prepared: Prepared, rows: Sequence[str]) -> Prepared:
    """The table with a plan of some rows alone."""
    plan, seeds = prepared.plan, prepared.matrix.seeds
    runs = [run for run in plan.runs if run.row in rows and run.seed in seeds]
    used = {name for run in runs for name in run.stages}
    stages = {name: stage for name, stage in plan.stages.items() if name in used}
    return replace(prepared, plan=Plan(stages, tuple(runs), plan.cached & used, (), plan.assumed))


def describe_sensitivity(prepared: PreparedSensitivity, slots: "Sequence[Slot]") -> dict[str, Any]:
    """Returns what a run would train, as plain data: for each variation, the stages that no earlier one trains."""
    plan = prepared.plan
    to_run = {stage.fingerprint: stage for stage in plan.to_run}
    seen: set[str] = set()
    lines = []
    for one in prepared.parts:
        own = [stage for name, stage in to_run.items() if name in one.prepared.plan.stages and name not in seen]
        seen |= {stage.fingerprint for stage in own}
        epochs = sum(stage.epochs for stage in own)
        line = {"assumption": one.key, "value": one.value, "unread": one.unread}
        lines.append({**line, "stages_to_run": len(own), "epochs_to_run": epochs})
    return {
        "table": prepared.base.prepared.matrix.name,
        "claims": [one.text for one in prepared.claims],
        "rows": list(dict.fromkeys(run.row for run in prepared.base.prepared.plan.runs)),
        "seeds": list(prepared.base.prepared.matrix.seeds),
        "variations": lines,
        "stages_to_run": len(to_run),
        "epochs_to_run": sum(stage.epochs for stage in to_run.values()),
        "estimates": estimates_of(plan, known_speeds(prepared.base.prepared.store), len(slots)),
    }


def run_sensitivity(
    prepared: PreparedSensitivity,
    engine: Engine,
    out: Path | None,
    listener: Listener | None = None,
) -> "tuple[Sensitivity, list[Path]]":
    """Trains what the variations still lack and writes ``TABLE-sensitivity`` in each format.

    The page is kept with the table's parent run, and what it says of all claims and assumptions is shown in the table's
    heading from then on. Called again, it resumes where it stopped.

    Raises:
        InputError: If the plan assumes a data set.
    """
    from harness.files import replace_text
    from harness.names import file_name
    from harness.report.page import page_of
    from harness.report.sensitivity import sensitivity_to_json, sensitivity_to_markdown

    listener = listener or Listener()
    plan, first = prepared.plan, prepared.base.prepared
    if plan.assumed:
        raise InputError(f"{first.matrix.dataset}: its files are not here, and a plan on its counts cannot be run")
    store, name = first.store, f"{first.matrix.name}-sensitivity"
    store.remember(label_of(name, first.matrix.profile, first.matrix.dataset), frozenset(plan.stages))
    recipes = [row.recipe for one in prepared.parts for row in one.prepared.matrix.rows]
    context = first.trainer.context(recipes, first.inputs, store.root / "cache")
    with engine.start(store, listener) as executor, listener.watch(plan, name) as watcher:
        outcomes = executor.execute(plan.to_execute, first.trainer.work, context, watcher)
    found = _found(prepared, outcomes)
    folder, message = choose_folder(out, name, store.root)
    if message:
        listener.note(message)
    folder.mkdir(parents=True, exist_ok=True)
    page = sensitivity_to_markdown(found)
    texts = {
        "md": page,
        "html": page_of(found.title, lambda _: page, (), _UNFOLDED),
        "json": json.dumps(sensitivity_to_json(found), indent=2, ensure_ascii=False) + "\n",
    }
    written = []
    for ending in dict.fromkeys(prepared.formats):
        written.append(folder / f"{file_name(name)}.{ending}")
        replace_text(written[-1], texts[ending])
    _record(prepared, found, written, listener)
    return found, written


def _record(prepared: PreparedSensitivity, found: "Sensitivity", written: Sequence[Path], listener: Listener) -> None:
    """Keeps the page with the table's parent run, and of a whole result what the table's heading says."""
    from harness.report.recorded import SENSITIVITY, recorded_sensitivity
    from harness.track import TrackerError, add_result, list_tables

    first = prepared.base.prepared
    try:
        key = table_key(first)
        entry = next((one for one in list_tables() if one.key == key), None)
        if entry is None:
            listener.note(f"the heading of {first.matrix.name} says nothing of this: `run` it, then this again")
        elif prepared.whole and found.whole:
            fact = recorded_sensitivity(matrix_to_json(first.matrix), found.summary)
            add_result(None, entry, SENSITIVITY, fact, written)
    except TrackerError as error:
        listener.note(f"not recorded with the table's run: {error}")


def _found(prepared: PreparedSensitivity, outcomes: "Mapping[str, Outcome]") -> "Sensitivity":
    from harness.report.provenance import comparability
    from harness.report.sensitivity import Sensitivity
    from harness.track import Snapshot

    first = prepared.base.prepared
    declared = matrix_to_json(first.matrix)
    made = {"synthetic": str(bool(first.inputs.made)).lower()}
    heading = f"profile {first.matrix.profile}" + (f" on {first.matrix.dataset}" if first.matrix.dataset else "")
    heading += f" ({first.inputs.made})" if first.inputs.made else ""
    return Sensitivity(
        table=first.matrix.name,
        title=first.matrix.title,
        heading=f"{heading} · {counted(len(first.matrix.seeds), 'seed')}",
        not_comparable=comparability(Snapshot("", first.matrix.name, declared, made, ())),
        measured=declared["measured"],
        base=_variation(prepared, prepared.base, outcomes),
        variations=tuple(_variation(prepared, one, outcomes) for one in prepared.variations),
    )


def _variation(prepared: PreparedSensitivity, one: Varied, outcomes: "Mapping[str, Outcome]") -> "Variation":
    """The claims judged by the results that the store holds."""
    from harness.report.claims import judge_claims
    from harness.report.sensitivity import Variation

    store, matrix, runs = one.prepared.store, one.prepared.matrix, one.prepared.plan.runs
    problems = []
    for run in runs:
        if not store.is_complete(run.evaluation):
            outcome = outcomes.get(run.evaluation)
            reason = " ".join(outcome.reason.split()) if outcome and outcome.reason else "no result"
            problems.append(f"row {run.row} seed {run.seed}: {reason}")
    measurements = stored_measurements(one.prepared, runs, dict.fromkeys(claim.metric for claim in prepared.claims))
    cited = {method.method: method.values for method in matrix.cited}
    judged = judge_claims([asdict(claim) for claim in prepared.claims], measurements, "", cited=cited)
    return Variation(one.key, one.value, judged, one.unread, tuple(problems))
