"""The images of a stage: its data set opened, and its splits in batches at the stage's size."""

from pathlib import Path

import torch

from harness.data import Dataset, Split, cached_images, held_out_split, open_dataset
from harness.data.batches import DecodingFeeder, Feeder, ImageFeeder
from harness.train.settings import Circumstances, ImageSettings


def open_images(circumstances: Circumstances, images: ImageSettings, *, training: bool) -> Dataset:
    """The data set of a stage; with held-out identities, only the training folder is ever looked at."""
    root = Path(circumstances.root)
    if images.held_out is not None:
        dataset = open_dataset(circumstances.dataset, root, splits=("train",))
        return held_out_split(dataset, images.held_out.share, images.held_out.seed)
    if training:
        return open_dataset(circumstances.dataset, root, splits=("train",))
    return open_dataset(circumstances.dataset, root)


def feed(
    dataset: Dataset,
    split: Split,
    circumstances: Circumstances,
    images: ImageSettings,
    device: torch.device,
    *,
    memory_limit_mb: int = 0,
) -> Feeder:
    """The split's images at the stage's size, decoded once and kept, or anew each time: the same batches.

    Args:
        dataset: The opened data set.
        split: One of its splits.
        circumstances: Whether decoded images are kept, and where.
        images: The size.
        device: Where batches are wanted.
        memory_limit_mb: Kept images up to this size live on the device; for those that are seen more than once.
    """
    size = images.height_px, images.width_px
    if not circumstances.decoded_once:
        return DecodingFeeder(split, dataset.root, *size, device, workers=circumstances.threads)
    kept = cached_images(split, dataset.root, *size, Path(circumstances.cache), workers=circumstances.threads)
    return ImageFeeder(kept, device, memory_limit_bytes=memory_limit_mb * 1_000_000)
