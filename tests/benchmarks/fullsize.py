"""A few real steps of Table 1's rows 1 and 8 at the paper's size: ResNet-50, 256 x 128, on Market-1501's own folders.

    python tests/benchmarks/fullsize.py [--data DIR] [--steps N] [--batch N] [--json FILE]

Each training stage of the two rows runs in its own process, as the ``paper`` profile plans it except for the initial
weights (random here): the data set's training images decoded, drawn, augmented, and the loop's own steps. The first
step warms up; seconds are the median of the others. Without ``--data`` the full-size synthetic set is made and thrown
away. On a GPU the batches are the recipe's; a CPU uses smaller ones, which the table shows.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from measure import arguments, now, peak_mb, resident_mb, show
from subjects import batch_size, table_plan, untrained, with_batch

from harness.reid.data import label_map, open_dataset
from harness.reid.data.synthetic import make
from harness.reid.data.synthetic.plan import MARKET1501
from harness.reid.train.device import arithmetic
from harness.reid.train.images import feed
from harness.reid.train.loop import Training
from harness.reid.train.settings import DataPlace, Resources, TrainSettings

ROWS = ("1", "8")
CPU_BATCH = 16


class _Enough(Exception):  # noqa: N818, a signal and no error
    """The requested steps are done."""


def main() -> None:
    """Measures every training stage of the rows."""
    options = arguments(
        __doc__,
        ("--data", {"type": Path, "metavar": "DIR", "help": "Market-1501, or a synthetic set in its layout"}),
        ("--cache", {"type": Path, "metavar": "DIR", "help": "where decoded images are kept; default: thrown away"}),
        ("--steps", {"type": int, "default": 4, "help": "timed steps, after one to warm up"}),
        ("--batch", {"type": int, "default": None, "help": f"default: {CPU_BATCH} on a CPU, else the recipe's"}),
        ("--one", {"nargs": 2, "metavar": ("ROW", "STAGE"), "help": "measure this one here, and print JSON"}),
    )
    if options.batch is None and options.device.type == "cpu":
        options.batch = CPU_BATCH
    with tempfile.TemporaryDirectory() as folder:
        options.cache = options.cache or Path(folder) / "cache"
        if options.one:
            row, stage = options.one
            print(json.dumps(measure(row, stage, options)))
            return
        if options.data is None:
            options.data = make(
                "market1501", Path(folder) / "data", identities=MARKET1501.released.train_identities, seed=0, full=True
            )
        rows = [one_apart(row, stage, options) for row in ROWS for stage in stages_of(row)]
    note = "Initial weights: none (random); a step costs the same with any."
    show(rows, options, target="a batch of the paper's size within the device's memory", note=note)


def stages_of(row: str) -> Mapping[str, TrainSettings]:
    """The training stages of one run of a row under the ``paper`` profile, by name, the parent first."""
    matrix, plan = table_plan("paper", rows=[row])
    return {
        stage.name: TrainSettings.read({"weights": None, **stage.settings})
        for stage in plan.stages.values()
        if stage.kind == "train" and stage.settings["seed"] == matrix.seeds[0]
    }


def one_apart(row: str, stage: str, options: argparse.Namespace) -> dict[str, Any]:
    """Runs ``measure`` in a separate process, so that no stage's memory counts as another's."""
    words = [sys.executable, __file__, "--one", row, stage, "--data", str(options.data), "--cache", str(options.cache)]
    words += ["--device", str(options.device), "--threads", str(options.threads), "--steps", str(options.steps)]
    words += ["--batch", str(options.batch)] if options.batch else []
    printed = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
    return {"row": row, "stage": stage, **json.loads(printed)}


def measure(row: str, stage: str, options: argparse.Namespace) -> dict[str, Any]:
    """Trains a stage's first steps."""
    planned = stages_of(row)[stage]
    settings = with_batch(planned, options.batch) if options.batch else planned
    place = DataPlace("market1501", str(options.data))
    resources = Resources([place], str(options.cache), {}, threads=options.threads)
    dataset = open_dataset(place.dataset, options.data, splits=("train",))
    split = dataset.splits["train"]
    classes = label_map(split.identities)
    feeder = feed(dataset, split, resources, settings.images, options.device, lambda _: None, memory_limit_mb=8000)
    before = resident_mb()
    ends: list[float] = []

    def emit(_: Mapping[str, Any]) -> None:
        ends.append(now(options.device))
        if len(ends) > options.steps:
            raise _Enough

    exact = {"tf32": settings.arithmetic.tf32, "deterministic": settings.arithmetic.deterministic}
    with tempfile.TemporaryDirectory() as folder, arithmetic(options.device, **exact):
        training = Training(
            untrained(settings, len(classes)),
            feeder,
            np.searchsorted(classes, split.identities).astype(np.int64),
            settings,
            device=options.device,
            checkpoints=Path(folder) / "checkpoints",
            spool=Path(folder) / "spool.jsonl",
            custom={},
            emit=emit,
            threads=options.threads,
            log_every=1,
            checkpoint_minutes=60.0,
        )
        with suppress(_Enough):
            training.run()
    step_s = statistics.median(np.diff(ends))
    size = batch_size(settings)
    return {
        "images": len(split),
        "batch": size,
        "the paper's": batch_size(planned),
        "step s": step_s,
        "images/s": size / step_s,
        "peak MB": peak_mb(options.device, before),
        "last loss": training.progress.last["loss"],
    }


if __name__ == "__main__":
    main()
