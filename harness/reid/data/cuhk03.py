"""Extracts the images of CUHK03's release into the folders of its new protocol, as ``cuhk03-detected`` reads them.

The release (Li et al. 2014) is one MATLAB file of version 7.3, ``cuhk-03.mat``: ``detected`` and ``labeled`` are cells
of five pairs of cameras, each a cell of people x 10 images, the first five by one camera, the others by the second. The
new protocol (Zhong et al. 2017) is two MATLAB files of version 5 that name images as ``1_001_1_01.png`` (pair, person,
camera, image), with a label for each and the numbers, from 1, of those in training, query and gallery.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from harness.errors import InputError
from harness.files import regular_file
from harness.formatting import one_line
from harness.reid.data.dataset import Ids, Images, few

RELEASE = "cuhk-03.mat"
BOXES = ("detected", "labeled")
"""Boxes by a detector and by hand, as the release calls them."""
_PROTOCOL = "cuhk03_new_protocol_config_{}.mat"
_FOLDERS = {"train_idx": "bounding_box_train", "query_idx": "query", "gallery_idx": "bounding_box_test"}
_NAME = re.compile(r"[1-5]_[0-9]{3,4}_([12])_[0-9]{2}\.png")
_BY_FIRST_CAMERA = 5


@dataclass(frozen=True)
class Extracted:
    """The files written for one kind of boxes."""

    folder: Path
    images: int
    left_out: int
    """Images of the release that the protocol does not name."""


def find_release(folder: Path) -> Path | None:
    """The release's file in a folder or in one inside it (its archive's own is ``cuhk03_release``); None for none."""
    found = (path for place in ("", "*/") for path in sorted(folder.glob(f"{place}*.mat")))
    return next((path for path in found if path.name.lower() == RELEASE), None)


def extract_cuhk03(folder: Path, out: Path, progress: Callable[[int, int], None] | None = None) -> list[Extracted]:
    """Writes the boxes of both kinds as PNG files, each kind into a folder of ``out``; one that is there is left.

    Args:
        folder: The folder that holds ``cuhk-03.mat`` (or the archive's folder with it) and the protocol's files.
        out: Gets ``detected`` and ``labeled``, each with ``bounding_box_train``, ``query`` and ``bounding_box_test``.
        progress: Called with the images written and their number.

    Raises:
        InputError: If a file is missing, damaged or not as described, or h5py is not installed.
    """
    release = find_release(folder)
    if release is None:
        raise InputError(f"{folder}: no {RELEASE} in it or in a folder inside it; expected the release of CUHK03")
    protocols = {boxes: _protocol(folder, release, boxes) for boxes in BOXES}
    try:
        import h5py
    except ModuleNotFoundError:
        raise InputError(
            f"reading {release} needs h5py, which is not installed; add the extra cuhk03 (uv sync --extra cuhk03, or "
            "pip install 'ablation-harness[cuhk03]')"
        ) from None
    waiting = [boxes for boxes in BOXES if not (out / boxes).exists()]
    total, done, extracted = sum(len(protocols[boxes]) for boxes in waiting), 0, list[Extracted]()
    try:
        with h5py.File(regular_file(release), "r") as opened:
            for boxes in waiting:
                places, left_out = dict(protocols[boxes]), 0
                partial = out / f"{boxes}.part"
                for inner in _FOLDERS.values():
                    (partial / inner).mkdir(parents=True, exist_ok=True)
                for name, image in _images(opened, boxes):
                    place = places.pop(name, None)
                    if place is None:
                        left_out += 1
                        continue
                    Image.fromarray(image).save(partial / place)
                    done += 1
                    if progress is not None:
                        progress(done, total)
                if places:
                    missing = f"lacks {len(places):,} {boxes} images that {_PROTOCOL.format(boxes)} names"
                    raise InputError(f"{release}: {missing}: {few(sorted(places), 3)}")
                partial.rename(out / boxes)
                extracted.append(Extracted(out / boxes, len(protocols[boxes]), left_out))
    except (OSError, KeyError, ValueError, TypeError) as error:  # h5py's for a file that is none, and other contents
        if isinstance(error, OSError) and error.errno is not None:  # a disk that is full
            raise InputError(f"{error.filename or out}: {error.strerror}") from error
        message = f"cannot be read ({one_line(error)}); expected the MATLAB 7.3 file of CUHK03's release"
        raise InputError(f"{release}: {message}") from error
    return extracted


def _images(opened: Any, boxes: str) -> Iterator[tuple[str, Images]]:
    """Every image of one kind of boxes (H, W, 3) with its name; MATLAB's axes are HDF5's in reverse."""
    for pair, people in enumerate(np.ravel(opened[boxes][()]), start=1):
        for person, cells in enumerate(opened[people][()].T, start=1):
            for number, cell in enumerate(cells, start=1):
                image = opened[cell][()].T
                if image.ndim == 3:  # an empty cell holds its two sizes
                    camera = 1 if number <= _BY_FIRST_CAMERA else 2
                    yield f"{pair}_{person:03d}_{camera}_{number:02d}.png", np.ascontiguousarray(image)


def _protocol(folder: Path, release: Path, boxes: str) -> Mapping[str, str]:
    """Where each image that the protocol names goes, such as ``query/0007_c1_1_007_1_01.png``."""
    from scipy.io import loadmat

    name = _PROTOCOL.format(boxes)
    path = next((where / name for where in (folder, release.parent) if (where / name).is_file()), None)
    if path is None:
        looked = " and ".join(map(str, dict.fromkeys((folder, release.parent))))
        raise InputError(
            f"{name} not found in {looked}; it says which images are trained and tested on, and comes with the new "
            "protocol (CUHK03-NP), not with the release"
        )
    wanted = ("filelist", "labels", *_FOLDERS)
    try:
        content = loadmat(regular_file(path), variable_names=wanted)
    except Exception as error:  # a damaged file can raise nearly anything
        raise InputError(f"{path}: cannot be read ({one_line(error)}); expected a MATLAB 5 file") from error
    if lacking := [key for key in wanted if key not in content]:
        raise InputError(f"{path}: has no {few(lacking)}; expected {', '.join(wanted)}")
    files = [str(np.ravel(cell)[0]) if np.size(cell) else "" for cell in np.ravel(content["filelist"])]
    labels = _whole(content["labels"], path, "labels")
    if len(labels) != len(files):
        raise InputError(f"{path}: has {len(files):,} names in filelist and {len(labels):,} labels")
    identities = np.unique(labels, return_inverse=True)[1] + 1
    places: dict[str, str] = {}
    for key, inner in _FOLDERS.items():
        for number in _whole(content[key], path, key).tolist():
            file = files[number - 1] if 1 <= number <= len(files) else ""
            match = _NAME.fullmatch(file)
            if match is None:
                found = f'names "{file}"' if file else f"has the number {number}"
                raise InputError(
                    f"{path}: {key} {found}; expected numbers from 1 to {len(files):,} of names like 1_001_1_01.png"
                )
            if file in places:
                raise InputError(f"{path}: {file} is in {places[file].partition('/')[0]} and again in {inner}")
            places[file] = f"{inner}/{identities[number - 1]:04d}_c{match[1]}_{file}"
    return places


def _whole(values: Any, path: Path, key: str) -> Ids:
    found = np.ravel(values)
    if found.dtype.kind not in "iuf" or not np.array_equal(found, found.astype(np.int64)):
        raise InputError(f"{path}: {key} is not a list of whole numbers")
    return found.astype(np.int64)
