"""What the metric losses cost compared with cross-entropy: forward and backward, in microseconds.

    python tests/benchmarks/losses.py [--device cuda] [--threads N] [--json FILE]

Embeddings of 1024 values; batches of 72 (the paper's 18 identities x 4 images) and of 512 (128 x 4); 751 classes
(Market-1501). Cross-entropy is timed on ready logits, and together with the classifier that it needs, from the
embeddings, as the metric losses start from them too.
"""

import statistics
from collections.abc import Callable
from typing import Any

import torch
from measure import arguments, now, show
from torch import Tensor, nn

from harness.reid.losses import quadruplet_loss, softmax_loss, triplet_loss

DIMENSIONS, CLASSES, IMAGES = 1024, 751, 4
BATCHES = (72, 512)
WARM_UP = 10
BASE = "cross-entropy"


def main() -> None:
    """Times every loss at every batch size."""
    options = arguments(__doc__, ("--repeats", {"type": int, "default": 100}))
    rows = [row for batch in BATCHES for row in rows_of(batch, options.device, options.repeats)]
    show(
        rows,
        options,
        note=f"medians of {options.repeats}; ratio: forward and backward over those of {BASE}, same batch",
    )


def rows_of(batch: int, device: torch.device, repeats: int) -> list[dict[str, Any]]:
    """All losses at one batch size."""
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(batch, DIMENSIONS, generator=generator).to(device).requires_grad_()
    logits = torch.randn(batch, CLASSES, generator=generator).to(device).requires_grad_()
    labels = torch.arange(batch // IMAGES).repeat_interleave(IMAGES).to(device)
    classifier = nn.Linear(DIMENSIONS, CLASSES, device=device)
    losses: dict[str, Callable[[], Tensor]] = {
        BASE: lambda: softmax_loss(logits, labels),
        "classifier + cross-entropy": lambda: softmax_loss(classifier(embeddings), labels),
        "triplet, batch-hard": lambda: triplet_loss(embeddings, labels, epsilon=0.5),
        "quadruplet-hard": lambda: quadruplet_loss(embeddings, labels, epsilon1=0.5, epsilon2=0.2),
    }
    medians = {name: median_us(loss, device, repeats) for name, loss in losses.items()}
    base = sum(medians[BASE])
    return [
        {
            "loss": name,
            "batch": batch,
            "forward us": forward,
            "backward us": backward,
            "ratio": (forward + backward) / base,
        }
        for name, (forward, backward) in medians.items()
    ]


def median_us(loss: Callable[[], Tensor], device: torch.device, repeats: int) -> tuple[float, float]:
    """Median microseconds of the forward and of the backward pass, after a warm-up."""
    forward, backward = [], []
    for repeat in range(WARM_UP + repeats):
        started = now(device)
        value = loss()
        middle = now(device)
        torch.autograd.backward(value)
        ended = now(device)
        if repeat >= WARM_UP:
            forward.append((middle - started) * 1e6)
            backward.append((ended - middle) * 1e6)
    return statistics.median(forward), statistics.median(backward)


if __name__ == "__main__":
    main()
