"""What all tracking costs training: a demo stage with spool, courier and MLflow, against the same stage without.

    python tests/benchmarks/tracking.py [--workers N] [--repeats N] [--row ID] [--store DIR] [--json FILE]

Every core trains: one stage per worker, one thread each, so that all work for tracking takes time from training.
Tracked, the workers spool and send events, and the driver's courier delivers to MLflow on SQLite, as in ``harness
run``. Without, the spool keeps nothing and no event is sent. Seconds are those that the stages themselves measured,
start-up and data not counted; the two ways take turns. Besides the difference of seconds, which noise may drown, the
table shows what can be counted: the processor's seconds of the driver, and the time that the workers' own records took.
"""

import logging
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

from measure import arguments, show
from subjects import TABLE

from harness.api.prepare import Prepared, prepare
from harness.api.tracking import TableTracking
from harness.execute import Event, LocalExecutor, available_cores, share_out
from harness.plan import Stage
from harness.reid.train.stage import run_stage
from harness.spool import SpoolWriter, read_spool
from harness.track import Tracker
from harness.trainer import SPOOL, Emit, Task

UNTRACKED = "tracking:untracked"
SPOOL_RECORDS = 2000


def main() -> None:
    """Trains the same stages in turns with and without tracking, and prints the overhead in three ways."""
    options = arguments(
        __doc__,
        ("--workers", {"type": int, "default": available_cores(), "help": "stages at a time"}),
        ("--repeats", {"type": int, "default": 4}),
        ("--row", {"default": "1", "help": "of Table 1; its first stage is trained"}),
        ("--store", {"help": "where the synthetic data set is, or will be; default: nowhere"}),
    )
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        rounds = measure(Path(name), options.store or f"{name}/store", options.row, options.workers, options.repeats)
    show(rows_of(rounds, options.workers), options, target="under 1 % of training", note=note_of(rounds, options))


def measure(folder: Path, store: str, row: str, workers: int, repeats: int) -> Mapping[str, list[dict[str, float]]]:
    """The rounds of each way (``tracked``, ``without``): training seconds, the driver's CPU seconds, and records."""
    prepared = prepare(
        TABLE,
        profile="demo",
        data=None,
        rows=[row],
        seeds=list(range(workers)),
        overrides={},
        store=store,
    )
    stages = [stage for stage in prepared.plan.stages.values() if stage.kind == "train" and stage.parent is None]
    rounds: dict[str, list[dict[str, float]]] = {"without": [], "tracked": []}
    with LocalExecutor(prepared.store, share_out(["cpu"], workers)) as executor:
        train(executor, prepared, stages, UNTRACKED, lambda event: None)  # decodes the images, warms the workers
        for repeat in range(repeats):
            for way in ("without", "tracked") if repeat % 2 else ("tracked", "without"):
                if way == "without":
                    rounds[way].append(train(executor, prepared, stages, UNTRACKED, lambda event: None))
                    continue
                tracker = Tracker(f"sqlite:///{folder}/mlflow{repeat}.db", folder / f"outbox{repeat}")
                tracking = TableTracking(tracker, prepared)
                tracking.open()
                tracker.flush()  # imports MLflow and makes its database: once per command, whatever it trains
                rounds[way].append(train(executor, prepared, stages, prepared.trainer.work, tracking.on_event))
                tracking.interrupt()
                tracker.close()
    return rounds


def train(
    executor: LocalExecutor, prepared: Prepared, stages: list[Stage], work: str, on_event: Callable[[Event], None]
) -> dict[str, float]:
    """Trains the stages from scratch, at the same time; returns what that took."""
    store = prepared.store
    for stage in stages:
        shutil.rmtree(store.folder(stage.fingerprint), ignore_errors=True)
    spent, started = time.process_time(), time.perf_counter()
    outcomes = executor.execute(stages, work, prepared.context, on_event)
    driver_s, wall_s = time.process_time() - spent, time.perf_counter() - started
    results = [outcome.result for outcome in outcomes.values() if outcome.result is not None]
    if len(results) < len(stages):
        raise SystemExit("\n".join(outcome.reason for outcome in outcomes.values()))
    spools = [read_spool(store.folder(stage.fingerprint) / SPOOL)[0] for stage in stages]
    return {
        "training_s": sum(result["seconds"] for result in results),
        "driver_s": driver_s,
        "wall_s": wall_s,
        "records": float(sum(map(len, spools))),
        "metrics": float(max((len(record.metrics) for spool in spools for record in spool), default=0)),
    }


def rows_of(rounds: Mapping[str, list[dict[str, float]]], workers: int) -> list[dict[str, Any]]:
    """Several measures of the overhead, as shares of the seconds that the workers trained."""
    tracked_s, without_s = (median(rounds[way], "training_s") for way in ("tracked", "without"))
    driver_s = median(rounds["tracked"], "driver_s") - median(rounds["without"], "driver_s")
    records, metrics = rounds["tracked"][0]["records"], int(rounds["tracked"][0]["metrics"])
    spool_s = records * record_seconds(metrics)
    return [
        {"what": what, "seconds": seconds, "of training %": None if share is None else 100.0 * share}
        for what, seconds, share in (
            (f"training without tracking, {workers} workers together", without_s, None),
            ("training with all tracking", tracked_s, tracked_s / without_s - 1.0),
            ("processor time that the driver took more", driver_s, driver_s / without_s),
            (f"time that the workers' {records:.0f} records took", spool_s, spool_s / without_s),
            ("the two together", driver_s + spool_s, (driver_s + spool_s) / without_s),
        )
    ]


def note_of(rounds: Mapping[str, list[dict[str, float]]], options: Any) -> str:
    """The variation between the rounds of each way."""
    spreads = []
    for way, measured in rounds.items():
        seconds = [each["training_s"] for each in measured]
        spreads.append(f"{way} {min(seconds):.2f} to {max(seconds):.2f} s")
    return f"medians of {options.repeats} rounds ({', '.join(spreads)}); row {options.row}, profile demo"


def median(rounds: list[dict[str, float]], name: str) -> float:
    """The median of one figure over the rounds."""
    return statistics.median(each[name] for each in rounds)


def record_seconds(metrics: int) -> float:
    """Seconds that one record of a spool takes from the worker that trains."""
    figures = {f"loss_{number}": 1.0 / (number + 3) for number in range(metrics)}
    with tempfile.TemporaryDirectory() as folder, SpoolWriter(Path(folder) / "spool.jsonl") as spool:
        started = time.perf_counter()
        for step in range(SPOOL_RECORDS):
            spool.write(step, step / 10, figures, time.time_ns() // 1_000_000)
        return (time.perf_counter() - started) / SPOOL_RECORDS


class _NoSpool:
    """A spool that keeps nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, step: int, epoch: float, metrics: Mapping[str, float], time_ms: int) -> None:
        """Forgets a record."""

    def position(self) -> int:
        """Nothing was written."""
        return 0

    def truncate(self, position: int) -> None:
        """There is nothing to forget."""

    def close(self) -> None:
        """There is nothing to keep."""


def untracked(task: Task, emit: Emit) -> dict[str, Any]:
    """The work of a stage, in a worker, without records or events."""
    with patch("harness.reid.train.loop.SpoolWriter", _NoSpool):
        return run_stage(task, lambda detail: None)


if __name__ == "__main__":
    main()
