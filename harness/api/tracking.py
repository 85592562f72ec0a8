"""Keeps the tracker informed of a table's runs while an executor's events come in."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from harness.api.prepare import Prepared
from harness.code import CODE_VERSION
from harness.execute.manifest import DamagedError
from harness.execute.protocol import Event
from harness.execute.versions import library_versions
from harness.matrix import Row, matrix_to_json, recipe_to_yaml
from harness.matrix.levels import mentioned
from harness.plan import Run, Stage, budgets_of, fingerprint, rows_to_add
from harness.track import Tracker, collect_provenance
from harness.trainer import SPOOL, Inputs
from harness.units import UNITS

if TYPE_CHECKING:
    from harness.report import TableReport
    from harness.track import Delivery

OUTBOX = "outbox"
"""The folder of a store's own folder in which records wait for the tracker."""
ABSENT = "none"
"""The value of a parameter that a row lacks and another row of its table has."""


class TableTracking:
    """Opens a table's runs as their stages start, follows what the stages spool, and ends them with their metrics.

    A run is a row under one seed. Its key names the table (declaration, profile, data, code) and the stages behind it,
    so that the same command, run again, resumes the same runs, and changed code or data opens new ones.
    """

    def __init__(self, tracker: Tracker, prepared: Prepared) -> None:
        self._tracker = tracker
        self._prepared = prepared
        self._rows = {row.id: row for row in prepared.whole.rows}
        self._provenance = _provenance(prepared)
        self.key = table_key(prepared)
        self._asked = frozenset(prepared.plan.runs)
        self._opened: set[Run] = set()
        self._ended: set[Run] = set()
        self._followed: set[tuple[Run, str]] = set()

    def open(self) -> None:
        """Opens the table's parent run, and marks what dead processes left running."""
        self._tracker.sweep_orphans([self.key, *(self._run_key(run) for run in self._prepared.plan.runs)])
        self._tracker.open_table(
            self.key,
            table=self._prepared.matrix.name,
            declaration=declaration_of(self._prepared),
            provenance=self._provenance,
            dataset_source=self._prepared.inputs.places,
        )

    def on_event(self, event: Event) -> None:
        """Brings the runs that share the event's stage up to date."""
        runs = self._prepared.plan.runs_of(event.fingerprint)
        if event.kind in {"started", "succeeded", "cached"}:
            for run in runs:
                self._open_run(run)
                self._follow(run)
        if event.kind in {"succeeded", "cached"}:
            for run in runs:
                if run.evaluation == event.fingerprint:
                    self._finish(run)
        if event.kind in {"failed", "not_run"}:
            reason = event.detail.get("reason", "failed")
            message = f"not run: {reason}" if event.kind == "not_run" else reason
            for run in runs:
                if run.evaluation == event.fingerprint:  # of a stage before it, the evaluation reports in its turn
                    self._open_run(run)
                    self._tracker.fail_run(self._run_key(run), message)
                    self._ended.add(run)

    def keep_finished(self) -> None:
        """Adds rows and seeds that were not asked for and that the store holds, of the same code, data and settings."""
        store = self._prepared.store
        for run in self._prepared.whole_plan.runs:
            if run in self._asked or not all(map(store.is_complete, run.stages)):
                continue
            with suppress(DamagedError):  # it is made again when it is asked for
                store.fetch(run.evaluation, (UNITS, *self._prepared.trainer.artifacts))
                self._open_run(run)
                self._follow(run)
                self._finish(run)

    def interrupt(self) -> None:
        """Marks the table and the runs that were under way as killed; the same command resumes them."""
        for run in self._opened - self._ended:
            self._tracker.kill_run(self._run_key(run))
        self._tracker.kill_run(self.key)

    def _open_run(self, run: Run) -> None:
        if run in self._opened:
            return
        row = self._rows[run.row]
        self._tracker.open_run(
            self._run_key(run),
            table_key=self.key,
            row=run.row,
            seed=run.seed,
            name=run_name(row, run.seed),
            factors=row.factors,
            params=self._params(row),
            recipe_yaml=recipe_to_yaml(row.recipe),
            provenance=self._provenance,
            dataset_source=self._prepared.inputs.places,
        )
        self._opened.add(run)  # last: an interruption may come at any line

    def _params(self, row: Row) -> dict[str, Any]:
        """The few values beside the factors that a person compares runs by.

        Every run of the table has the same ones, since MLflow's charts draw a parameter that a run lacks as a value.
        """
        trainer = self._prepared.trainer
        names = {name for other in self._rows.values() for name in trainer.params(other.recipe)}
        reuse = {"reuse": "version"} if self._prepared.trusts_version else {}
        return {**dict.fromkeys(sorted(names), ABSENT), **trainer.params(row.recipe), **reuse}

    def _follow(self, run: Run) -> None:
        """Follows the spools of the run's stages, as far as the steps before each are known."""
        store, offset = self._prepared.store, 0
        for name in run.stages:
            complete = store.is_complete(name)
            spool = store.follow(name, SPOOL)
            if (run, name) not in self._followed:
                self._followed.add((run, name))
                self._tracker.deliver(self._run_key(run), spool, offset)
            if not complete:
                return
            offset += int(store.result(name).get("steps", 0))

    def _finish(self, run: Run) -> None:
        store = self._prepared.store
        results = [store.result(name) for name in run.stages if store.is_complete(name)]
        kept = (UNITS, *self._prepared.trainer.artifacts)
        folder = store.fetch(run.evaluation, kept)
        files = [path for name in kept if (path := folder / name).is_file()]
        notes = [note for result in results for note in result.get("notes", ())]
        devices = dict.fromkeys(result["device"] for result in results if "device" in result)
        self._tracker.finish_run(
            self._run_key(run),
            final_metrics(results),
            files,
            texts={"notes.txt": "\n".join(notes)} if notes else None,
            provenance={"device": "; ".join(devices)},
        )
        self._ended.add(run)

    def _run_key(self, run: Run) -> str:
        return fingerprint([self.key, run.row, run.seed, run.evaluation])


def run_name(row: Row, seed: int) -> str:
    """A run's readable name: ``8 · Softmax+Quadruplet+DIL+SAC+Multi · seed 0``."""
    on = "+".join(mentioned(row.factors)) or "none"
    return f"{row.id} · {on} · seed {seed}"


def declaration_of(prepared: Prepared) -> dict[str, Any]:
    """Returns the whole matrix as JSON, each row with the names of its stages."""
    declaration = {**matrix_to_json(prepared.whole), "rows_to_add": _rows_to_add(prepared)}
    plan = prepared.whole_plan
    budgets = budgets_of(plan)
    names = {run.row: [plan.stages[stage].name for stage in run.stages] for run in plan.runs}
    for row in declaration["rows"]:
        row["stages"] = names.get(row["id"], [])
        row["training"] = [vars(stage) for stage in budgets.get(row["id"], ())]
    if prepared.settling is not None:
        declaration["settle"] = dict(prepared.settling)
    return declaration


def table_key(prepared: Prepared) -> str:
    """Returns what makes two runs of a table one: its declaration under a profile, the data's contents and the code."""
    declaration = {
        key: value for key, value in matrix_to_json(prepared.whole).items() if key not in {"seeds", "claims"}
    }
    contents = dict(prepared.inputs.contents)
    return fingerprint({"declaration": declaration, "data": contents, "code": prepared.code})


_SUMMED, _LARGEST = ("seconds", "energy_wh"), ("peak_memory_mb",)
_OF_THE_LAST = ("parameters", "multiply_adds")


def _rows_to_add(prepared: Prepared) -> list[tuple[str, ...]]:
    """Returns the rows that would identify what the table's rows leave open; rows with another ``set`` are apart."""
    groups: dict[str, list[Mapping[str, bool | str]]] = {}
    for row in prepared.whole.rows:
        if not row.control:
            groups.setdefault(repr(row.set), []).append(row.factors)
    found = (rows_to_add(group, prepared.allowed, prepared.whole.levels) for group in groups.values() if len(group) > 1)
    return list(dict.fromkeys(factors for rows in found for factors in rows))


def final_metrics(results: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Returns a run's metrics and costs from its stages' results, in order.

    ``seconds`` and ``energy_wh`` are what the row costs by itself, shared stages included; ``peak_memory_mb`` is the
    largest of any stage; ``images_per_s`` and ``gpu_utilisation`` are those of the stages before the last, if any.
    """
    every = list(results)
    last = every[-1]
    metrics: dict[str, float] = dict(last["metrics"])
    for names, combine in ((_SUMMED, sum), (_LARGEST, max)):
        for name in names:
            if values := [float(result[name]) for result in every if name in result]:
                metrics[name] = combine(values)
    metrics |= {name: float(last[name]) for name in _OF_THE_LAST if name in last}
    trainings = every[:-1] or every
    timed = [result for result in trainings if "images" in result and "seconds" in result]
    if seconds := sum(result["seconds"] for result in timed):
        metrics["images_per_s"] = sum(result["images"] for result in timed) / seconds
    elif "images_per_s" in last:
        metrics["images_per_s"] = float(last["images_per_s"])
    if used := [result["gpu_utilisation"] for result in trainings if "gpu_utilisation" in result]:
        metrics["gpu_utilisation"] = sum(used) / len(used)
    return metrics


def table_metrics(report: "TableReport") -> dict[tuple[str, str, str], float]:
    """Each row's mean over its seeds, and ``low`` and ``high`` of its interval where it has one, by metric and row."""
    metrics = {}
    for row in report.ours:
        for name, cell in row.cells.items():
            if cell.measured is not None:
                metrics[name, row.id, ""] = cell.measured.mean
                if interval := cell.measured.interval:
                    metrics[name, row.id, "low"], metrics[name, row.id, "high"] = interval
    return metrics


def _provenance(prepared: Prepared) -> dict[str, str]:
    return {
        **provenance_of(
            prepared.matrix.profile,
            prepared.inputs,
            prepared.code,
            prepared.matrix.dataset,
            prepared.plan.stages.values(),
        ),
        **{f"study {name}": text for name, text in prepared.matrix.studies.items()},
        "reuse": f"version {CODE_VERSION}" if prepared.trusts_version else "code",
    }


def provenance_of(profile: str, inputs: Inputs, code: str, dataset: str, stages: Iterable[Stage]) -> dict[str, str]:
    """Returns what a table's or a study's results come from, beside the machine and the commit."""
    return {
        **collect_provenance(library_versions(sorted({reference for stage in stages for reference in stage.code}))),
        "profile": profile,
        "dataset": dataset,
        "dataset_fingerprint": fingerprint(dict(inputs.contents)),
        "synthetic": "true" if inputs.made else "false",
        **({"made": inputs.made} if inputs.made else {}),
        "code_digest": code,
    }


def deliver(store: str) -> "Delivery":
    """Delivers what waits in a store since the tracker was down, once.

    Raises:
        TrackerError: If the tracker does not answer.
    """
    from harness.execute import local_root
    from harness.track import sync

    return sync(None, local_root(store) / OUTBOX)
