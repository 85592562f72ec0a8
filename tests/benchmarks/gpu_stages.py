"""How many stages at a time are best on this device: the demo's whole Table 1 with 1, 2, 4 and 8.

    python tests/benchmarks/gpu_stages.py [--device cuda] [--at-once N ...] [--tiny] [--json FILE]

All nine rows under one seed, run by the executor that ``harness run`` uses, in a separate store each time;
the rendered and decoded images are shared. Seconds include the start of the workers, not the tracker.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from measure import arguments, keep, show
from subjects import TABLE, pedestrians

from harness.api.prepare import Prepared, prepare
from harness.execute import LocalExecutor, available_cores, share_out

SHARED = ("--shared", {"type": Path, "metavar": "DIR", "help": "rendered and decoded images, kept for another run"})
TINY = {
    "data.height_px": 32,
    "data.width_px": 16,
    "model.embedding_dim": 16,
    "stages.classify.epochs": 1,
    "stages.metric.epochs": 1,
}


def main() -> None:
    """Fills the table once for each number of stages at a time."""
    options = arguments(
        __doc__,
        ("--at-once", {"type": int, "nargs": "+", "default": None, "metavar": "N"}),
        SHARED,
        ("--tiny", {"action": "store_true", "help": "two rows on smaller images, for a test"}),
    )
    numbers = options.at_once or ([2, 1] if options.tiny else [4, 2, 8, 1])
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        shared = options.shared or Path(name) / "shared"
        for number in numbers:
            rows.append(filled(prepared_in(Path(name) / str(number), shared, options), number, options))
            keep(rows, options, note=summary(rows))
    show(sorted(rows, key=lambda row: row["at a time"]), options, note=summary(rows))


def prepared_in(store: Path, shared: Path, options: argparse.Namespace) -> Prepared:
    """Prepares the table in its own store, which finds the images that the first one made."""
    share_images(store, shared)
    rows = ["1", "2"] if options.tiny else None
    data = pedestrians(shared / "data" / "set", 16) if options.tiny else None
    overrides = TINY if options.tiny else {}
    return prepare(TABLE, profile="demo", data=data, rows=rows, seeds=[0], overrides=overrides, store=str(store))


def share_images(store: Path, shared: Path) -> None:
    """Makes a store whose rendered and decoded images lie in ``shared``, where other stores find them."""
    store.mkdir(parents=True, exist_ok=True)
    for part in ("data", "cache"):
        (shared / part).mkdir(parents=True, exist_ok=True)
        (store / part).symlink_to(shared.absolute() / part)


def filled(prepared: Prepared, number: int, options: argparse.Namespace) -> dict[str, Any]:
    """One line, for a number of stages at a time."""
    device = "cpu" if options.device.type == "cpu" else f"cuda:{options.device.index or 0}"
    slots = share_out([device], number, cores=max(number, available_cores()))
    started = time.perf_counter()
    with LocalExecutor(prepared.store, slots) as executor:
        outcomes = executor.execute(
            prepared.plan.to_execute, prepared.trainer.work, prepared.context, lambda _event: None
        )
        seconds = time.perf_counter() - started
    reasons = [outcome.reason for outcome in outcomes.values() if outcome.status == "failed"]
    used = [outcome.result.get("gpu_utilisation") for outcome in outcomes.values() if outcome.result]
    known = [share for share in used if share is not None]
    trainings = sum(stage.kind == "train" for stage in prepared.plan.to_execute)
    shutil.rmtree(prepared.store.root / "stages", ignore_errors=True)
    return {
        "at a time": number,
        "s": seconds,
        "stages": len(outcomes),
        "trainings": trainings,
        "failed": len(reasons),
        "utilisation a stage": sum(known) / len(known) if known else None,
        "first reason": reasons[0] if reasons else None,
    }


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """Which number is best."""
    best = min(rows, key=lambda row: (row["failed"], row["s"]))
    return f"best: {best['at a time']} at a time, {best['s']:.1f} s, of {sorted(row['at a time'] for row in rows)}"


if __name__ == "__main__":
    main()
