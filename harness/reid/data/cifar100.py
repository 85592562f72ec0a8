"""Reader of CIFAR-100's python pickles: ``train``, ``test`` and ``meta``."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import InputError
from harness.reid.data.dataset import Dataset, Ids, Images, Split, few, label_map
from harness.reid.data.locate import Layout, locate
from harness.reid.data.plain_pickle import load_plain_pickle
from harness.reid.data.protocol import Reading

CIFAR100 = Layout(
    dataset="cifar100",
    folder="cifar-100-python",
    aliases=("cifar-100", "cifar"),
    parts={"train": ("train",), "test": ("test",)},
    official={"train": (50_000, 100), "test": (10_000, 100)},
)
OFFICIAL_MD5 = {
    "train": "16019d7e3df5f24257cddd939b257f8d",
    "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
    "meta": "7973b15100ade9c7d40fb424638fde48",
}
_SIDE_PX = 32


def read_cifar100(root: Path, splits: Sequence[str]) -> Reading:
    """The fine classes of CIFAR-100 as identities, with their names; images are held in memory.

    Raises:
        InputError: If no such folder is found or a file is not what the layout says.
    """
    folder = locate(CIFAR100, root, splits)
    class_names = _class_names(folder / "meta")
    read = {name: _read_batch(folder / name, name, class_names) for name in splits}
    problems = tuple(f"{folder / name}: no images" for name, split in read.items() if not len(split))
    dataset = Dataset(CIFAR100.dataset, folder, read, "classification", class_names=class_names)
    return Reading(replace(dataset, notes=(_counts_note(dataset),)), problems)


def _counts_note(dataset: Dataset) -> str:
    counts = {name: (len(split), len(label_map(split.identities))) for name, split in dataset.splits.items()}
    told = ", ".join(f"{name} {images:,} images of {classes} classes" for name, (images, classes) in counts.items())
    if dataset.synthetic:
        kind = "synthetic"
    elif all(count == CIFAR100.official[name] for name, count in counts.items()):
        kind = "the counts are those of the release"
    else:
        kind = "not the release"
    return f"{kind}: {told}"


def _class_names(path: Path) -> tuple[str, ...]:
    names = _field(load_plain_pickle(path), "fine_label_names", path)
    if not isinstance(names, list) or not names:
        raise InputError(f"{path}: fine_label_names is no list of names")
    return tuple(name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name) for name in names)


def _read_batch(path: Path, split: str, class_names: Sequence[str]) -> Split:
    content = load_plain_pickle(path)
    labels = _labels(_field(content, "fine_labels", path), len(class_names), path)
    return Split(split, identities=labels, arrays=_pixels(_field(content, "data", path), len(labels), path))


def _labels(values: Any, classes: int, path: Path) -> Ids:
    try:
        labels = np.asarray(values, dtype=np.int64).reshape(len(values))
        if not np.array_equal(labels, values):
            raise ValueError
    except (ValueError, TypeError):
        raise InputError(f"{path}: fine_labels is no list of whole numbers") from None
    odd = np.unique(labels[(labels < 0) | (labels >= classes)])
    if len(odd):
        raise InputError(
            f"{path}: fine_labels has {few(odd)}, expected 0 to {classes - 1}, as meta names {classes} classes"
        )
    return labels


def _pixels(data: Any, images: int, path: Path) -> Images:
    """From rows of red, green and blue planes to RGB images, shape (N, 32, 32, 3)."""
    expected = (images, 3 * _SIDE_PX * _SIDE_PX)
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape != expected:
        found = f"{data.dtype} of shape {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        raise InputError(f"{path}: data is {found}, expected uint8 of shape {expected}, one row a label")
    return np.ascontiguousarray(data.reshape(images, 3, _SIDE_PX, _SIDE_PX).transpose(0, 2, 3, 1))


def _field(content: Mapping[str, Any], key: str, path: Path) -> Any:
    if key not in content:
        raise InputError(f'{path}: there is no "{key}", found {few(sorted(content), most=8)}')
    return content[key]
