"""Reader of the python pickles of CIFAR-10 and CIFAR-100."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import InputError
from harness.reid.data.dataset import Dataset, Ids, Images, Split, few, label_map
from harness.reid.data.locate import Layout, locate
from harness.reid.data.plain_pickle import load_plain_pickle
from harness.reid.data.protocol import Reading


@dataclass(frozen=True)
class CifarLayout(Layout):
    """The files of one of the two sets.

    Attributes:
        meta: The file with the classes' names.
        names: The key of the names in it.
        labels: The key of an image's class in the other files.
        md5: What each file of the release hashes to.
    """

    meta: str
    names: str
    labels: str
    md5: Mapping[str, str]


CIFAR100 = CifarLayout(
    dataset="cifar100",
    folder="cifar-100-python",
    aliases=("cifar-100", "cifar"),
    parts={"train": ("train",), "test": ("test",)},
    official={"train": (50_000, 100), "test": (10_000, 100)},
    meta="meta",
    names="fine_label_names",
    labels="fine_labels",
    md5={
        "train": "16019d7e3df5f24257cddd939b257f8d",
        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        "meta": "7973b15100ade9c7d40fb424638fde48",
    },
)
CIFAR10 = CifarLayout(
    dataset="cifar10",
    folder="cifar-10-batches-py",
    aliases=("cifar-10",),
    parts={"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)},
    official={"train": (50_000, 10), "test": (10_000, 10)},
    meta="batches.meta",
    names="label_names",
    labels="labels",
    md5={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
        "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    },
)
_SIDE_PX = 32


def read_cifar(layout: CifarLayout, root: Path, splits: Sequence[str]) -> Reading:
    """The (fine) classes as identities, with their names; images are held in memory.

    Raises:
        InputError: If no such folder is found or a file is not what the layout says.
    """
    folder = locate(layout, root, splits)
    class_names = _class_names(folder / layout.meta, layout.names)
    read = {name: _read_split(layout, folder, name, class_names) for name in splits}
    problems = tuple(f"{folder / layout.parts[name][0]}: no images" for name, split in read.items() if not len(split))
    dataset = Dataset(layout.dataset, folder, read, "classification", class_names=class_names)
    return Reading(replace(dataset, notes=(_counts_note(layout, dataset),)), problems)


def _counts_note(layout: CifarLayout, dataset: Dataset) -> str:
    counts = {name: (len(split), len(label_map(split.identities))) for name, split in dataset.splits.items()}
    message = ", ".join(f"{name} {images:,} images of {classes} classes" for name, (images, classes) in counts.items())
    if dataset.synthetic:
        kind = "synthetic"
    elif all(count == layout.official[name] for name, count in counts.items()):
        kind = "the counts are those of the release"
    else:
        kind = "not the release"
    return f"{kind}: {message}"


def _class_names(path: Path, key: str) -> tuple[str, ...]:
    names = _field(load_plain_pickle(path), key, path)
    if not isinstance(names, list) or not names:
        raise InputError(f"{path}: {key} is not a list of names")
    return tuple(name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name) for name in names)


def _read_split(layout: CifarLayout, folder: Path, split: str, class_names: Sequence[str]) -> Split:
    """The images of a split's files, one after another."""
    labels, images = [], []
    for part in layout.parts[split]:
        path = folder / part
        content = load_plain_pickle(path)
        labels.append(_labels(_field(content, layout.labels, path), len(class_names), path, layout))
        images.append(_pixels(_field(content, "data", path), len(labels[-1]), path))
    if len(images) == 1:
        return Split(split, identities=labels[0], arrays=images[0])
    return Split(split, identities=np.concatenate(labels), arrays=np.concatenate(images))


def _labels(values: Any, classes: int, path: Path, layout: CifarLayout) -> Ids:
    try:
        labels = np.asarray(values, dtype=np.int64).reshape(len(values))
        if not np.array_equal(labels, values):
            raise ValueError
    except (ValueError, TypeError):
        raise InputError(f"{path}: {layout.labels} is not a list of whole numbers") from None
    odd = np.unique(labels[(labels < 0) | (labels >= classes)])
    if len(odd):
        raise InputError(
            f"{path}: {layout.labels} has {few(odd)}, expected 0 to {classes - 1}, "
            f"as {layout.meta} names {classes} classes"
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
