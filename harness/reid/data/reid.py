"""Readers of the two re-identification layouts: three folders of images whose names carry identity and camera.

The layout is the release's; a set of one's own may have any number of digits, any camera and any image suffix, and a
note says how its names differ from the release's. An image whose name does not follow the layout is an error, never
passed over. Other files (``Thumbs.db``, ``synthetic.json``, hidden files) are no business of ours.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.files import regular_file
from harness.reid.data.dataset import DISTRACTOR, JUNK, SYNTHETIC_RECORD, Dataset, Split, few, people
from harness.reid.data.locate import Layout, locate
from harness.reid.data.protocol import Reading
from harness.words import counted

_IMAGES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
_NUMBER = "[0-9]{1,18}"  # whatever an int64 holds
_FEW = 3
"""Names shown of many like ones."""
_FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}


@dataclass(frozen=True)
class ReidLayout(Layout):
    """A re-identification set's folders, names and released counts.

    Attributes:
        pattern: A file name without its suffix; group 1 is the identity, group 2 the camera.
        naming: The pattern for people.
        released: Whole file names of the release.
        release_rule: The same for people.
        size_px: Height and width of every image, where the release has one size.
    """

    pattern: re.Pattern[str]
    naming: str
    released: re.Pattern[str]
    release_rule: str
    size_px: tuple[int, int] | None = None


MARKET1501 = ReidLayout(
    dataset="market1501",
    folder="Market-1501-v15.09.15",
    aliases=("Market-1501", "market"),
    parts=_FOLDERS,
    pattern=re.compile(rf"(-1|{_NUMBER})_c({_NUMBER})s[0-9]+_[0-9]+_[0-9]+"),
    naming="0002_c1s1_000451_03.jpg (identity or -1, camera, sequence, frame, box; any number of digits)",
    released=re.compile(r"(-1|[0-9]{4})_c[1-6]s[0-9]+_[0-9]{6}_[0-9]{2}\.jpg"),
    release_rule="identities of four digits or -1, cameras 1 to 6, .jpg",
    official={"train": (12_936, 751), "query": (3_368, 750), "gallery": (19_732, 750)},
    size_px=(128, 64),
)

DUKEMTMC_REID = ReidLayout(
    dataset="dukemtmc-reid",
    folder="DukeMTMC-reID",
    aliases=("DukeMTMC", "duke"),
    parts=_FOLDERS,
    pattern=re.compile(rf"(-1|{_NUMBER})_c({_NUMBER})_f[0-9]+"),
    naming="0005_c2_f0046985.jpg (identity or -1, camera, frame; any number of digits)",
    released=re.compile(r"[0-9]{4}_c[1-8]_f[0-9]{7}\.jpg"),
    release_rule="identities of four digits, cameras 1 to 8, frames of seven digits, .jpg",
    official={"train": (16_522, 702), "query": (2_228, 702), "gallery": (17_661, 1_110)},
)


def read_reid(layout: ReidLayout, root: Path, splits: Sequence[str]) -> Reading:
    """The set's ``splits`` and all that is wrong with its names and counts; only the folders asked for are touched.

    Raises:
        InputError: If no such folder is found.
    """
    folder = locate(layout, root, splits)
    recorded = _recorded_counts(folder)
    problems: list[str] = []
    read = {split: _read_folder(layout, folder, split, recorded, problems) for split in splits}
    notes = (
        *_official(layout, folder, read, recorded is not None, problems),
        *_names_of_its_own(layout, folder, read, problems),
        *_passed_over(layout, folder, splits),
    )
    return Reading(Dataset(layout.dataset, folder, read, "reid", notes), tuple(problems))


def composition(gallery: Split) -> str:
    """What a gallery is made of, which explains the several counts in circulation for the same one.

    >>> gallery = Split.of_files("gallery", ["a", "b", "c", "d"], identities=[-1, 0, 2, 2], cameras=[1, 1, 1, 2])
    >>> composition(gallery)
    '4 gallery images = 2 of 1 labelled people + 1 distractors (0000) + 1 junk (-1); 3 without junk'
    """
    junk = int((gallery.identities == JUNK).sum())
    distractors = int((gallery.identities == DISTRACTOR).sum())
    labelled, persons = len(gallery) - junk - distractors, len(people(gallery.identities))
    return (
        f"{len(gallery):,} gallery images = {labelled:,} of {persons:,} labelled people "
        f"+ {distractors:,} distractors (0000) + {junk:,} junk (-1); {len(gallery) - junk:,} without junk"
    )


def _read_folder(
    layout: ReidLayout, folder: Path, split: str, recorded: Mapping[str, int] | None, problems: list[str]
) -> Split:
    part = layout.parts[split]
    files: list[str] = []
    labels: list[tuple[int, int]] = []
    misnamed: list[str] = []
    for name in _image_names(folder / part):
        match = layout.pattern.fullmatch(Path(name).stem)
        if match is None:
            misnamed.append(name)
            continue
        files.append(f"{part}/{name}")
        labels.append((int(match[1]), int(match[2])))
    if misnamed:
        problems.append(_misnamed(layout, folder / part, misnamed))
    if not files:
        problems.append(f"{folder / part}: no images; expected files like {layout.naming}")
    if recorded is not None and recorded.get(part, len(files)) != len(files):
        problems.append(
            f"{folder / part}: found {len(files)} images, expected {recorded[part]}, as {SYNTHETIC_RECORD} tells"
        )
    identities, cameras = np.array(labels, dtype=np.int64).reshape(-1, 2).T
    return Split.of_files(split, files, identities, cameras)


def _misnamed(layout: ReidLayout, folder: Path, names: Sequence[str]) -> str:
    """One problem for all images of a folder whose names do not follow the layout."""
    expected = f"no {layout.dataset} name; expected one like {layout.naming}"
    if len(names) == 1:
        return f"{folder / names[0]}: {expected}"
    return f"{folder}: {len(names):,} images ({few(names, _FEW)}): {expected}"


def _names_of_its_own(
    layout: ReidLayout, folder: Path, splits: Mapping[str, Split], problems: list[str]
) -> tuple[str, ...]:
    """A note on names that the release does not have; a problem of a folder that claims to be the release."""
    names = [file for split in splits.values() for file in split.files or ()]
    own = [name for name in names if not layout.released.fullmatch(Path(name).name)]
    if not own:
        return ()
    found = f"{len(own):,} of {len(names):,} names are not as in the release ({layout.release_rule}): {few(own, _FEW)}"
    if folder.name == layout.folder:
        problems.append(f"{folder}: {found}; a set of your own needs another folder name than {layout.folder}")
        return ()
    return (found,)


def _passed_over(layout: ReidLayout, folder: Path, splits: Sequence[str]) -> tuple[str, ...]:
    """A note on files with an image's name and a suffix that is not read as an image."""
    found = [
        f"{layout.parts[split]}/{entry.name}"
        for split in splits
        for entry in os.scandir(folder / layout.parts[split])
        if layout.pattern.fullmatch(Path(entry.name).stem) and Path(entry.name).suffix.lower() not in _IMAGES
    ]
    if not found:
        return ()
    passed = f"{counted(len(found), 'file')} passed over"
    return (f"{passed}, named like an image but with another suffix: {few(sorted(found), _FEW)}",)


def _image_names(folder: Path) -> list[str]:
    """Names of the images in a folder, sorted; folders, pipes and dangling links count, so that reading one fails."""
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if not entry.name.startswith(".") and Path(entry.name).suffix.lower() in _IMAGES
        )


def _official(
    layout: ReidLayout, folder: Path, splits: Mapping[str, Split], generated: bool, problems: list[str]
) -> tuple[str, ...]:
    """Notes on the counts. A folder that claims by its name to be the release must have the release's counts."""
    found = {name: (len(split), len(people(split.identities))) for name, split in splits.items()}
    told = ", ".join(f"{name} {images:,} images of {persons:,} people" for name, (images, persons) in found.items())
    if all(found[name] == layout.official[name] for name in found) and not generated:
        return (f"the counts are those of the release: {told}",)
    if folder.name == layout.folder and not generated:
        for name in found:
            if found[name] != layout.official[name]:
                images, persons = layout.official[name]
                problems.append(
                    f"{folder / layout.parts[name]}: found {found[name][0]:,} images of {found[name][1]:,} people, "
                    f"expected the release's {images:,} of {persons:,}; a set of your own needs another folder name "
                    f"than {layout.folder}"
                )
    kind = "synthetic" if generated else "not the release"
    return (f"{kind}: {told}",)


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
