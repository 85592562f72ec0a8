"""Reads a declared layout: the splits, and the identity and camera that each image's name says.

An image whose name does not follow the layout is an error, never passed over. Other files (``Thumbs.db``,
``synthetic.json``, hidden files) are ignored. A release's layout also has its counts and
names: a user's set in the same layout may have other names, and a note says how they differ.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from harness.errors import InputError
from harness.files import regular_file
from harness.formatting import counted
from harness.reid.data.dataset import DISTRACTOR, JUNK, SYNTHETIC_RECORD, Dataset, Split, few, people
from harness.reid.data.held_out import divided
from harness.reid.data.locate import Layout, locate
from harness.reid.data.naming import Entry, Marks, Names, numbered
from harness.reid.data.places import files_at, fixed_part, is_image, listed_files
from harness.reid.data.protocol import Reading
from harness.reid.layout import DrawSpec, LayoutSpec, SplitSpec

_FEW = 3
"""Names shown of many like ones."""


@dataclass(frozen=True)
class DeclaredLayout(Layout):
    """A layout with where it is looked for and, where it is that of a release, what the release holds.

    Attributes:
        spec: The declaration.
        naming: What to say of its names when one does not fit.
        released: Whole file names of the release; None: no release is known.
        release_rule: The same for people.
        size_px: Height and width of every image, where the release has one size.
        about: A note on this form of the set; empty for none.
    """

    spec: LayoutSpec
    naming: str
    released: re.Pattern[str] | None = None
    release_rule: str = ""
    size_px: tuple[int, int] | None = None
    about: str = ""


def layout_of(
    spec: LayoutSpec, *, folder: str = "", official: Mapping[str, tuple[int, int]] | None = None
) -> DeclaredLayout:
    """A declaration as a layout that can be looked for.

    Args:
        spec: The declaration.
        folder: The name of the folder inside the released archive; empty: none was released.
        official: The release's counts.
    """
    declared = spec.splits.declared()
    parts = {name: _parts(split) for name, split in declared.items()}
    if "all" in parts:
        parts = dict.fromkeys(("train", "test") if spec.task == "classification" else _RANKED, parts["all"])
    naming = f"{' or '.join(spec.pattern)}" + (f" ({', '.join(spec.suffixes)})" if spec.suffixes else "")
    return DeclaredLayout(
        dataset=spec.name,
        folder=folder or spec.name,
        aliases=tuple(spec.folders),
        parts=parts,
        official=official or {},
        spec=spec,
        naming=naming,
    )


_RANKED = ("train", "query", "gallery")


def _parts(split: SplitSpec) -> tuple[str, ...]:
    """Paths in the set's folder that a split requires."""
    if split.list:
        return (*split.list, split.folder) if split.folder else tuple(split.list)
    return tuple(dict.fromkeys(fixed_part(place) for place in split.files))


def read_declared(layout: DeclaredLayout, root: Path, splits: Sequence[str]) -> Reading:
    """The set's ``splits`` and all that is wrong with its names and counts; only the folders asked for are touched.

    Where identities or cameras are names and not numbers, the names in training are listed too: they are numbered
    first, so that equal splits have equal numbers whichever are opened.

    Raises:
        InputError: If no such folder is found, or a list cannot be read.
    """
    spec, folder = layout.spec, locate(layout, root, splits)
    reader = _Reader(layout, folder)
    declared = spec.splits.declared()
    if "all" in declared:
        numbering = numbered(spec, {"all": reader.entries(declared["all"])}, reader.marks)
        drawn = _drawn(spec, folder, numbering.splits["all"], reader.problems)
        read = {name: drawn[name] for name in splits if name in drawn}
    else:
        entries = {name: reader.entries(declared[name]) for name in splits}
        training = () if "train" in entries or not reader.names.training_counts else reader.unasked("train")
        numbering = numbered(spec, entries, reader.marks, training)
        read = dict(numbering.splits)
    reader.problems += _unmarked(layout, folder, read)
    notes = (
        *((layout.about,) if layout.about else ()),
        *_counted(layout, folder, read, reader),
        *_names_of_its_own(layout, folder, read, reader.problems),
        *reader.notes(),
    )
    dataset = Dataset(spec.name, folder, read, spec.task, notes, numbering.classes, spec.subjects)
    return Reading(dataset, tuple(reader.problems))


def composition(gallery: Split, subjects: str = "people") -> str:
    """Describes the parts of a gallery, which explains the several counts in circulation for the same one.

    >>> gallery = Split.of_files("gallery", ["a", "b", "c", "d"], identities=[-1, 0, 2, 2], cameras=[1, 1, 1, 2])
    >>> composition(gallery)
    '4 gallery images = 2 of 1 labelled people + 1 distractors (0000) + 1 junk (-1); 3 without junk'
    """
    junk = int((gallery.identities == JUNK).sum())
    distractors = int((gallery.identities == DISTRACTOR).sum())
    labelled, persons = len(gallery) - junk - distractors, len(people(gallery.identities))
    return (
        f"{len(gallery):,} gallery images = {labelled:,} of {persons:,} labelled {subjects} "
        f"+ {distractors:,} distractors (0000) + {junk:,} junk (-1); {len(gallery) - junk:,} without junk"
    )


class _Reader:
    """Lists a folder's images split by split, and remembers what it found on the way."""

    def __init__(self, layout: DeclaredLayout, folder: Path) -> None:
        self.problems: list[str] = []
        self.recorded = _recorded_counts(folder)
        self.names = Names(layout.spec)
        self.marks = Marks(layout.spec, lambda place: files_at(folder, place))
        self._layout = layout
        self._folder = folder
        self._suffixes = {suffix.lower() for suffix in layout.spec.suffixes}
        self._passed: list[str] = []

    def entries(self, spec: SplitSpec) -> list[Entry]:
        """The images of a split, sorted; those whose names do not fit are a problem."""
        listed = listed_files(self._folder, spec) if spec.list else {file: {} for file in self._found(spec.files)}
        entries: list[Entry] = []
        misnamed: list[str] = []
        for file in sorted(listed):
            entry = self.names.entry(file, listed[file])
            if entry is None and self.marks.of(file, None) is not None:
                entry = Entry(file, "", None)
            if entry is None:
                misnamed.append(file)
            else:
                entries.append(entry)
        parts = _parts(spec)
        where = self._folder / (parts[0] if len(parts) == 1 else "")
        if misnamed:
            self.problems.append(_misnamed(self._layout, self._folder, where, misnamed))
        if not entries:
            self.problems.append(f"{where}: no images; expected files like {self._layout.naming}")
        expected = None if self.recorded is None or len(parts) > 1 else self.recorded.get(parts[0])
        if expected is not None and expected != len(entries):
            message = f"found {len(entries)} images, expected {expected}, as in {SYNTHETIC_RECORD}"
            self.problems.append(f"{where}: {message}")
        return entries

    def unasked(self, split: str) -> list[Entry]:
        """The images of a split that is read for its names alone, if it is there."""
        spec = self._layout.spec.splits.declared().get(split)
        if spec is None or not all((self._folder / part).exists() for part in _parts(spec)):
            return []
        return _Reader(self._layout, self._folder).entries(spec)

    def notes(self) -> tuple[str, ...]:
        """A note on files with an image's name and a suffix that is not read as an image."""
        if not self._passed:
            return ()
        passed = f"{counted(len(self._passed), 'file')} passed over"
        return (f"{passed}, named like an image but with another suffix: {few(sorted(self._passed), _FEW)}",)

    def _found(self, places: Iterable[str]) -> set[str]:
        """The images at some places."""
        found = {file for place in places for file in files_at(self._folder, place)}
        images = {file for file in found if is_image(file) and self._is_read(file)}
        self._passed += [file for file in found - images if self.names.fits_but_suffix(file)]
        return images

    def _is_read(self, file: str) -> bool:
        return not self._suffixes or PurePosixPath(file).suffix.lower() in self._suffixes


def _misnamed(layout: DeclaredLayout, folder: Path, where: Path, files: Sequence[str]) -> str:
    """One problem for all images of a split whose names do not follow the layout."""
    expected = f"no {layout.dataset} name; expected one like {layout.naming}"
    if len(files) == 1:
        return f"{folder / files[0]}: {expected}"
    inside = [str((folder / file).relative_to(where)) for file in files]
    return f"{where}: {len(files):,} images ({few(inside, _FEW)}): {expected}"


def _unmarked(layout: DeclaredLayout, folder: Path, splits: Mapping[str, Split]) -> list[str]:
    """Problems of numbers below 1 that the layout declares to be neither junk nor distractors."""
    spec = layout.spec
    if spec.task == "classification":
        return []
    problems = []
    for value, key, meant in ((JUNK, "junk", spec.junk), (DISTRACTOR, "distractors", spec.distractors)):
        if meant.identity or meant.files:
            continue
        for split in splits.values():
            odd = np.flatnonzero(split.identities == value)
            if len(odd):
                name = split.image_name(int(odd[0]))
                problems.append(
                    f"{folder / name}: identity {value} ({len(odd)} such images) is not a person's number; declare "
                    f"{key}: {{identity: [{value}]}}, or write {{identity}} without :int to read it as a name"
                )
    return problems


def _drawn(spec: LayoutSpec, folder: Path, whole: Split, problems: list[str]) -> dict[str, Split]:
    """Training and test drawn from one split; junk and distractors go to the gallery."""
    draw = spec.draw or DrawSpec()
    marked = np.isin(whole.identities, (JUNK, DISTRACTOR)) & (spec.task == "reid")
    of_people = whole.subset("train", np.flatnonzero(~marked))
    try:
        splits, _ = divided(Dataset(spec.name, folder, {"train": of_people}, spec.task), draw.share, draw.seed)
    except InputError as error:
        problems.append(str(error))
        return {}
    if marked.any():
        chosen = np.flatnonzero(np.isin(whole.files or (), splits["gallery"].files or ()) | marked)
        splits["gallery"] = whole.subset("gallery", chosen)
    return splits


def _names_of_its_own(
    layout: DeclaredLayout, folder: Path, splits: Mapping[str, Split], problems: list[str]
) -> tuple[str, ...]:
    """A note on names that the release does not have; a problem of a folder that claims to be the release."""
    if layout.released is None:
        return ()
    names = [file for split in splits.values() for file in split.files or ()]
    own = [name for name in names if not layout.released.fullmatch(Path(name).name)]
    if not own:
        return ()
    found = f"{len(own):,} of {len(names):,} names are not as in the release ({layout.release_rule}): {few(own, _FEW)}"
    if folder.name == layout.folder:
        problems.append(f"{folder}: {found}; your own data set needs a folder name other than {layout.folder}")
        return ()
    return (found,)


def _counted(layout: DeclaredLayout, folder: Path, splits: Mapping[str, Split], reader: _Reader) -> tuple[str, ...]:
    """Notes on the counts. A folder that claims by its name to be the release must have the release's counts."""
    reid, generated = layout.spec.task == "reid", reader.recorded is not None
    found = {
        name: (len(split), len(people(split.identities) if reid else np.unique(split.identities)))
        for name, split in splits.items()
    }
    kinds = layout.spec.subjects if reid else "classes"
    message = ", ".join(f"{name} {images:,} images of {persons:,} {kinds}" for name, (images, persons) in found.items())
    draw = layout.spec.draw or DrawSpec()
    if layout.spec.splits.all is not None:
        return (f"drawn, share {draw.share:g}, seed {draw.seed}: {message}",) if message else ()
    if not layout.official:
        return (f"{'synthetic' if generated else 'as declared'}: {message}",)
    if all(found[name] == layout.official[name] for name in found) and not generated:
        return (f"the counts are those of the release: {message}",)
    if folder.name == layout.folder and not generated:
        for name in found:
            if found[name] != layout.official[name]:
                images, persons = layout.official[name]
                reader.problems.append(
                    f"{folder / layout.parts[name][0]}: found {found[name][0]:,} images of {found[name][1]:,} "
                    f"{kinds}, expected the release's {images:,} of {persons:,}; a set of your own needs another "
                    f"folder name than {layout.folder}"
                )
    kind = "synthetic" if generated else "not the release"
    return (f"{kind}: {message}",)


def _recorded_counts(folder: Path) -> Mapping[str, int] | None:
    """How many files a generated set says that each of its folders holds; None for a set that was not generated."""
    record = folder / SYNTHETIC_RECORD
    if not record.is_file():
        return None
    try:
        counts = json.loads(regular_file(record).read_text(encoding="utf-8"))["files"]
        return {str(name): int(count) for name, count in counts.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
