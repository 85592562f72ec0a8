"""What bounds the demo: where a training step of Table 1's demo profile spends its time, on one thread, as in a worker.

    python tests/benchmarks/demo.py [--steps N] [--json FILE]

Stages 1 and 2 of the plain and the full network. The loop's own steps run in a process that keeps freed memory, as the
executor's workers do; torch's profiler gives each operation's own time, and the rest is Python's. Shares
are of the total; the profiler slows Python more than the operations.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

from measure import arguments, show
from subjects import NETWORKS, STAGES, batch_size, random_images, training_stage, untrained
from torch.profiler import ProfilerActivity, profile

from harness.execute.slot import Slot
from harness.reid.data.batches import ImageFeeder
from harness.reid.train.loop import Training

FAMILIES = {
    "convolutions": ("convolution",),
    "normalisation": ("batch_norm",),
    "activation, pooling": ("threshold", "relu", "clamp_min", "max_pool"),
    "optimiser": ("Optimizer", "_fused_"),
}
"""Kinds of operation, by parts of their names; the rest is ``other operations``."""
OTHER, PYTHON = "other operations", "Python"


def main() -> None:
    """Profiles every stage in a worker's environment."""
    options = arguments(
        __doc__,
        ("--steps", {"type": int, "default": 60}),
        ("--one", {"nargs": 2, "metavar": ("NETWORK", "STAGE"), "help": "profile this one here, and print JSON"}),
    )
    if options.one:
        network, stage = options.one
        print(json.dumps(measure(network, stage, options)))
        return
    rows = [one_apart(network, stage, options) for network in NETWORKS for stage in STAGES]
    show(rows, options, note="the columns after images/s are shares of the step in per cent")


def one_apart(network: str, stage: str, options: argparse.Namespace) -> dict[str, Any]:
    """Runs ``measure`` in a process with a worker's environment."""
    words = [sys.executable, __file__, "--one", network, stage, "--threads", "1", "--steps", str(options.steps)]
    environment = {**os.environ, **Slot(threads=1).environment()}
    done = subprocess.run([*words, "--device", str(options.device)], check=True, capture_output=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def measure(network: str, stage: str, options: argparse.Namespace) -> dict[str, Any]:
    """One line of the table: an epoch timed without the profiler, and another one with it."""
    settings = replace(training_stage(network, stage, "demo"), epochs=1)
    size = batch_size(settings)
    images, labels = random_images(size * options.steps, settings)
    feeder = ImageFeeder(images, options.device, memory_limit_bytes=images.nbytes)

    def train() -> float:
        with tempfile.TemporaryDirectory() as folder:
            training = Training(
                untrained(settings, int(labels[-1]) + 1),
                feeder,
                labels,
                settings,
                device=options.device,
                checkpoints=Path(folder) / "checkpoints",
                spool=Path(folder) / "spool.jsonl",
                custom={},
                emit=lambda _: None,
                threads=options.threads,
                log_every=10,
                checkpoint_minutes=60.0,
            )
            started = time.perf_counter()
            training.run()
            return time.perf_counter() - started

    train()  # warms up
    taken_s = train()
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as profiled:
        profiled_s = train()
    spent: defaultdict[str, float] = defaultdict(float)
    for event in profiled.key_averages():
        family = next((name for name, words in FAMILIES.items() if any(word in event.key for word in words)), OTHER)
        spent[family] += event.self_cpu_time_total / 1e6
    spent[PYTHON] = max(0.0, profiled_s - sum(spent.values()))
    shares = {name: 100.0 * spent[name] / profiled_s for name in (*FAMILIES, OTHER, PYTHON)}
    return {"network": network, "stage": stage, "batch": size, "images/s": len(labels) / taken_s, **shares}


if __name__ == "__main__":
    main()
