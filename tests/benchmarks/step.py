"""Images per second of the training loop, and of the bare forward, backward and optimiser step on a resident batch.

    python tests/benchmarks/step.py [--scale paper] [--checkpoint-activations] [--compile] [--json FILE]

Stages 1 and 2 of the plain and the full network, as in Table 1's recipe. The loop is ``harness.reid.train``'s own:
batches drawn and gathered, augmentation, precision, losses, readings. Both take turns, a window of steps each, in one
process; the ratio is that of the windows' medians. On a CPU the scale ``paper`` (ResNet-50, 256 x 128) runs in batches
of 12, on a GPU in the recipe's own.
"""

import argparse
import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from measure import arguments, now, show
from subjects import NETWORKS, STAGES, batch_size, random_images, training_stage, untrained

from harness.reid.data.augment import normalize
from harness.reid.data.batches import ImageFeeder
from harness.reid.losses import compute_losses
from harness.reid.models.cost import network_cost
from harness.reid.train.device import arithmetic
from harness.reid.train.loop import Training
from harness.reid.train.optimizer import make_optimizer
from harness.reid.train.settings import TrainSettings

TARGET = "0.97 or more of the bare step"


def main() -> None:
    """Measures every stage of every network."""
    options = arguments(
        __doc__,
        ("--scale", {"choices": ["demo", "paper"], "default": "demo"}),
        ("--steps", {"type": int, "default": None, "help": "steps in a window"}),
        ("--windows", {"type": int, "default": None, "help": "windows of each"}),
        ("--batch", {"type": int, "default": None, "help": "images a batch instead of the recipe's"}),
        ("--checkpoint-activations", {"action": "store_true"}),
        ("--compile", {"action": "store_true"}),
        ("--tf32", {"action": "store_true"}),
        ("--bfloat16", {"action": "store_true"}),
    )
    small = options.scale == "demo" or options.device.type == "cuda"
    options.steps = options.steps or (10 if small else 1)
    options.windows = options.windows or (20 if small else 5)
    rows = [compare(network, stage, options) for network in NETWORKS for stage in STAGES]
    show(rows, options, target=TARGET)


@dataclass
class BareStep:
    """Forward, losses, backward and optimiser on one batch on the device; takes turns with the loop."""

    settings: TrainSettings
    pixels: torch.Tensor
    labels: torch.Tensor
    classes: int
    device: torch.device
    steps: int
    recompute: bool
    own: list[float] = field(default_factory=list)
    """Seconds of each of its windows."""
    loop: list[float] = field(default_factory=list)
    """Seconds of each of the loop's."""

    def __post_init__(self) -> None:
        self.network = untrained(self.settings, self.classes)
        self.network.recompute = self.recompute
        if self.settings.arithmetic.compile:
            self.network.compile()
        self.network.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network.train()
        self.optimizer = make_optimizer(self.network, self.settings.optimizer)
        self._resumed = now(self.device)

    def take_turn(self, _reading: Mapping[str, Any]) -> None:
        """Called by the loop at the end of a window."""
        started = now(self.device)
        self.loop.append(started - self._resumed)
        for _ in range(self.steps):
            self._step()
        self._resumed = now(self.device)
        self.own.append(self._resumed - started)

    def _step(self) -> None:
        settings = self.settings
        bfloat16 = settings.arithmetic.precision == "bfloat16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=bfloat16):
            output = self.network(self.pixels)
        total, _ = compute_losses(output, self.labels, settings.losses)
        torch.autograd.backward(total)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def compare(network: str, stage: str, options: argparse.Namespace) -> dict[str, Any]:
    """One line of the table."""
    device: torch.device = options.device
    batch = options.batch or (12 if options.scale == "paper" and device.type == "cpu" else None)
    settings = training_stage(network, stage, options.scale, batch=batch)
    precision = "bfloat16" if options.bfloat16 else settings.arithmetic.precision
    update = {"precision": precision, "compile": options.compile, "tf32": options.tf32 or settings.arithmetic.tf32}
    chosen = settings.arithmetic.model_copy(update=update)
    settings = replace(settings, epochs=1, arithmetic=chosen)
    size = batch_size(settings)
    images, labels = random_images(size * options.steps * (options.windows + 1), settings, per_identity=4)
    classes = int(labels[-1]) + 1
    with (
        tempfile.TemporaryDirectory() as folder,
        arithmetic(device, tf32=settings.arithmetic.tf32, deterministic=settings.arithmetic.deterministic),
    ):
        resident = torch.from_numpy(images[:size]).to(device)
        pixels = normalize(resident, settings.augment.mean, settings.augment.std)
        target = torch.from_numpy(labels[:size]).to(device)
        recompute = options.checkpoint_activations
        bare = BareStep(settings, pixels, target, classes, device, options.steps, recompute)
        trained = untrained(settings, classes)
        trained.recompute = recompute
        training = Training(
            trained,
            ImageFeeder(images, device, memory_limit_bytes=images.nbytes),
            labels,
            settings,
            device=device,
            checkpoints=Path(folder) / "checkpoints",
            spool=Path(folder) / "spool.jsonl",
            custom={},
            emit=bare.take_turn,
            threads=options.threads,
            log_every=options.steps,
            checkpoint_minutes=60.0,
        )
        measured = training.run()
    loop_s, bare_s = (statistics.median(windows[1:]) for windows in (bare.loop, bare.own))
    speed = size * options.steps / loop_s
    return {
        "network": network,
        "stage": stage,
        "batch": size,
        "loop images/s": speed,
        "bare images/s": size * options.steps / bare_s,
        "ratio": round(bare_s / loop_s, 3),
        "GFLOP/s": _flops(settings, classes) * speed / 1e9,
        "peak MB": measured["peak_memory_mb"],
        "utilisation": measured.get("gpu_utilisation"),
    }


def _flops(settings: TrainSettings, classes: int) -> float:
    """Operations of one image's training step: two per multiply-add, and the backward pass costs twice the forward."""
    images = settings.images
    cost = network_cost(
        **settings.model,
        height_px=images.height_px,
        width_px=images.width_px,
        classes=classes if settings.classifier else None,
    )
    return 3.0 * 2.0 * cost.multiply_adds


if __name__ == "__main__":
    main()
