"""The images of a stage: its data set opened, and its splits in batches at the stage's size."""

from pathlib import Path

import torch

from harness.errors import InputError
from harness.reid.data import Dataset, Split, cached_images, held_out_split, label_map, open_dataset, split_fingerprint
from harness.reid.data.batches import DecodingFeeder, Feeder, ImageFeeder
from harness.reid.data.dataset import Ids
from harness.reid.train.settings import ImageSettings, Resources
from harness.trainer import Emit


def open_images(resources: Resources, images: ImageSettings, *, training: bool) -> Dataset:
    """The data set of a stage; with held-out identities, only the training folder is ever looked at.

    Raises:
        InputError: If the images are not those that the stage was planned with: its result would bear a wrong name.
    """
    place = resources.place_of(images.splits)
    whole = not training and images.held_out is None
    splits = (tuple(place.contents) or None) if whole else ("train",)
    dataset = open_dataset(place.dataset, Path(place.root), splits=splits)
    index = Path(resources.cache) / "index"
    for name, planned in images.splits.items():
        if split_fingerprint(dataset.splits[name], dataset.root, index) != planned:
            raise InputError(
                f"{dataset.root}: the images of {name} are not those that this run was planned with: some have been "
                "added, removed or changed; run the same command again"
            )
    if images.held_out is not None:
        return held_out_split(dataset, images.held_out.share, images.held_out.seed, images.held_out.part)
    return dataset


def trained_classes(resources: Resources, images: ImageSettings, dataset: Dataset) -> Ids:
    """The classes that a network scored on ``dataset`` was trained on, rising: by default those of its training."""
    if images.classes is None:
        return label_map(dataset.splits["train"].identities)
    place = resources.place_of({"train": images.classes})
    return label_map(open_dataset(place.dataset, Path(place.root), splits=("train",)).splits["train"].identities)


def feed(
    dataset: Dataset,
    split: Split,
    resources: Resources,
    images: ImageSettings,
    device: torch.device,
    emit: Emit,
    *,
    memory_limit_mb: int = 0,
) -> Feeder:
    """The split's images at the stage's size, decoded once and kept, or decoded every time: the same batches.

    Args:
        dataset: The opened data set.
        split: One of its splits.
        resources: Whether decoded images are kept, and where.
        images: The size.
        device: Where batches are wanted.
        emit: Called with the number of images decoded, and of all.
        memory_limit_mb: Kept images up to this size live on the device; for those that are seen more than once.
    """
    size = images.height_px, images.width_px
    if not resources.decoded_once:
        return DecodingFeeder(split, dataset.root, *size, device, workers=resources.threads)
    emit({"doing": f"opening the decoded images of {split.name}"})
    kept = cached_images(
        split,
        dataset.root,
        *size,
        Path(resources.cache),
        workers=resources.threads,
        progress=lambda done, of: emit({"doing": f"decoding the images of {split.name}", "done": done, "of": of}),
    )
    return ImageFeeder(kept, device, memory_limit_bytes=memory_limit_mb * 1_000_000)
