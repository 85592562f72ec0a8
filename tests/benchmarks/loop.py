"""A whole epoch of this loop against the same model trained by a loop in the style of the field's toolkits.

    python tests/benchmarks/loop.py [--scale paper] [--identities N] [--json FILE]

The conventional loop: files opened with PIL, one image at a time through torchvision's transforms, a DataLoader with
workers, ``.item()`` after every step. This loop: images decoded once (timed separately), everything else inside the
epoch, its checkpoint too. Both train stage 1 of Table 1's plain and full network on the same synthetic images, from the
same values. They take turns; the figures are medians.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import arguments, median_seconds, show
from subjects import NETWORKS, batch_size, pedestrians, training_stage, untrained
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets.folder import pil_loader

from harness.reid.data import Split, cached_images, label_map, open_dataset
from harness.reid.data.batches import ImageFeeder
from harness.reid.losses import compute_losses
from harness.reid.train.loop import Training
from harness.reid.train.optimizer import make_optimizer
from harness.reid.train.settings import TrainSettings

Example = tuple[torch.Tensor, int]


def main() -> None:
    """Measures an epoch of each loop for each network."""
    options = arguments(
        __doc__,
        ("--scale", {"choices": ["demo", "paper"], "default": "demo"}),
        ("--identities", {"type": int, "default": 150, "help": "size of the synthetic set"}),
        ("--batch", {"type": int, "default": None, "help": "images a batch instead of the recipe's"}),
        ("--workers", {"type": int, "default": 2, "help": "the conventional loop's processes"}),
        ("--repeats", {"type": int, "default": 3}),
    )
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = open_dataset("market1501", pedestrians(folder / "set", options.identities))
        split = dataset.splits["train"]
        labels = np.searchsorted(label_map(split.identities), split.identities).astype(np.int64)
        for network in NETWORKS:
            settings = replace(training_stage(network, "classify", options.scale, batch=options.batch), epochs=1)
            size = settings.images
            started = time.perf_counter()
            images = cached_images(
                split, dataset.root, size.height_px, size.width_px, folder / "cache", workers=options.threads
            )
            decoding_s = time.perf_counter() - started
            count = len(split) // batch_size(settings) * batch_size(settings)
            seconds = median_seconds(
                {
                    "conventional": conventional(
                        split, dataset.root, labels, settings, options.device, options.workers
                    ),
                    "this loop": this_loop(images, labels, settings, options.device, folder / network),
                },
                options.device,
                repeats=options.repeats,
            )
            rows += [
                {
                    "network": network,
                    "loop": loop,
                    "epoch s": taken,
                    "images/s": count / taken,
                    "ratio": seconds["conventional"] / taken,
                    "decoding s, once": decoding_s if loop == "this loop" else None,
                }
                for loop, taken in seconds.items()
            ]
    show(rows, options, note=f"epochs of {count} images; the second network finds the images decoded")


def this_loop(
    images: np.ndarray, labels: np.ndarray, settings: TrainSettings, device: torch.device, folder: Path
) -> Callable[[], None]:
    """A stage of one epoch, with its checkpoint and its record of losses, on images in the device's memory."""
    classes = int(labels.max()) + 1
    feeder = ImageFeeder(images, device, memory_limit_bytes=images.nbytes)
    network = untrained(settings, classes)
    runs = 0

    def epoch() -> None:
        nonlocal runs
        runs += 1  # a new folder, or the stage would count as trained
        Training(
            network,
            feeder,
            labels,
            settings,
            device=device,
            checkpoints=folder / str(runs),
            spool=folder / f"{runs}.jsonl",
            custom={},
            emit=lambda _: None,
            threads=torch.get_num_threads(),
            log_every=10,
            checkpoint_minutes=5.0,
        ).run()

    return epoch


def conventional(
    split: Split, root: Path, labels: np.ndarray, settings: TrainSettings, device: torch.device, workers: int
) -> Callable[[], None]:
    """An epoch in the usual style."""
    network = untrained(settings, int(labels.max()) + 1).to(device).train()
    optimizer = make_optimizer(network, settings.optimizer)
    loader = DataLoader(
        _Files(split, root, labels, settings),
        batch_size(settings),
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        pin_memory=device.type == "cuda",
    )

    def epoch() -> None:
        running = 0.0
        for images, targets in loader:
            total, _ = compute_losses(network(images.to(device)), targets.to(device), settings.losses)
            optimizer.zero_grad()
            total.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            running += total.item()

    return epoch


class _Files(torch.utils.data.Dataset[Example]):
    """A map-style data set over image files."""

    def __init__(self, split: Split, root: Path, labels: np.ndarray, settings: TrainSettings) -> None:
        assert split.files is not None
        self._files = [str(root / file) for file in split.files]
        self._labels = labels
        steps: list[Any] = [
            transforms.Resize((settings.images.height_px, settings.images.width_px)),
            transforms.RandomHorizontalFlip(settings.augment.flip),
            transforms.ToTensor(),
            transforms.Normalize(settings.augment.mean, settings.augment.std),
        ]
        self._transform = transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Example:
        return self._transform(pil_loader(self._files[index])), int(self._labels[index])


if __name__ == "__main__":
    main()
