"""Looks through a whole data set, decoding every image, and reports all that is wrong or unusual at once."""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harness.files import regular_file
from harness.reid.data.cifar import CifarLayout
from harness.reid.data.dataset import DISTRACTOR, JUNK, Dataset, Split, few, people
from harness.reid.data.declared import DeclaredLayout, composition
from harness.reid.data.decode import UnreadableImageError, decode_image
from harness.reid.data.known import KNOWN
from harness.reid.data.protocol import has_match, shared_identities
from harness.reid.data.readers import read_dataset
from harness.reid.layout import Named

Progress = Callable[[int, int], None]

_THREADS = 8
_BATCH = 512
_SHOWN = 5
"""Unreadable images shown of many with one reason."""
_RANKABLE = ("query", "gallery")


@dataclass(frozen=True)
class SplitReport:
    """The contents of one split. Sizes are ``WxH`` in pixels, as image programs write them, with their images."""

    images: int
    identities: int
    """People without junk and distractors, or classes."""
    images_per_identity: tuple[int, int]
    """Fewest and most."""
    cameras: Mapping[str, int]
    distractors: int
    junk: int
    sizes: Mapping[str, int]
    not_rgb: int
    """Images that are grey, with a palette or otherwise not RGB; they are converted."""


@dataclass(frozen=True)
class UnreadableImage:
    """An image that cannot be decoded, and why."""

    file: str
    reason: str


@dataclass(frozen=True)
class DatasetReport:
    """Findings of ``check_dataset``. ``problems`` and ``unreadable`` keep a set from being used; ``notes`` do not."""

    name: str
    root: str
    task: str
    splits: Mapping[str, SplitReport]
    problems: tuple[str, ...]
    unreadable: tuple[UnreadableImage, ...]
    shared_identities: tuple[int, ...]
    """People who are in training and in test."""
    queries_without_match: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())
    subjects: str = "people"

    @property
    def usable(self) -> bool:
        """Whether the set can be trained on and scored as it is."""
        return not self.problems and not self.unreadable

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain data."""
        return {**asdict(self), "usable": self.usable}

    def lines(self) -> list[str]:
        """Everything, as readable text."""
        lines = [f"{self.name} in {self.root}"]
        for name, split in self.splits.items():
            lines.append(f"  {name:<8} {_split_text(split, self.subjects)}")
        lines += [f"  problem  {problem}" for problem in self.problems]
        lines += [f"  unreadable  {line}" for line in _unreadable_lines(self.unreadable)]
        if self.shared_identities:
            lines.append(f"  in training and in test  {len(self.shared_identities)}: {few(self.shared_identities, 10)}")
        if self.queries_without_match:
            lines.append(
                f"  queries without a match  {len(self.queries_without_match)}: {few(self.queries_without_match, 10)}"
            )
        lines += [f"  note     {note}" for note in self.notes]
        found = len(self.problems) + len(self.unreadable)
        lines.append("usable" if self.usable else f"not usable as it is: {found} problem{'s' if found > 1 else ''}")
        return lines


def check_dataset(name: Named, root: Path, progress: Progress | None = None) -> DatasetReport:
    """Reads a data set whole.

    Args:
        name: As for ``open_dataset``.
        root: As for ``open_dataset``.
        progress: Called with the number of images decoded, and of all.

    Raises:
        InputError: If no such set is found. What is wrong inside it is reported, not raised.
    """
    reading = read_dataset(name, root)
    dataset = reading.dataset
    looks = _look_at_files(dataset, progress)
    reports = {
        split: _report(dataset.splits[split], looks.get(split), reid=dataset.task == "reid") for split in dataset.splits
    }
    unreadable = tuple(image for look in looks.values() for image in look.unreadable)
    matchless: tuple[str, ...] = ()
    if all(part in dataset.splits and len(dataset.splits[part]) for part in _RANKABLE):
        query = dataset.splits["query"]
        matched = has_match(query, dataset.splits["gallery"])
        matchless = tuple(query.image_name(int(index)) for index in np.flatnonzero(~matched))
    return DatasetReport(
        name=dataset.name,
        root=str(dataset.root),
        task=dataset.task,
        splits=reports,
        problems=reading.problems,
        unreadable=unreadable,
        shared_identities=tuple(shared_identities(dataset).tolist()),
        queries_without_match=matchless,
        notes=(*dataset.notes, *_further_notes(dataset, reports)),
        subjects="classes" if dataset.task == "classification" else dataset.subjects,
    )


@dataclass
class _Look:
    """The findings of decoding a split's files."""

    sizes: Counter[str] = field(default_factory=Counter)
    not_rgb: int = 0
    unreadable: list[UnreadableImage] = field(default_factory=list)


def _look_at_files(dataset: Dataset, progress: Progress | None) -> dict[str, _Look]:
    """Decodes every file of every split, side by side."""
    files = [(name, file) for name, split in dataset.splits.items() for file in split.files or ()]
    looks = {name: _Look() for name, split in dataset.splits.items() if split.files is not None}
    with ThreadPoolExecutor(_THREADS) as pool:
        for first in range(0, len(files), _BATCH):
            batch = files[first : first + _BATCH]
            decoded = pool.map(lambda entry: _decode(dataset, entry[1]), batch)
            for look, seen in zip((looks[name] for name, _ in batch), decoded, strict=True):
                if isinstance(seen, UnreadableImage):
                    look.unreadable.append(seen)
                else:
                    look.sizes[seen[0]] += 1
                    look.not_rgb += not seen[1]
            if progress is not None:
                progress(first + len(batch), len(files))
    return looks


def _decode(dataset: Dataset, file: str) -> tuple[str, bool] | UnreadableImage:
    """Size of an image and whether it is RGB as it lies there."""
    try:
        image, mode = decode_image(dataset.root / file)
    except UnreadableImageError as error:
        return UnreadableImage(file, error.reason)
    return f"{image.width}x{image.height}", mode == "RGB"


def _report(split: Split, look: _Look | None, *, reid: bool) -> SplitReport:
    labelled = split.identities
    if reid:  # 0 and -1 are nobody's identity
        labelled = labelled[np.isin(labelled, people(labelled))]
    counts = np.unique(labelled, return_counts=True)[1]
    sizes: Mapping[str, int] = {}
    if look is not None:
        sizes = dict(look.sizes.most_common())
    elif split.arrays is not None:
        sizes = {f"{split.arrays.shape[2]}x{split.arrays.shape[1]}": len(split)}
    cameras = () if split.cameras is None else zip(*np.unique(split.cameras, return_counts=True), strict=True)
    return SplitReport(
        images=len(split),
        identities=len(counts),
        images_per_identity=(int(counts.min()), int(counts.max())) if len(counts) else (0, 0),
        cameras={str(camera): int(count) for camera, count in cameras},
        distractors=int((split.identities == DISTRACTOR).sum()) if reid else 0,
        junk=int((split.identities == JUNK).sum()) if reid else 0,
        sizes=sizes,
        not_rgb=0 if look is None else look.not_rgb,
    )


def _unreadable_lines(images: Sequence[UnreadableImage]) -> list[str]:
    """The unreadable images as lines; of many with one reason, the first few and how many more there are."""
    by_reason: dict[str, list[str]] = {}
    for image in images:
        by_reason.setdefault(image.reason, []).append(image.file)
    lines = []
    for reason, files in by_reason.items():
        lines += [f"{file}: {reason}" for file in files[:_SHOWN]]
        if len(files) > _SHOWN:
            lines.append(f"and {len(files) - _SHOWN:,} more for the same reason (--json lists all)")
    return lines


def _split_text(split: SplitReport, subjects: str) -> str:
    fewest, most = split.images_per_identity
    parts = [f"{split.images:,} images of {split.identities:,} {subjects} ({fewest} to {most} each)"]
    if split.distractors or split.junk:
        parts.append(f"{split.distractors:,} distractors, {split.junk:,} junk")
    if split.cameras:
        parts.append("by camera " + ", ".join(f"{camera}: {count:,}" for camera, count in split.cameras.items()))
    if len(split.sizes) == 1:
        parts.append(f"{next(iter(split.sizes))} pixels")
    elif split.sizes:
        parts.append(f"{len(split.sizes)} sizes, most often {next(iter(split.sizes))}")
    if split.not_rgb:
        parts.append(f"{split.not_rgb:,} not RGB")
    return "; ".join(parts)


def _further_notes(dataset: Dataset, reports: Mapping[str, SplitReport]) -> list[str]:
    notes = []
    if "gallery" in reports and (reports["gallery"].distractors or reports["gallery"].junk):
        notes.append(composition(dataset.splits["gallery"], dataset.subjects))
    layout = KNOWN[dataset.name][0].layout if dataset.name in KNOWN else None
    if isinstance(layout, DeclaredLayout) and layout.size_px is not None:
        height, width = layout.size_px
        usual = f"{width}x{height}"
        for name, report in reports.items():
            odd = {size: count for size, count in report.sizes.items() if size != usual}
            if odd:
                listed = few((f"{size} ({count})" for size, count in odd.items()), most=3)
                notes.append(f"{name}: {sum(odd.values())} images are not {usual} as in the release: {listed}")
    if isinstance(layout, CifarLayout) and not dataset.synthetic:
        notes.append(_checksums(layout, dataset.root))
    return notes


def _checksums(layout: CifarLayout, root: Path) -> str:
    differing = [
        name
        for name, expected in layout.md5.items()
        if hashlib.md5(regular_file(root / name).read_bytes(), usedforsecurity=False).hexdigest() != expected
    ]
    if not differing:
        return "the files are the release's, byte for byte"
    return f"{few(differing)} differ from the release's files"
