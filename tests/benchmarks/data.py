"""Images per second delivered to the network: this pipeline against torchvision, PIL and a DataLoader's workers.

    python tests/benchmarks/data.py [--identities N] [--workers N] [--json FILE]

Both read a synthetic set in Market-1501's layout (128 x 64 JPEG files), resize to 256 x 128, and augment alike: flip,
pad by 10 and crop, random erasing, normalisation; batches of 128, float32, on the device. This pipeline decodes once,
which has its own line, and from then on either gathers from memory on the device (resident) or reads ahead
from the mapped cache (streamed).
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import arguments, median_seconds, show
from subjects import pedestrians
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from harness.reid.data import Split, cached_images, open_dataset
from harness.reid.data.augment import augment, draw_augmentation
from harness.reid.data.batches import DecodingFeeder, Feeder, ImageFeeder

HEIGHT, WIDTH, BATCH = 256, 128, 128
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FLIP, PAD, ERASE = 0.5, 10, 0.5
TARGET = "20 x the baseline or more, once decoded (two cores)"


def main() -> None:
    """Measures each pipeline over whole epochs of the same images."""
    options = arguments(
        __doc__,
        ("--identities", {"type": int, "default": 120, "help": "size of the synthetic set"}),
        ("--workers", {"type": int, "default": 2, "help": "the baseline's processes"}),
        ("--repeats", {"type": int, "default": 3}),
    )
    device: torch.device = options.device
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = open_dataset("market1501", pedestrians(folder / "set", options.identities))
        split = dataset.splits["train"]
        if len(split) < BATCH:
            raise SystemExit(f"--identities {options.identities}: {len(split)} images to train on, expected {BATCH}")
        started = time.perf_counter()
        images = cached_images(split, dataset.root, HEIGHT, WIDTH, folder / "cache", workers=options.threads)
        decoding_s = time.perf_counter() - started
        count = len(split) // BATCH * BATCH
        baseline = conventional_epoch(split, dataset.root, folder / "classes", options.workers, device)
        resident, streamed = (
            cached_epoch(ImageFeeder(images, device, memory_limit_bytes=limit), split, device)
            for limit in (images.nbytes, 0)
        )
        anew = cached_epoch(
            DecodingFeeder(split, dataset.root, HEIGHT, WIDTH, device, workers=options.workers), split, device
        )
        slow = median_seconds({"baseline": baseline, "anew": anew}, device, warm_up=0, repeats=options.repeats)
        fast = median_seconds({"resident": resident, "streamed": streamed}, device, repeats=4 * options.repeats)
    speeds = {name: count / seconds for name, seconds in {**slow, **fast}.items()}
    titles = {
        "baseline": f"torchvision + DataLoader ({options.workers} workers)",
        "resident": "this pipeline, resident",
        "streamed": "this pipeline, streamed" + (" through pinned memory" if device.type == "cuda" else ""),
        "anew": f"this pipeline, decoded anew ({options.workers} workers)",
    }
    rows: list[dict[str, Any]] = [
        {"pipeline": titles[name], "images/s": speed, "ratio": speed / speeds["baseline"]}
        for name, speed in speeds.items()
    ]
    rows.append({"pipeline": "decoding, once", "images/s": len(split) / decoding_s, "ratio": None})
    show(rows, options, target=TARGET, note=f"epochs of {count} images")


def cached_epoch(feeder: Feeder, split: Split, device: torch.device) -> Callable[[], None]:
    """An epoch of this pipeline, as the training loop takes it."""
    labels = np.asarray(split.identities, dtype=np.int64)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.empty((BATCH, 3, HEIGHT, WIDTH), device=device, memory_format=torch.channels_last)

    def epoch() -> None:
        order = torch.randperm(len(split), generator=generator).numpy()
        for batch in feeder.batches(order[: len(split) // BATCH * BATCH].reshape(-1, BATCH), labels):
            draws = draw_augmentation(
                BATCH, height=HEIGHT, width=WIDTH, flip=FLIP, pad_px=PAD, erase=ERASE, generator=generator
            )
            draws = draws.to(device)
            augment(batch.images, draws, MEAN, STD, rows=batch.rows, out=pixels, threads=torch.get_num_threads())

    return epoch


def conventional_epoch(
    split: Split, root: Path, folder: Path, workers: int, device: torch.device
) -> Callable[[], None]:
    """An epoch of the baseline: an ``ImageFolder`` of links to the files, transforms one image at a time, workers."""
    assert split.files is not None
    for file, identity in zip(split.files, split.identities, strict=True):
        place = folder / str(identity)
        place.mkdir(parents=True, exist_ok=True)
        (place / Path(file).name).symlink_to(root / file)
    dataset = ImageFolder(
        str(folder),
        transforms.Compose(
            [
                transforms.Resize((HEIGHT, WIDTH)),
                transforms.RandomHorizontalFlip(FLIP),
                transforms.Pad(PAD),
                transforms.RandomCrop((HEIGHT, WIDTH)),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
                transforms.RandomErasing(ERASE),
            ]
        ),
    )
    loader = DataLoader(
        dataset,
        BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=device.type == "cuda",
    )

    def epoch() -> None:
        for images, labels in loader:
            images.to(device, non_blocking=True)
            labels.to(device, non_blocking=True)

    return epoch


if __name__ == "__main__":
    main()
