"""Makes synthetic data sets in the released layouts of Market-1501, DukeMTMC-reID and CIFAR-100.

The two re-identification sets show rendered pedestrians. An identity is an appearance (build, skin, hair, garments
with colours and textures, small telling details), a camera is a scene (background, light, colour cast, optics,
viewpoint), and a box is a pose with a detector's misalignment and sometimes an occluder. A fifth of the identities
share everything but one detail with another one. The CIFAR-100 set shows 100 kinds of drawn shapes.

Equal arguments give equal bytes (with equal versions of numpy and Pillow), in any process and any number of them. A set
appears under its name whole or not at all. Owns nothing but the making: sets are read through the ordinary readers.
Needs no torch.
"""

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

from harness.errors import InputError, did_you_mean
from harness.reid.data.synthetic.cifar import FINE_NAMES, make_cifar100, split_sizes
from harness.reid.data.synthetic.cifar import FOLDER as _CIFAR_FOLDER
from harness.reid.data.synthetic.folder import GENERATOR_VERSION, RECORD
from harness.reid.data.synthetic.pedestrians import make_dukemtmc, make_market1501
from harness.reid.data.synthetic.plan import DUKEMTMC, MARKET1501

FOLDERS = MappingProxyType({"market1501": "market1501", "dukemtmc-reid": "dukemtmc-reid", "cifar100": _CIFAR_FOLDER})
"""Layouts, each with the folder that its set gets inside the one given as ``out``."""

_REID = {layout.name: layout for layout in (MARKET1501, DUKEMTMC)}


def make(
    layout: str,
    out: Path,
    identities: int,
    seed: int,
    full: bool = False,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> Path:
    """Writes a set in one of the layouts and returns its folder, ``out / FOLDERS[layout]``.

    Args:
        layout: A key of ``FOLDERS``.
        out: Folder in which the set's own folder is made.
        identities: Identities of all splits; for ``cifar100``, training images of each of its 100 classes.
        seed: Seed of everything drawn, in [0, 2**32).
        full: Write exactly the released counts, whatever ``identities`` says.
        progress: Called with images made and images in all.
        workers: Processes to work in; None for one per available core if the set is large enough to gain.

    Raises:
        InputError: An unknown layout, arguments out of range, or a folder that exists and is not this very set.
    """
    _check(layout)
    if layout == "cifar100":
        return make_cifar100(out, images_per_class=identities, seed=seed, full=full, progress=progress, workers=workers)
    make_reid = make_market1501 if layout == MARKET1501.name else make_dukemtmc
    return make_reid(out, identities=identities, seed=seed, full=full, progress=progress, workers=workers)


def describe(layout: str, identities: int, full: bool = False) -> str:
    """A sentence on what ``make`` would write, without making it.

    >>> describe("market1501", 0, full=True)
    '12,936 training images of 751 identities, 3,368 queries of 750, 19,732 gallery images'
    >>> describe("cifar100", 50)
    '5,000 training and 1,000 test images of 100 classes'
    """
    _check(layout)
    if layout == "cifar100":
        train, test = (size * len(FINE_NAMES) for size in split_sizes(identities, full))
        return f"{train:,} training and {test:,} test images of {len(FINE_NAMES)} classes"
    counts = _REID[layout].released if full else _REID[layout].counts(identities)
    gallery = counts.gallery_images + counts.distractors + counts.junk
    return (
        f"{counts.train_images:,} training images of {counts.train_identities:,} identities, "
        f"{counts.queries:,} queries of {counts.query_identities:,}, {gallery:,} gallery images"
    )


def _check(layout: str) -> None:
    if layout not in FOLDERS:
        raise InputError(f'layout: found "{layout}"; {did_you_mean(layout, FOLDERS)}')


__all__ = [
    "FOLDERS",
    "GENERATOR_VERSION",
    "RECORD",
    "describe",
    "make",
    "make_cifar100",
    "make_dukemtmc",
    "make_market1501",
]
