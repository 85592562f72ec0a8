"""Memory of a training step of ResNet-50 at 256 x 128, with and without activation checkpointing.

    python tests/benchmarks/memory.py [--batch N] [--json FILE]

Stage 1 of Table 1's plain and full network at the paper's scale, each in a process of its own: two steps, then the
peak. On a CPU that is the process's largest resident memory, less what it had before the first step; on a GPU it is
all that torch allocated at most.
"""

import json
import subprocess
import sys
from typing import Any

import torch
from measure import arguments, now, peak_mb, resident_mb, tell
from subjects import NETWORKS, batch_size, random_images, training_stage, untrained

from harness.data.augment import normalize
from harness.losses import compute_losses
from harness.train.loop import make_optimizer

STEPS = 2


def main() -> None:
    """Measures each network, the activations kept and recomputed."""
    options = arguments(
        __doc__,
        ("--batch", {"type": int, "default": None, "help": "images a batch; default: 8 on a CPU, else the recipe's"}),
        ("--one", {"nargs": 2, "metavar": ("NETWORK", "WAY"), "help": "measure this one here, and print JSON"}),
    )
    if options.batch is None and options.device.type == "cpu":
        options.batch = 8
    if options.one:
        network, way = options.one
        print(json.dumps(peak(network, options.device, options.batch, recompute=way == "recomputed")))
        return
    rows = []
    for network in NETWORKS:
        for way in ("kept", "recomputed"):
            words = [sys.executable, __file__, "--one", network, way, "--device", str(options.device)]
            words += ["--threads", str(options.threads), *(("--batch", str(options.batch)) if options.batch else ())]
            told = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
            rows.append({"network": network, "activations": way, **json.loads(told)})
    tell(rows, options, target="the full network at batch 128 within 12 GB (GPU)")


def peak(network: str, device: torch.device, batch: int | None, *, recompute: bool) -> dict[str, Any]:
    """Peak memory and time of the last of ``STEPS`` steps."""
    settings = training_stage(network, "classify", "paper", batch=batch)
    size = batch_size(settings)
    images, labels = random_images(size, settings)
    model = untrained(settings, classes=751)
    model.recompute = recompute
    model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_optimizer(model.train(), settings.optimizer)
    pixels = normalize(torch.from_numpy(images).to(device), settings.augment.mean, settings.augment.std)
    target = torch.from_numpy(labels).to(device)
    before = resident_mb()
    started = now(device)
    for _ in range(STEPS):
        started = now(device)
        total, _ = compute_losses(model(pixels), target, settings.losses)
        torch.autograd.backward(total)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    seconds = now(device) - started
    return {"batch": size, "peak MB": peak_mb(device, before), "step s": seconds}


if __name__ == "__main__":
    main()
