"""What bounds a step: torch's profiler over steps of Table 1's row 8, and the kernels that take the most time.

    python tests/benchmarks/gpu_profile.py [--device cuda] [--scale paper] [--steps 20] [--json FILE]

Stage 1 of the full network in bfloat16, as the loop runs it, after steps that warm up. ``share`` is a kernel's part of
the time that the device was busy; utilisation compares that time with the time of the same steps without the profiler.
On a CPU, operations take the place of kernels.
"""

import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import arguments, keep, now, show
from subjects import batch_size, random_images, training_stage, untrained
from torch.profiler import ProfilerActivity, profile

from harness.reid.data.batches import ImageFeeder
from harness.reid.train.device import arithmetic
from harness.reid.train.loop import Training
from harness.reid.train.settings import TrainSettings

DEAREST = 15
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "convolutions and products": ("conv", "gemm", "cutlass", "cudnn", "xmma", "wgrad", "dgrad", "mm", "sm90", "sm80"),
    "normalisation": ("batch_norm", "batchnorm", "bn_"),
    "the optimiser": ("adam", "sgd", "multi_tensor", "optimizer"),
    "pooling": ("pool",),
    "copies and layouts": ("memcpy", "memset", "copy", "nchw", "nhwc", "cast", "transpose"),
    "elementwise operations and sums": ("elementwise", "vectorized", "reduce", "relu", "clamp", "add", "mul", "fill"),
}
"""Kinds of kernel by parts of their names, the first match wins; normalisation comes first."""
OTHER = "other kernels"


def main() -> None:
    """Profiles the steps and saves the table."""
    options = arguments(
        __doc__,
        ("--scale", {"choices": ["demo", "paper"], "default": "paper"}),
        ("--steps", {"type": int, "default": 20}),
        ("--batch", {"type": int, "default": None, "help": "images a batch instead of the recipe's"}),
    )
    device: torch.device = options.device
    batch = options.batch or (12 if options.scale == "paper" and device.type == "cpu" else None)
    settings = replace(training_stage("full", "classify", options.scale, batch=batch), epochs=1)
    settings = replace(settings, arithmetic=settings.arithmetic.model_copy(update={"precision": "bfloat16"}))
    size = batch_size(settings)
    images, labels = random_images(size * options.steps, settings, per_identity=4)
    feeder = ImageFeeder(images, device, memory_limit_bytes=images.nbytes)
    train_once(settings, feeder, labels, device, options.threads)
    wall_s = train_once(settings, feeder, labels, device, options.threads)
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device.type == "cuda" else [])
    with profile(activities=activities, acc_events=True) as profiled:
        train_once(settings, feeder, labels, device, options.threads)
    kernels = kernels_of(profiled, device)
    rows, note = table(kernels, wall_s, options.steps)
    show(rows, options, note=note)
    keep(rows, options, note=note, further=[{"what": "By kind of kernel", "rows": by_family(kernels)}])


def train_once(
    settings: TrainSettings, feeder: ImageFeeder, labels: np.ndarray, device: torch.device, threads: int
) -> float:
    """Trains an epoch; returns the seconds between its first step and its last reading."""
    with tempfile.TemporaryDirectory() as folder, arithmetic(device, tf32=False, deterministic=False):
        training = Training(
            untrained(settings, int(labels[-1]) + 1),
            feeder,
            labels,
            settings,
            device=device,
            checkpoints=Path(folder) / "checkpoints",
            spool=Path(folder) / "spool.jsonl",
            custom={},
            emit=lambda _: None,
            threads=threads,
            log_every=10**6,
            checkpoint_minutes=60.0,
        )
        now(device)
        return training.run()["seconds"]


def kernels_of(profiled: "profile", device: torch.device) -> list[dict[str, Any]]:
    """Seconds and calls of each kernel (on a CPU, of each operation), the most expensive first."""
    on_gpu = device.type == "cuda"
    found = []
    for event in profiled.key_averages():
        if (event.device_type.name == "CUDA") is not on_gpu or event.key.startswith("Optimizer."):
            continue  # an optimiser's step is a span around kernels that are counted separately
        spent_us = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        if spent_us > 0.0:
            found.append({"kernel": event.key, "calls": event.count, "s": spent_us / 1e6})
    return sorted(found, key=lambda kernel: -kernel["s"])


def table(kernels: Sequence[Mapping[str, Any]], wall_s: float, steps: int) -> tuple[list[dict[str, Any]], str]:
    """The most expensive kernels, and one sentence on what bounds the step."""
    whole_s = sum(kernel["s"] for kernel in kernels)
    if not whole_s:
        raise SystemExit("the profiler saw no kernel")
    rows = [
        {
            "kernel": kernel["kernel"][:90].replace("|", "/"),
            "calls": kernel["calls"],
            "ms a step": 1e3 * kernel["s"] / steps,
            "share": kernel["s"] / whole_s,
        }
        for kernel in kernels[:DEAREST]
    ]
    first, *_ = by_family(kernels)
    busy = whole_s / wall_s
    bound = first["kind"] if busy >= 0.9 else "what keeps the device waiting (Python, launches, readings)"
    return rows, (
        f"the step is bound by {bound}: of {1e3 * wall_s / steps:.3g} ms a step the device works "
        f"{1e3 * whole_s / steps:.3g} ms ({busy:.0%}), {first['share']:.0%} of it on {first['kind']}"
    )


def by_family(kernels: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Shares of the device's time by kind of kernel, the largest first."""
    spent: defaultdict[str, float] = defaultdict(float)
    for kernel in kernels:
        spent[family_of(kernel["kernel"])] += kernel["s"]
    whole_s = sum(spent.values())
    shares = sorted(spent.items(), key=lambda item: -item[1])
    return [{"kind": name, "share": seconds / whole_s} for name, seconds in shares]


def family_of(kernel: str) -> str:
    """The kind of a kernel, by its name.

    >>> family_of("void cudnn::bn_fw_tr_1C11_kernel_NCHW<float>")
    'normalisation'
    >>> family_of("sm90_xmma_fprop_implicit_gemm_bf16bf16_bf16f32")
    'convolutions and products'
    """
    name = kernel.lower()
    if any(word in name for word in FAMILIES["normalisation"]):
        return "normalisation"
    return next((kind for kind, words in FAMILIES.items() if any(word in name for word in words)), OTHER)


if __name__ == "__main__":
    main()
