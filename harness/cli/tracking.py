"""Tells the tracker of a table's runs while an executor's events come in."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from harness.cli.wiring import Prepared
from harness.execute.protocol import Event
from harness.matrix import Row, matrix_to_json, recipe_to_yaml
from harness.plan import CODE_VERSION, Run, fingerprint
from harness.track import Tracker, collect_provenance
from harness.train.files import ATTENTION, PER_QUERY, SPOOL

if TYPE_CHECKING:
    from harness.report import TableReport


class TableTracking:
    """Opens a table's runs as their stages start, follows what the stages spool, and ends them with their metrics.

    A run is a row under one seed. Its key names the table (declaration, profile, data, code) and the stages behind it,
    so that the same command, run again, goes on with the same runs, and changed code or data opens new ones.
    """

    def __init__(self, tracker: Tracker, prepared: Prepared) -> None:
        self._tracker = tracker
        self._prepared = prepared
        self._rows = {row.id: row for row in prepared.whole.rows}
        self._provenance = _provenance(prepared)
        self.key = table_key(prepared)
        self._opened: set[Run] = set()
        self._ended: set[Run] = set()
        self._followed: set[tuple[Run, str]] = set()

    def open(self) -> None:
        """Opens the table's parent run, and marks what dead processes left running."""
        self._tracker.sweep_orphans([self.key, *(self._run_key(run) for run in self._prepared.plan.runs)])
        self._tracker.open_table(
            self.key,
            table=self._prepared.matrix.name,
            declaration=matrix_to_json(self._prepared.whole),
            provenance=self._provenance,
            dataset_source=str(self._prepared.root),
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
            told = f"not run: {reason}" if event.kind == "not_run" else reason
            for run in runs:
                if run.evaluation == event.fingerprint:  # of a stage before it, the evaluation tells in its turn
                    self._open_run(run)
                    self._tracker.fail_run(self._run_key(run), told)
                    self._ended.add(run)

    def interrupt(self) -> None:
        """Marks the table and the runs that were under way as killed; the same command goes on with them."""
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
            params=_params(row) | ({"reuse": "version"} if self._prepared.trusts_version else {}),
            recipe_yaml=recipe_to_yaml(row.recipe),
            provenance=self._provenance,
            dataset_source=str(self._prepared.root),
        )
        self._opened.add(run)  # last: an interruption may come at any line

    def _follow(self, run: Run) -> None:
        """Follows the spools of the run's trainings, as far as the steps before each are known."""
        store, offset = self._prepared.store, 0
        for name in run.stages[:-1]:
            complete = store.is_complete(name)
            spool = store.follow(name, SPOOL)
            if (run, name) not in self._followed:
                self._followed.add((run, name))
                self._tracker.deliver(self._run_key(run), spool, offset)
            if not complete:
                return
            offset += int(store.result(name)["steps"])

    def _finish(self, run: Run) -> None:
        store = self._prepared.store
        results = [store.result(name) for name in run.stages if store.is_complete(name)]
        folder = store.fetch(run.evaluation, (PER_QUERY, ATTENTION))
        files = [path for name in (PER_QUERY, ATTENTION) if (path := folder / name).is_file()]
        notes = [note for result in results for note in result["notes"]]
        self._tracker.finish_run(
            self._run_key(run),
            final_metrics(results),
            files,
            texts={"notes.txt": "\n".join(notes)} if notes else None,
            provenance={"device": "; ".join(dict.fromkeys(result["device"] for result in results))},
        )
        self._ended.add(run)

    def _run_key(self, run: Run) -> str:
        return fingerprint([self.key, run.row, run.seed, run.evaluation])


def run_name(row: Row, seed: int) -> str:
    """A run's readable name: ``8 · Softmax+Quadruplet+DIL+SAC+Multi · seed 0``."""
    on = "+".join(factor for factor, is_on in row.factors.items() if is_on) or "none"
    return f"{row.id} · {on} · seed {seed}"


def table_key(prepared: Prepared) -> str:
    """What makes two runs of a table one: its declaration under a profile, the data's contents and the code."""
    declaration = {
        key: value for key, value in matrix_to_json(prepared.whole).items() if key not in {"seeds", "claims"}
    }
    return fingerprint({"declaration": declaration, "data": dict(prepared.data.splits), "code": dict(prepared.code)})


def final_metrics(results: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """A run's metrics and costs from its stages' results, the evaluation last.

    ``seconds`` and ``energy_wh`` are what the row costs by itself, shared stages included; ``images_per_s`` is the
    speed of its training over all stages, ``peak_memory_mb`` the largest of any stage.
    """
    *trainings, evaluation = results
    metrics: dict[str, float] = dict(evaluation["metrics"])
    every = [*trainings, evaluation]
    metrics["seconds"] = sum(result["seconds"] for result in every)
    metrics["peak_memory_mb"] = max(result["peak_memory_mb"] for result in every)
    for name in ("parameters", "multiply_adds"):
        metrics[name] = float(evaluation[name])
    train_seconds = sum(result["seconds"] for result in trainings)
    if train_seconds:
        metrics["images_per_s"] = sum(result["images"] for result in trainings) / train_seconds
    if any("energy_wh" in result for result in every):
        metrics["energy_wh"] = sum(result.get("energy_wh", 0.0) for result in every)
    utilisations = [result["gpu_utilisation"] for result in trainings if "gpu_utilisation" in result]
    if utilisations:
        metrics["gpu_utilisation"] = sum(utilisations) / len(utilisations)
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


def _params(row: Row) -> dict[str, Any]:
    """The few values beside the factors that a person compares runs by."""
    recipe = row.recipe
    params: dict[str, Any] = {
        "backbone": recipe.model.backbone,
        "image": f"{recipe.data.height_px}x{recipe.data.width_px}",
        "epochs": "+".join(str(recipe.stages[name].last_epoch) for name in recipe.trained_stages()),
    }
    if recipe.losses.quadruplet.weight > 0.0:
        params["epsilon1"] = recipe.losses.quadruplet.epsilon1
        params["epsilon2"] = recipe.losses.quadruplet.epsilon2
    if recipe.evaluation.rerank.enabled:
        params["rerank"] = "on"
    return params


def _provenance(prepared: Prepared) -> dict[str, str]:
    return {
        **collect_provenance(),
        "profile": prepared.matrix.profile,
        "dataset": prepared.matrix.dataset,
        "dataset_fingerprint": fingerprint(dict(prepared.data.splits)),
        "synthetic": "true" if prepared.synthetic else "false",
        "code_digest": fingerprint(dict(prepared.code)),
        **{f"study {name}": told for name, told in prepared.matrix.studies.items()},
        "reuse": f"version {CODE_VERSION}" if prepared.trusts_version else "code",
    }
