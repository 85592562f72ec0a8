"""A plan on the terminal: the readable form of what ``harness plan --json`` prints."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from harness.display.console import answers
from harness.formatting import counted

if TYPE_CHECKING:
    from rich.table import Table

Answer = Mapping[str, Any]

_MOST_LINES = 200
"""Of a table; drawing more takes longer than planning them."""
_TO_RUN = {"to run", "unknown"}
"""States of stages that may have to run."""
_FINGERPRINTS = 3
"""Shown of stages that differ in their seed alone; the others are left to ``--json``."""


def show_plan(answer: Answer, data: str) -> None:
    """Prints a plan: rows, stages, what is saved, what it costs, what is refused, which effects are identifiable.

    Args:
        answer: The plan as ``harness plan --json`` prints it.
        data: The data set and where it lies.
    """
    console = answers()
    console.print(" · ".join(filter(None, (answer["title"], f"profile {answer['profile']}", data))), soft_wrap=True)
    console.print(_rows_table(answer), _stages_table(answer))
    for line in (
        *_format_sharing(answer),
        *_format_estimates(answer),
        *_format_refusals(answer),
        *_format_identified(answer),
    ):
        console.print(line, soft_wrap=True)


def _rows_table(answer: Answer) -> "Table":
    known = [name for name in ("parameters", "multiply_adds") if any(name in row for row in answer["rows"])]
    right = tuple(name.replace("_", "-") for name in known)
    table = _table("Rows", left=("row", "factors", "seeds"), right=right)
    for row in answer["rows"][:_MOST_LINES]:
        seeds = _listed(run["seed"] for run in row["runs"])
        costs = (_scaled(row[name]) for name in known)
        table.add_row(f"{row['id']} {row['label']}".strip(), " ".join(row["factors"]), seeds, *costs)
    return _with_rest(table, len(answer["rows"]))


def _stages_table(answer: Answer) -> "Table":
    """Stages that differ in their seed alone share a line."""
    lines: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for stage in answer["stages"]:
        epochs = str(stage["epochs"]) if stage["epochs"] else "–"
        alike = (stage["name"], _listed(stage["rows"]), epochs, f"{stage['amount']:,}", _state(stage))
        lines.setdefault(alike, []).append(stage)
    left, right = ("stage", "for rows", "seeds"), ("epochs", "work")
    table = _table("Stages, each once", left=left, right=right, last=("state", "fingerprints"))
    for (name, rows, epochs, amount, state), stages in islice(lines.items(), _MOST_LINES):
        seeds = _listed(seed for stage in stages for seed in stage["seeds"])
        names = ["unknown" if answer["assumed_data"] else stage["fingerprint"][:8] for stage in stages]
        names = list(dict.fromkeys(names))
        shown = " ".join(names[:_FINGERPRINTS]) + (" …" if len(names) > _FINGERPRINTS else "")
        table.add_row(name, rows, seeds, epochs, amount + (" each" if len(stages) > 1 else ""), state, shown)
    return _with_rest(table, len(lines))


def _state(stage: Mapping[str, Any]) -> str:
    """Returns the state of a stage, or where it resumes.

    >>> _state({"state": "to run", "epochs": 5, "resumes_at": {"step": 40, "epoch": 1.25}})
    'resumes at epoch 1.2 of 5'
    >>> _state({"state": "to run", "epochs": 0, "resumes_at": {"step": 40, "epoch": 40.0}})
    'resumes after step 40'
    """
    place = stage["resumes_at"]
    if place is None:
        return str(stage["state"])
    if not stage["epochs"]:
        return f"resumes after step {place['step']:,}"
    return f"resumes at epoch {round(place['epoch'], 1):g} of {stage['epochs']}"


def _table(title: str, *, left: tuple[str, ...], right: tuple[str, ...], last: tuple[str, ...] = ()) -> "Table":
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in (*left, *right, *last):
        table.add_column(name, justify="right" if name in right else "left")
    return table


def _with_rest(table: "Table", lines: int) -> "Table":
    if lines > _MOST_LINES:
        table.caption = f"and {lines - _MOST_LINES:,} more lines: --json lists all"
    return table


def _format_sharing(answer: Answer) -> Iterator[str]:
    sharing = answer["sharing"]
    to_run = sum(stage["state"] in _TO_RUN for stage in answer["stages"])
    when = "now, if nothing is cached" if answer["assumed_data"] else "now"
    stages, epochs = counted(sharing["stages"], "stage"), counted(sharing["epochs"], "epoch")
    shared = f"{stages}, {epochs}: no two runs share a stage"
    if sharing["stages_saved"]:
        shared = (
            f"{stages} instead of {sharing['stages_unshared']:,}, {epochs} instead of {sharing['epochs_unshared']:,}: "
            f"sharing saves {counted(sharing['stages_saved'], 'stage')}, {counted(sharing['epochs_saved'], 'epoch')}"
        )
    yield f"{shared}. To run {when}: {counted(to_run, 'stage')}, {counted(round(sharing['epochs_to_run']), 'epoch')}."


def _format_estimates(answer: Answer) -> Iterator[str]:
    """The cost in sentences, with where the speeds come from."""
    if not any(stage["state"] in _TO_RUN for stage in answer["stages"]):
        return
    if not answer["estimates"]:
        yield "No estimate: no such stage has been measured. --probe measures this machine with a few steps of each."
    for cost in answer["estimates"]:
        device, at_a_time, probed = (cost[name] for name in ("device", "stages_at_a_time", "stages_of_probed_speed"))
        waits = f", {_duration(cost['wall_hours'])} with {at_a_time} stages at a time" if at_a_time > 1 else ""
        yield f"Estimate on {device}: {_duration(cost['device_hours'])} of stage time{waits}."
        if probed:
            yield f"  {probed} stages as measured by a probe of {cost['probe_steps']} steps on {device}."
        if cost["stages_of_unknown_speed"]:
            unknown = cost["stages_of_unknown_speed"]
            yield f"  {unknown} stages of unknown speed are not counted (--probe measures them)."


def _format_refusals(answer: Answer) -> Iterator[str]:
    """Refused rows, those of one constraint together."""
    refused: dict[str, list[str]] = {}
    for row in answer["refused"]:
        refused.setdefault(row["constraint"], []).append(row["id"])
    for constraint, ids in refused.items():
        yield f"Refused: {'row' if len(ids) == 1 else f'{len(ids)} rows'} {_listed(ids)}: {constraint}"


def _format_identified(answer: Answer) -> Iterator[str]:
    identified = answer["identified"]
    yield f"Identifiable main effects: {_listed(identified['main_effects']) or 'none'}."
    for alias in identified["aliases"]:
        yield f"{alias['reason']}."
    claims = identified["claims"]
    if claims:
        yield f"Testable claims: {sum(claim['identifiable'] for claim in claims)} of {len(claims)}."
    for claim in claims:
        if not claim["identifiable"]:
            yield f'Claim that cannot be tested: "{claim["text"]}": {claim["reason"]}.'
    yield from _format_budgets(identified)
    yield from _format_controls(answer)
    if (more := identified["one_row_more"]) is not None:
        gains = [("main effect of", more["main_effects"]), ("first pair of rows for", more["paired"])]
        gained = "; ".join(f"{gain} {_listed(names)}" for gain, names in gains if names)
        yield f"Most informative additional row: {' + '.join(more['factors'])} ({gained})."


def _format_controls(answer: Answer) -> Iterator[str]:
    """The controls of claims whose rows are trained unequally, with what they cost beyond the table."""
    for control in answer["controls"]:
        texts = _listed([f'"{text}"' for text in control["claims"]])
        if control["row"]:
            cost = f"{counted(control['stages_to_run'], 'stage')}, {counted(control['epochs_to_run'], 'epoch')} to run"
            yield f'Control "{control["row"]}" for {texts}: {cost}.'
        else:
            yield f"No control for {texts}: {control['reason']}."


def _format_budgets(identified: Answer) -> Iterator[str]:
    """Effects and claims whose rows are not trained alike, those of one difference together."""
    pairs: dict[tuple[str, str], list[str]] = {}
    for pair in identified["matched_pairs"]:
        if pair["also"]:
            pairs.setdefault((pair["factor"], pair["also"]), []).append(f"{pair['on']} vs {pair['off']}")
    for (factor, also), rows in pairs.items():
        yield f"{factor} does not change alone ({_listed(rows)}): {also}."
    claims: dict[str, list[str]] = {}
    for claim in identified["claims"]:
        if claim["also"]:
            claims.setdefault(claim["also"], []).append(f'"{claim["text"]}"')
    for also, texts in claims.items():
        yield f"{'Claim' if len(texts) == 1 else 'Claims'} {_listed(texts)}: {also}."


def _listed(items: Iterable[object]) -> str:
    return ", ".join(map(str, items))


def _scaled(count: float) -> str:
    """A count in thousands, millions or billions, three digits.

    >>> _scaled(482_000), _scaled(8_120_000), _scaled(4.1e9)
    ('482 k', '8.12 M', '4.1 G')
    """
    for factor, unit in ((1e9, "G"), (1e6, "M")):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count / 1e3:.3g} k"


def _duration(hours: float) -> str:
    return f"{60 * hours:.1f} minutes" if hours < 2 else f"{hours:.1f} hours"
