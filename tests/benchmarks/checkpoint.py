"""Seconds that training pauses for a checkpoint: written before the next step, or alongside it from a copy.

    python tests/benchmarks/checkpoint.py [--folder DIR] [--json FILE]

The state is that of stage 2 of Table 1's full network at the paper's scale, weights and momentum, on the device. The
second way is the loop's own; the time of the concurrent writing is shown too.
"""

import statistics
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from measure import arguments, now, show
from subjects import Scale, training_stage, untrained

from harness.reid.train.checkpoint import CheckpointWriter, save_checkpoint
from harness.reid.train.optimizer import make_optimizer

CLASSES = 751


def main() -> None:
    """Measures both ways, taking turns."""
    options = arguments(
        __doc__,
        (
            "--folder",
            {"type": Path, "metavar": "DIR", "help": "where to write; default: the system's temporary folder"},
        ),
        ("--repeats", {"type": int, "default": 7}),
        ("--scale", {"choices": ["demo", "paper"], "default": "paper"}),
    )
    device: torch.device = options.device
    state = training_state(device, options.scale)
    first, still, beside = [], [], []
    with (
        tempfile.TemporaryDirectory(dir=options.folder) as name,
        closing(CheckpointWriter(Path(name), device)) as loops,
    ):
        for step in range(1 + options.repeats):
            started = now(device)
            size = save_checkpoint(Path(name) / "first", step, state).stat().st_size
            first.append(now(device) - started)
            started = now(device)
            loops.save(step, state, needed=True)
            still.append(now(device) - started)
            loops.wait()
            beside.append(now(device) - started)
    waits = {"written first": first, "written beside, from a copy": still}
    medians = {way: statistics.median(seconds[1:]) for way, seconds in waits.items()}
    rows: list[dict[str, Any]] = [
        {"way": way, "training waits s": seconds, "ratio": medians["written first"] / seconds}
        for way, seconds in medians.items()
    ]
    written_s = statistics.median(beside[1:])
    show(rows, options, note=f"{size / 1e6:,.0f} MB, every epoch; written beside it is there after {written_s:.2f} s")


def training_state(device: torch.device, scale: Scale) -> dict[str, Any]:
    """The contents of the stage's checkpoint once every parameter has its momentum."""
    settings = training_stage("full", "metric", scale)
    network = untrained(settings, CLASSES).to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_optimizer(network, settings.optimizer)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return {"network": network.state_dict(), "optimizer": optimizer.state_dict()}


if __name__ == "__main__":
    main()
