"""Opens data sets: the known ones (declared in ``known``), a layout of the user's own, or the user's own reader.

A user's reader is a function in an importable module, named ``package.module:function`` in a recipe::

    def my_shop(root: Path) -> Dataset:
        files = sorted(path.name for path in (root / "train").glob("*.png"))
        ...
        return Dataset("my_shop", root, {"train": Split.of_files("train", ...), "query": ..., "gallery": ...}, "reid")

It is given the folder that the user named. Splits are those of the task (``train``, ``query``, ``gallery``, or
``train``, ``test``); files are relative to ``Dataset.root``; people have identities from 1, distractors 0 and junk -1
in the gallery alone; classes count from 0. A reader reports what is wrong with a folder by raising
``harness.errors.InputError``.

What reads a layout is loaded by name, as a user's reader is: it is no part of a stage's code, since the contents of
the splits that it gives are part of the stage's identity. A new data set retrains nothing.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import InputError, did_you_mean
from harness.plugins import load_object
from harness.reid.data.dataset import SPLITS, Dataset, few
from harness.reid.data.protocol import Reading, examined
from harness.reid.layout import Named


def open_dataset(name: Named, root: Path, splits: Sequence[str] | None = None) -> Dataset:
    """Opens a data set that can be trained on and scored.

    Args:
        name: One of ``harness.reid.data.known.KNOWN``, a layout, or ``package.module:function`` of a user's reader.
        root: The set's folder, or one in which it lies under its own name.
        splits: The splits wanted; by default all. Of a declared layout, nothing else is looked at.

    Raises:
        InputError: If it is not found, a name does not fit, a split is empty, or its identities and cameras allow no
            meaningful score; names the place, what was found and what was expected.
    """
    reading = read_dataset(name, root, splits)
    if reading.problems:
        more = len(reading.problems) - 1
        raise InputError(reading.problems[0] + (f" (and {more} more such findings; see data check)" if more else ""))
    return reading.dataset


def read_dataset(name: Named, root: Path, splits: Sequence[str] | None = None) -> Reading:
    """Like ``open_dataset``, with what is wrong inside the folder as data, for callers that want all of it."""
    try:
        if isinstance(name, str) and ":" in name:
            return examined(Reading(_read_own(name, root, splits)))
        reading: Reading = load_object("harness.reid.data.known:read_known")(name, root, splits)
        return examined(reading)
    except OSError as error:
        raise InputError(f"{error.filename or root}: cannot be read ({error.strerror or error})") from error


def _read_own(reference: str, root: Path, splits: Sequence[str] | None) -> Dataset:
    """The data set of a user's reader, checked and reduced to the splits wanted."""
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
