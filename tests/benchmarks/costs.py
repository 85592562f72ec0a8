"""The storage costs of a run and a trial: spool, checkpoints, weights, tracker, and a study's journal.

    python tests/benchmarks/costs.py [--runs N] [--trials N] [--row ID] [--json FILE]

The demo's column is a row of Table 1 as ``harness run`` leaves it. The paper's column has the spool that the profile
``paper`` writes, record by record, the network of that profile with its optimiser, and the demo's files by query; it
goes to its own tracker. A run's delivery is timed over several runs delivered together, to MLflow on SQLite.
"""

import contextlib
import math
import platform
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from measure import arguments, show
from subjects import ROOT, TABLE, table_plan, untrained

from harness.api.prepare import Prepared, prepare
from harness.api.slots import slots_for
from harness.api.tracking import final_metrics
from harness.execute import LocalExecutor, Store
from harness.execute.manifest import CHECKPOINTS
from harness.matrix import matrix_to_json, recipe_to_yaml
from harness.plan import Plan, Run
from harness.reid.files import ATTENTION, PER_QUERY, WEIGHTS
from harness.reid.train.checkpoint import save_checkpoint
from harness.reid.train.optimizer import make_optimizer
from harness.reid.train.settings import Resources, TrainSettings
from harness.search import read_search
from harness.search.storage import open_storage
from harness.search.study import SearchStudy
from harness.spool import SpoolWriter, read_spool
from harness.track import Tracker, collect_provenance
from harness.trainer import SPOOL

SEARCH = ROOT / "ablations" / "margins.yaml"
POLL_S = 0.02
CLASSES = 751
"""Identities that Market-1501 trains on."""
PLATEAUS = (50, 100, 150)
"""The epochs of the last stage after which a trial reports its values."""


@dataclass(frozen=True)
class Kept:
    """The files that a run leaves, and the metrics that the tracker receives."""

    spools: tuple[Path, ...]
    files: tuple[Path, ...]
    metrics: Mapping[str, float]
    weights_bytes: int
    checkpoint_bytes: int
    """The size of the largest checkpoint among the run's stages."""


def main() -> None:
    """Trains one run of the demo, imitates the paper's, and prints the costs of each."""
    options = arguments(
        __doc__,
        ("--runs", {"type": int, "default": 10, "help": "runs that are delivered together"}),
        ("--trials", {"type": int, "default": 15}),
        ("--row", {"default": "8", "help": "of Table 1"}),
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepared = prepare(
            TABLE, profile="demo", data=None, rows=[options.row], seeds=[0], overrides={}, store=str(folder / "store")
        )
        demo = train_run(prepared)
        columns = {
            "demo": costs_of(demo, prepared, options.runs, folder / "demo"),
            "paper": costs_of(paper_run(demo, options.row, folder), prepared, options.runs, folder / "paper"),
        }
        trial_bytes = journal_bytes(folder / "study.journal", options.trials)
    rows = [{"a run": what, **{column: costs[what] for column, costs in columns.items()}} for what in columns["demo"]]
    rows.append({"a run": "bytes of journal for each trial of a search", "demo": trial_bytes, "paper": trial_bytes})
    show(
        rows,
        options,
        note=f"row {options.row}; delivery: mean of {options.runs} runs told at once; files by query: the demo's",
    )


def train_run(prepared: Prepared) -> Kept:
    """Executes the one run of a plan."""
    plan, store = prepared.plan, prepared.store
    (run,) = plan.runs
    with watching(store, plan) as largest, LocalExecutor(store, slots_for(1)) as executor:
        outcomes = executor.execute(plan.to_execute, prepared.trainer.work, prepared.context, lambda event: None)
    results = [outcomes[name].result for name in run.stages]
    if None in results:
        raise SystemExit("\n".join(outcome.reason for outcome in outcomes.values()))
    folders = [store.folder(name) for name in run.stages]
    evaluated = folders[-1]
    return Kept(
        spools=tuple(folder / SPOOL for folder in folders[:-1]),
        files=tuple(path for name in (PER_QUERY, ATTENTION) if (path := evaluated / name).is_file()),
        metrics=final_metrics(result for result in results if result is not None),
        weights_bytes=sum((folder / WEIGHTS).stat().st_size for folder in folders[:-1]),
        checkpoint_bytes=max(largest),
    )


@contextlib.contextmanager
def watching(store: Store, plan: Plan) -> Iterator[list[int]]:
    """Fills a list with the sizes of the checkpoints that the plan's stages write during training."""
    seen: dict[str, int] = {}
    sizes: list[int] = []
    ended = threading.Event()

    def watch() -> None:
        folders = [store.folder(name) / CHECKPOINTS for name in plan.stages]
        while not ended.wait(POLL_S):
            for path in (path for folder in folders for path in folder.glob("step-*.pt")):
                with contextlib.suppress(FileNotFoundError):
                    seen[str(path)] = path.stat().st_size

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield sizes
    finally:
        ended.set()
        thread.join()
        sizes.extend(seen.values())


def paper_run(demo: Kept, row: str, folder: Path) -> Kept:
    """The files of the same row under the profile ``paper``: spools of its length, its weights and its checkpoint."""
    _, plan = table_plan("paper", rows=[row])
    run: Run = plan.runs[0]
    spools, weights_bytes, checkpoint_bytes = [], 0, 0
    for name, example in zip(run.stages[:-1], demo.spools, strict=True):
        stage = plan.stages[name]
        settings = TrainSettings.read({"weights": None, **stage.settings})
        spools.append(folder / f"{stage.name}.jsonl")
        write_spool(spools[-1], example, settings, plan.stages[name].amount // settings.epochs)
        network = untrained(settings, CLASSES)
        state = {"network": network.state_dict(), "optimizer": optimizer_state(network, settings)}
        weights_bytes += sum(value.numel() * value.element_size() for value in network.state_dict().values())
        checkpoint_bytes = max(checkpoint_bytes, save_checkpoint(folder / "paper-step", 1, state).stat().st_size)
    return replace(demo, spools=tuple(spools), weights_bytes=weights_bytes, checkpoint_bytes=checkpoint_bytes)


def write_spool(path: Path, example: Path, settings: TrainSettings, images: int) -> None:
    """Writes the records of a whole stage with ``images`` per epoch, with the metrics of the example's first record."""
    sampler = settings.sampler
    batch = sampler.batch_size if hasattr(sampler, "batch_size") else sampler.identities * sampler.images
    steps = math.ceil(images / batch)
    read_every: Any = Resources.__dataclass_fields__["log_every"].default
    (record, *_), _ = read_spool(example)
    readings = [*range(read_every, steps, read_every), steps]
    with SpoolWriter(path) as spool:
        for epoch in range(settings.epochs):
            for step in readings:
                time_ms = record.time_ms + epoch * steps + step
                spool.write(epoch * steps + step, epoch + step / steps, record.metrics, time_ms)


def optimizer_state(network: torch.nn.Module, settings: TrainSettings) -> dict[str, Any]:
    """The optimiser's state after its first step."""
    optimizer = make_optimizer(network, settings.optimizer)  # type: ignore[arg-type]
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return optimizer.state_dict()


def costs_of(kept: Kept, prepared: Prepared, runs: int, folder: Path) -> dict[str, float]:
    """A run's costs, by name; the tracker receives ``runs`` equal runs, into a database without any."""
    folder.mkdir()
    database = folder / "mlflow.db"
    tracker = Tracker(f"sqlite:///{database}", folder / "outbox")
    tracker.sweep_orphans()
    provenance = {
        **collect_provenance({"python": platform.python_version()}),
        "profile": "demo",
        "dataset": "market1501",
        "dataset_fingerprint": "0" * 32,
    }
    tracker.open_table("T", table="costs", declaration=matrix_to_json(prepared.whole), provenance=provenance)
    tracker.flush()
    rows_before, bytes_before = contents(database)
    (row,) = prepared.matrix.rows
    started = time.perf_counter()
    for number in range(runs):
        tracker.open_run(
            str(number),
            table_key="T",
            row=row.id,
            seed=number,
            name=f"{row.id} · seed {number}",
            factors=row.factors,
            params={**prepared.trainer.params(row.recipe), "image": "256x128", "epochs": "150+150"},
            recipe_yaml=recipe_to_yaml(row.recipe),
            provenance=provenance,
        )
        offset = 0
        for spool in kept.spools:
            tracker.deliver(str(number), spool, offset)
            offset += read_spool(spool)[0][-1].step
        tracker.finish_run(str(number), kept.metrics, kept.files)
    if (delivery := tracker.flush(3600.0)).undelivered:
        raise SystemExit(str(delivery))
    seconds = time.perf_counter() - started
    rows_after, bytes_after = contents(database)
    tracker.kill_run("T")
    tracker.close()
    artifacts = [path for path in (folder / "mlartifacts").rglob("*") if path.is_file()]
    return {
        "records of its spools": sum(len(read_spool(spool)[0]) for spool in kept.spools),
        "bytes of its spools": sum(spool.stat().st_size for spool in kept.spools),
        "bytes of one checkpoint, of which two are kept while it trains": kept.checkpoint_bytes,
        "bytes of its weights": kept.weights_bytes,
        "bytes of its files by query": sum(path.stat().st_size for path in kept.files),
        "rows in the tracker's database": (rows_after - rows_before) / runs,
        "bytes in the tracker's database": (bytes_after - bytes_before) / runs,
        "bytes of artifacts": sum(path.stat().st_size for path in artifacts) / runs,
        "seconds to deliver it": seconds / runs,
    }


def contents(database: Path) -> tuple[int, int]:
    """The number of rows in all tables of an SQLite database, and its size after a checkpoint of its log."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = sum(connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in tables)
    return rows, database.stat().st_size


def journal_bytes(journal: Path, trials: int) -> float:
    """The bytes that one completed trial adds to a study's journal, with results under the search's own seeds."""
    search = read_search(SEARCH).under("paper", trials)
    study = SearchStudy(search, "costs", open_storage(None, journal), None, minimize=False)
    before, completed = journal.stat().st_size, 0
    values = [0.5 + 0.1 / (seed + 3) for seed in search.seeds]
    for asked in study.ask(trials):
        chains = [[f"{completed:02d}{seed:02d}{stage}".ljust(32, "0") for stage in range(3)] for seed in search.seeds]
        for epoch in PLATEAUS:
            study.report(asked, epoch, values)
        study.complete(asked, values, chains, {stage: (3600.5, PLATEAUS[-1]) for chain in chains for stage in chain})
        completed += 1
    return (journal.stat().st_size - before) / completed


if __name__ == "__main__":
    main()
