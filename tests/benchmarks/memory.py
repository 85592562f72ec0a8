"""Memory of a training step of ResNet-50 at 256 x 128, with and without activation checkpointing.

    python tests/benchmarks/memory.py [--batch N ...] [--json FILE]

Stage 1 of Table 1's plain and full network at the paper's scale, each in its own process: two steps, then the
peak. On a CPU that is the process's largest resident memory, less what it had before the first step; on a GPU it is
torch's peak allocation. From the second batch size on, a line also shows the cost of each additional image.

``tensors MB`` is counted, not measured: the peak size of all tensors of such a step, by torch's own tracker over
tensors without contents, so that it needs no memory and also covers the recipe's batch, where nothing was run. A
device needs more: workspace of its libraries, gaps, its context, and the resident images (1.3 GB of Market-1501).
"""

import argparse
import json
import subprocess
import sys
from typing import Any

import torch
from measure import arguments, now, peak_mb, resident_mb, show
from subjects import NETWORKS, batch_size, random_images, training_stage, untrained
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

from harness.reid.data.augment import normalize
from harness.reid.losses import compute_losses
from harness.reid.models.network import Network
from harness.reid.train.optimizer import make_optimizer
from harness.reid.train.settings import TrainSettings

STEPS = 2
CLASSES = 751
WAYS = ("kept", "recomputed")


def main() -> None:
    """Measures each network with activations kept and recomputed."""
    options = arguments(
        __doc__,
        (
            "--batch",
            {"type": int, "nargs": "+", "help": "images a batch; default: 4 and 8 on a CPU, else the recipe's"},
        ),
        ("--one", {"nargs": 2, "metavar": ("NETWORK", "WAY"), "help": "measure this one here, and print JSON"}),
    )
    options.recipes = batch_size(training_stage("full", "classify", "paper"))
    if options.batch is None:
        options.batch = [4, 8] if options.device.type == "cpu" else [options.recipes]
    if options.one:
        network, way = options.one
        print(json.dumps(peak(network, options.device, *options.batch, recompute=way == "recomputed")))
        return
    rows = [row for network in NETWORKS for way in WAYS for row in rows_of(network, way, options)]
    note = "tensors MB: counted without running anything; a device needs workspace and the resident images on top"
    show(rows, options, target="the full network at batch 128 within 12 GB (GPU)", note=note)


def rows_of(network: str, way: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """A line for each batch size, each measured in its own process; the recipe's may be counted only."""
    rows: list[dict[str, Any]] = []
    for batch in options.batch:
        words = [sys.executable, __file__, "--one", network, way, "--device", str(options.device)]
        words += ["--threads", str(options.threads), "--batch", str(batch)]
        printed = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
        row = {"network": network, "activations": way, **json.loads(printed), "MB an image more": None}
        row["tensors MB"] = counted_mb(network, batch, recompute=way == "recomputed")
        if rows:
            row["MB an image more"] = (row["peak MB"] - rows[-1]["peak MB"]) / (batch - rows[-1]["batch"])
        rows.append(row)
    if options.recipes not in options.batch:
        counted = counted_mb(network, options.recipes, recompute=way == "recomputed")
        rows.append({**dict.fromkeys(rows[0]), "network": network, "activations": way, "batch": options.recipes})
        rows[-1]["tensors MB"] = counted
    return rows


def counted_mb(network: str, batch: int, *, recompute: bool) -> float:
    """Peak size of the tensors in the last of ``STEPS`` steps, including parameters and momentum."""
    settings = training_stage(network, "classify", "paper", batch=batch)
    model = untrained(settings, classes=CLASSES).train()
    model.recompute = recompute
    with FakeTensorMode(allow_non_fake_inputs=True):
        for module in model.modules():
            kept: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
            for held in kept:  # ``Module.to`` cannot replace these in place
                held.update({name: _without_contents(value) for name, value in held.items() if value is not None})
        optimizer = make_optimizer(model, settings.optimizer)
        target = torch.empty(batch, dtype=torch.int64)
        tracker = MemTracker()
        tracker.track_external(model, optimizer)
        with tracker:
            pixels = torch.empty((batch, 3, settings.images.height_px, settings.images.width_px))
            pixels = pixels.to(memory_format=torch.channels_last)
            for _ in range(STEPS):
                tracker.reset_mod_stats()
                train_step(model, optimizer, pixels, target, settings)
        (of_device,) = tracker.get_tracker_snapshot("peak").values()
    return float(of_device["Total"]) / 1e6


def _without_contents(value: torch.Tensor) -> torch.Tensor:
    empty = torch.empty(value.shape, dtype=value.dtype)
    if value.ndim == 4:
        empty = empty.to(memory_format=torch.channels_last)
    return torch.nn.Parameter(empty) if isinstance(value, torch.nn.Parameter) else empty


def train_step(
    model: Network,
    optimizer: torch.optim.Optimizer,
    pixels: torch.Tensor,
    target: torch.Tensor,
    settings: TrainSettings,
) -> None:
    """One step: forward, losses, backward, optimiser."""
    total, _ = compute_losses(model(pixels), target, settings.losses)
    torch.autograd.backward(total)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def peak(network: str, device: torch.device, batch: int, *, recompute: bool) -> dict[str, Any]:
    """Peak memory and time of the last of ``STEPS`` steps."""
    settings = training_stage(network, "classify", "paper", batch=batch)
    size = batch_size(settings)
    images, labels = random_images(size, settings)
    model = untrained(settings, classes=CLASSES)
    model.recompute = recompute
    model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_optimizer(model.train(), settings.optimizer)
    pixels = normalize(torch.from_numpy(images).to(device), settings.augment.mean, settings.augment.std)
    target = torch.from_numpy(labels).to(device)
    before = resident_mb()
    started = now(device)
    for _ in range(STEPS):
        started = now(device)
        train_step(model, optimizer, pixels, target, settings)
    seconds = now(device) - started
    return {"batch": size, "peak MB": peak_mb(device, before), "step s": seconds}


if __name__ == "__main__":
    main()
