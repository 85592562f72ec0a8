"""A data set: splits of images with identities, and the paths of their files."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

JUNK = -1
"""Identity of a gallery box that shows too little of a person: left out of scoring."""
DISTRACTOR = 0
"""Identity of a gallery box that shows none of the labelled people: ranked, and always wrong."""

SYNTHETIC_RECORD = "synthetic.json"
"""File that marks a generated set."""

Ids = NDArray[np.int64]
Images = NDArray[np.uint8]
Task = Literal["reid", "classification"]

SPLITS: Mapping[Task, tuple[str, ...]] = {"reid": ("train", "query", "gallery"), "classification": ("train", "test")}
"""The splits that a data set of each task has, in order."""


@dataclass(frozen=True, eq=False)
class Split:
    """Images of one part of a data set, as files or as an array, each with its identity.

    Files are in the order of their names, so that equal contents mean equal order whatever a file system lists;
    ``Split.of_files`` sorts. An array's own order is kept.

    Attributes:
        name: ``train``, ``query``, ``gallery`` or ``test``.
        identities: Identity (re-identification) or class of each image, shape (N,).
        cameras: Camera of each image, shape (N,); None where there are none.
        files: Image files relative to the data set's root, with ``/`` between folders.
        arrays: Images as RGB, shape (N, H, W, 3). Exactly one of ``files`` and ``arrays`` is given.

    Raises:
        ValueError: If the parts do not fit each other.
    """

    name: str
    identities: Ids
    cameras: Ids | None = None
    files: tuple[str, ...] | None = None
    arrays: Images | None = None

    def __post_init__(self) -> None:
        if (self.files is None) == (self.arrays is None):
            raise ValueError(f'split "{self.name}": expected either files or arrays')
        for what, found in (("identities", self.identities), ("cameras", self.cameras)):
            if found is not None and (found.shape != (len(self),) or found.dtype != np.int64):
                raise ValueError(
                    f'split "{self.name}": {what} are {found.dtype} of shape {found.shape}, '
                    f"expected int64 of shape ({len(self)},)"
                )
        if self.files is not None and list(self.files) != sorted(set(self.files)):
            raise ValueError(f'split "{self.name}": files are not sorted or not unique; use Split.of_files')
        if self.arrays is not None and (
            self.arrays.dtype != np.uint8 or self.arrays.ndim != 4 or self.arrays.shape[3] != 3
        ):
            raise ValueError(
                f'split "{self.name}": arrays are {self.arrays.dtype} of shape {self.arrays.shape}, '
                "expected uint8 of shape (N, H, W, 3)"
            )

    @classmethod
    def of_files(
        cls, name: str, files: Sequence[str], identities: ArrayLike, cameras: ArrayLike | None = None
    ) -> "Split":
        """A split of image files given in any order.

        >>> Split.of_files("train", ["b.jpg", "a.jpg"], identities=[7, 3]).identities.tolist()
        [3, 7]
        """
        order = np.array(sorted(range(len(files)), key=files.__getitem__), dtype=np.intp)
        return cls(
            name=name,
            identities=np.asarray(identities, dtype=np.int64)[order],
            cameras=None if cameras is None else np.asarray(cameras, dtype=np.int64)[order],
            files=tuple(files[index] for index in order),
        )

    def __len__(self) -> int:
        if self.files is not None:
            return len(self.files)
        return 0 if self.arrays is None else len(self.arrays)

    def image_name(self, index: int) -> str:
        """The name of an image in messages: its file, or its index in the array."""
        return f"{self.name}[{index}]" if self.files is None else self.files[index]

    def subset(self, name: str, indices: ArrayLike) -> "Split":
        """The images at ``indices``, in this split's order, as a split called ``name``."""
        chosen = np.sort(np.asarray(indices, dtype=np.intp))
        return Split(
            name=name,
            identities=self.identities[chosen],
            cameras=None if self.cameras is None else self.cameras[chosen],
            files=None if self.files is None else tuple(self.files[index] for index in chosen),
            arrays=None if self.arrays is None else self.arrays[chosen],
        )


@dataclass(frozen=True, eq=False)
class Dataset:
    """An opened data set: its folder, its splits, and what a report should say about it.

    Attributes:
        name: The reader's name, as a recipe writes it.
        root: The folder that the splits' files are relative to.
        splits: ``train``, ``query`` and ``gallery``, or ``train`` and ``test``; those that were asked for.
        task: ``reid``: identities are people, scored by ranking. ``classification``: identities are classes.
        notes: Sentences that belong beside any result on this set: its counts, and what is unusual about it.
        class_names: Name of class i at place i; empty for re-identification.
        subjects: Whose identities they are, for messages: people, vehicles.
    """

    name: str
    root: Path
    splits: Mapping[str, Split]
    task: Task
    notes: tuple[str, ...] = ()
    class_names: tuple[str, ...] = field(default=())
    subjects: str = "people"

    @property
    def synthetic(self) -> bool:
        """Whether the folder says that a generator made it."""
        return (self.root / SYNTHETIC_RECORD).is_file()


def label_map(identities: Ids) -> Ids:
    """The distinct identities in rising order: the class of an identity is its place here.

    Sorted, so that it depends on the identities alone and not on the order in which images were listed. With it, the
    classes of all images are ``np.searchsorted(label_map(identities), identities)``.

    >>> label_map(np.array([1501, 2, 7, 2])).tolist()
    [2, 7, 1501]
    """
    return np.unique(identities)


def people(identities: Ids) -> Ids:
    """The labelled people among gallery identities, rising: without junk and distractors.

    >>> people(np.array([3, -1, 0, 3, 2])).tolist()
    [2, 3]
    """
    return np.setdiff1d(identities, (JUNK, DISTRACTOR))


def few(items: Iterable[object], most: int = 5) -> str:
    """A listing that stays readable: the first items, and how many more there are.

    >>> few([1, 2, 3, 4], most=2)
    '1, 2 and 2 more'
    """
    listed = list(items)
    message = ", ".join(str(item) for item in listed[:most])
    return message if len(listed) <= most else f"{message} and {len(listed) - most} more"
