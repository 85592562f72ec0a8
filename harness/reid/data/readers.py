"""Opens data sets by name: the three layouts, or a user's own reader.

A user's reader is a function in an importable module, named ``package.module:function`` in a recipe::

    def my_shop(root: Path) -> Dataset:
        files = sorted(path.name for path in (root / "train").glob("*.png"))
        ...
        return Dataset("my_shop", root, {"train": Split.of_files("train", ...), "query": ..., "gallery": ...}, "reid")

It is given the folder that the user named. Splits are those of the task (``train``, ``query``, ``gallery``, or
``train``, ``test``); files are relative to ``Dataset.root``; people have identities from 1, distractors 0 and junk -1
in the gallery alone; classes count from 0. What is wrong with a folder, the reader tells by raising
``harness.errors.InputError``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from harness.errors import InputError, did_you_mean
from harness.plugins import load_object
from harness.reid.data.cifar100 import CIFAR100, read_cifar100
from harness.reid.data.dataset import SPLITS, Dataset, few
from harness.reid.data.locate import Layout, holds
from harness.reid.data.protocol import Reading, examined
from harness.reid.data.reid import DUKEMTMC_REID, MARKET1501, read_reid

_READERS: Mapping[str, tuple[Layout, Callable[[Path, Sequence[str]], Reading]]] = {
    MARKET1501.dataset: (MARKET1501, partial(read_reid, MARKET1501)),
    DUKEMTMC_REID.dataset: (DUKEMTMC_REID, partial(read_reid, DUKEMTMC_REID)),
    CIFAR100.dataset: (CIFAR100, read_cifar100),
}

DATASETS: tuple[str, ...] = tuple(_READERS)
"""The data sets that have a reader here."""


def open_dataset(name: str, root: Path, splits: Sequence[str] | None = None) -> Dataset:
    """Opens a data set that can be trained on and scored.

    Args:
        name: One of ``DATASETS``, or ``package.module:function`` of a user's reader.
        root: The set's folder, or one in which it lies under its own name.
        splits: The splits wanted; by default all. Of a known layout, nothing else is looked at.

    Raises:
        InputError: If it is not found, a name does not fit, a split is empty, or its identities and cameras allow no
            meaningful score; names the place, what was found and what was expected.
    """
    reading = read_dataset(name, root, splits)
    if reading.problems:
        more = len(reading.problems) - 1
        raise InputError(reading.problems[0] + (f" (and {more} more such findings; see data check)" if more else ""))
    return reading.dataset


def read_dataset(name: str, root: Path, splits: Sequence[str] | None = None) -> Reading:
    """Like ``open_dataset``, with what is wrong inside the folder as data, for whoever wants to know all of it."""
    try:
        if ":" in name:
            return examined(Reading(_read_own(name, root, splits)))
        if name not in _READERS:
            raise InputError(f'data set "{name}": {did_you_mean(name, DATASETS)}, or package.module:function')
        layout, read = _READERS[name]
        for split in splits or ():
            if split not in layout.parts:
                raise InputError(f'split "{split}" of {name}: {did_you_mean(split, layout.parts)}')
        return examined(read(root, tuple(splits or layout.parts)))
    except OSError as error:
        raise InputError(f"{error.filename or root}: cannot be read ({error.strerror or error})") from error


def find_dataset(name: str, candidates: Iterable[Path]) -> tuple[Path | None, tuple[Path, ...]]:
    """The first of the candidate folders that holds the set, or a part of it, and the places looked in.

    A folder with a part counts as found, so that opening it tells what is missing instead of nobody noticing. For a
    user's own reader the first folder that exists is taken.
    """
    looked: list[Path] = []
    for candidate in candidates:
        looked.append(candidate)
        if candidate.is_dir() if ":" in name else holds(_layout(name), candidate):
            return candidate, tuple(looked)
    return None, tuple(looked)


def release_counts(name: str) -> Mapping[str, tuple[int, int]] | None:
    """Images and identities (or classes) of each split of a data set's release; None for a reader of the user's own.

    >>> release_counts("cifar100")
    {'train': (50000, 100), 'test': (10000, 100)}
    """
    return _READERS[name][0].official if name in _READERS else None


def recognise(root: Path) -> str:
    """The name of the data set in a folder.

    Market-1501 and DukeMTMC-reID have the same folders; the names of their images tell them apart.

    Raises:
        InputError: If it is none of ``DATASETS``.
    """
    held = [name for name in DATASETS if holds(_layout(name), root)]
    if not held:
        raise InputError(
            f"{root}: holds none of {', '.join(DATASETS)}"
            + ("" if root.is_dir() else ", and is no folder")
            + "; name a folder with bounding_box_train, bounding_box_test and query, or with train, test and meta"
        )
    if len(held) == 1:
        return held[0]
    return max(held, key=lambda name: _images_read(name, root))


def _images_read(name: str, root: Path) -> int:
    """How many of a folder's images a reader takes; -1 if it cannot read the folder at all."""
    try:
        return sum(len(split) for split in read_dataset(name, root).dataset.splits.values())
    except InputError:
        return -1


def _layout(name: str) -> Layout:
    if name not in _READERS:
        raise InputError(f'data set "{name}": {did_you_mean(name, DATASETS)}, or package.module:function')
    return _READERS[name][0]


def _read_own(reference: str, root: Path, splits: Sequence[str] | None) -> Dataset:
    """What a user's reader returns, checked and cut down to the splits wanted."""
    reader = load_object(reference)
    if not callable(reader):
        raise InputError(f"data reader {reference}: expected a function of the folder, found {type(reader).__name__}")
    dataset = reader(root)
    if not isinstance(dataset, Dataset):
        raise InputError(
            f"data reader {reference}: returned {type(dataset).__name__}, expected harness.reid.data.Dataset"
        )
    expected = SPLITS.get(dataset.task)
    if expected is None:
        raise InputError(f'data reader {reference}: task "{dataset.task}": {did_you_mean(str(dataset.task), SPLITS)}')
    wanted = tuple(splits or expected)
    missing = [split for split in wanted if split not in dataset.splits]
    if missing:
        raise InputError(
            f"data reader {reference}: no split {few(missing)}; found {few(dataset.splits)}, "
            f"expected {', '.join(expected)}"
        )
    empty = [split for split in wanted if not len(dataset.splits[split])]
    if empty:
        raise InputError(f"data reader {reference}: no images in split {few(empty)} of {root}")
    return replace(dataset, name=reference, splits={split: dataset.splits[split] for split in wanted})
