"""From an image's name to its identity and camera, as a layout's patterns say, and from names to numbers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from harness.reid.data.dataset import DISTRACTOR, JUNK, Split
from harness.reid.layout import LayoutSpec, MarkSpec
from harness.reid.pattern import pattern_depth, pattern_expression, pattern_suffix

Label = int | str
"""An identity or a camera as a name says it: a number where the pattern has ``:int``."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An image file and what its name says of it."""

    file: str
    identity: Label
    camera: Label | None


class Names:
    """Matches files' names with the patterns of a layout."""

    def __init__(self, spec: LayoutSpec) -> None:
        self._patterns = [
            (pattern_expression(pattern), pattern_suffix(pattern).lower(), pattern_depth(pattern))
            for pattern in spec.pattern
        ]
        texts = (*spec.pattern, *(split.line for split in spec.splits.declared().values()))
        self._numbers = {name for name in ("identity", "camera") if any(f"{{{name}:int}}" in text for text in texts)}
        self._names = {name for name in ("identity", "camera") if any(f"{{{name}}}" in text for text in texts)}

        self.training_counts = bool(self._names) or spec.apart or spec.task == "classification"
        """Whether numbers depend on the names in training, which are numbered first."""

    def said(self, file: str) -> dict[str, str] | None:
        """The parts of a file's name by the first pattern that fits; None if none does."""
        stem, _, suffix = file.rpartition(".")
        for expression, own_suffix, depth in self._patterns:
            if own_suffix in ("", f".{suffix.lower()}"):
                match = expression.fullmatch("/".join(stem.split("/")[-depth:]))
                if match is not None:
                    return match.groupdict()
        return None

    def fits_but_suffix(self, file: str) -> bool:
        """Whether a file has an image's name, whatever its suffix."""
        stem = file.rpartition(".")[0]
        return any(
            expression.fullmatch("/".join(stem.split("/")[-depth:])) is not None
            for expression, _, depth in self._patterns
        )

    def entry(self, file: str, listed: Mapping[str, str]) -> Entry | None:
        """A file with its identity and camera; what a list says of it goes before its name. None if it does not fit."""
        said = self.said(file)
        if said is None:
            return None
        said = {**said, **listed}
        camera = said.get("camera")
        return Entry(
            file, self._label("identity", said["identity"]), None if camera is None else self._label("camera", camera)
        )

    def _label(self, name: str, text: str) -> Label:
        """A number where every pattern that has the part says so: two kinds of labels could not be distinguished."""
        return int(text) if name in self._numbers and name not in self._names else text


class Marks:
    """Which images of a split are junk and distractors.

    Args:
        spec: The layout.
        files_at: Lists the files of a place.
    """

    def __init__(self, spec: LayoutSpec, files_at: Callable[[str], Iterable[str]]) -> None:
        meant = ((JUNK, spec.junk), (DISTRACTOR, spec.distractors))
        self._files = {file: value for value, mark in meant for place in mark.files for file in files_at(place)}
        self._identities = {label: value for value, mark in meant for label in _labels(mark)}

    def of(self, file: str, identity: Label | None) -> int | None:
        """``JUNK`` or ``DISTRACTOR``; None for an image of a person."""
        return self._files.get(file, None if identity is None else self._identities.get(identity))


def _labels(mark: MarkSpec) -> Iterable[Label]:
    """The identities meant: ``-1`` is the number and the name; ``0000`` the name, and the number 0."""
    for label in mark.identity:
        yield label
        yield str(label)
        if isinstance(label, str) and label.lstrip("-").isdecimal():
            yield int(label)


@dataclass(frozen=True)
class Numbering:
    """Numbers for identities and cameras."""

    splits: Mapping[str, Split]
    classes: tuple[str, ...]
    """Name of class i at place i, for classification."""


def numbered(
    spec: LayoutSpec,
    entries: Mapping[str, Sequence[Entry]],
    marks: Marks,
    training: Sequence[Entry] = (),
) -> Numbering:
    """The splits with whole numbers for identities and cameras.

    Numbers in names are kept. Names are numbered in order, those in training first: from 1, cameras from 0, classes
    (whose numbers are names) from 0. Where training and test are ``apart``, so are their identities.

    Args:
        spec: The layout.
        entries: The images of each split, sorted by file.
        marks: Which of them are junk or distractors.
        training: The training images, where ``entries`` lack them.
    """
    groups = {name: int(spec.apart and name != "train") for name in entries}
    marked = {
        entry.file: mark
        for entry in chain(training, *entries.values())
        if (mark := marks.of(entry.file, entry.identity)) is not None
    }
    first = [*entries.get("train", ()), *training]
    rest = [(groups[name], entry) for name, split in entries.items() if name != "train" for entry in split]
    identities = _numbers(
        {(0, entry.identity) for entry in first if entry.file not in marked},
        {(group, entry.identity) for group, entry in rest if entry.file not in marked},
        keep=spec.task == "reid" and not spec.apart,
        start=1 if spec.task == "reid" else 0,
    )
    cameras = _numbers(
        {(0, entry.camera) for entry in first if entry.camera is not None},
        {(0, entry.camera) for _, entry in rest if entry.camera is not None},
        keep=True,
        start=0,
    )
    splits = {}
    for name, split in entries.items():
        group, known = groups[name], any(entry.camera is not None for entry in split)
        splits[name] = Split.of_files(
            name,
            [entry.file for entry in split],
            [marked[entry.file] if entry.file in marked else identities[group, entry.identity] for entry in split],
            [0 if entry.camera is None else cameras[0, entry.camera] for entry in split] if known else None,
        )
    classes = sorted(identities, key=identities.__getitem__) if spec.task == "classification" else []
    return Numbering(splits, tuple(str(label) for _, label in classes))


def _numbers(
    first: set[tuple[int, Label]], rest: set[tuple[int, Label]], *, keep: bool, start: int
) -> dict[tuple[int, Label], int]:
    """A number for each label: itself where it is one and is to be kept, else its place among the sorted."""
    if keep and all(isinstance(label, int) for _, label in first | rest):
        return {(group, label): int(label) for group, label in first | rest}
    return {key: number for number, key in enumerate([*sorted(first), *sorted(rest - first)], start)}
