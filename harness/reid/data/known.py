"""The data sets that are known by name, each with its released layout and counts, declared like a user's layout.

A set may have several forms (``MSMT17`` before and after faces were blurred): the first whose folders are there is
read. What cannot be declared, such as CIFAR's pickles, has a reader of its own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from harness.errors import InputError, did_you_mean
from harness.reid.data.cifar import CIFAR10, CIFAR100, read_cifar
from harness.reid.data.cuhk03 import find_release
from harness.reid.data.dataset import few
from harness.reid.data.declared import DeclaredLayout, layout_of, read_declared
from harness.reid.data.locate import Layout, holds, is_whole, parts_there
from harness.reid.data.protocol import Reading
from harness.reid.data.releases import (
    DUKEMTMC_REID,
    MARKET1501,
    cuhk03,
    folders_of_identities,
    image_folder,
    msmt17,
    veri,
    with_distractors,
)
from harness.reid.layout import LayoutSpec, Named


@dataclass(frozen=True)
class Form:
    """One form of a data set, and what reads it."""

    layout: Layout
    read: Callable[[Path, Sequence[str]], Reading]


def form_of(layout: DeclaredLayout) -> Form:
    """A declared layout as a form that can be read."""
    return Form(layout, partial(read_declared, layout))


_ALL: tuple[tuple[Form, ...], ...] = (
    (form_of(MARKET1501),),
    (form_of(with_distractors("images")), form_of(with_distractors("distractors_500k"))),
    (form_of(DUKEMTMC_REID),),
    (
        form_of(msmt17("MSMT17_V2", "mask_train_v2", "mask_test_v2", "version 2: faces are blurred")),
        form_of(msmt17("MSMT17_V1", "train", "test", "version 1")),
    ),
    (form_of(cuhk03("cuhk03-detected", "detected", ["detected"], 7_365, 5_332)),),
    (form_of(cuhk03("cuhk03-labelled", "labelled", ["labeled", "labelled"], 7_368, 5_328)),),
    (form_of(veri(lists=True)), form_of(veri(lists=False))),
    (
        form_of(folders_of_identities(["train_all"], "trained on train_all/")),
        form_of(folders_of_identities(["train", "val"], "trained on train/ and val/")),
    ),
    (Form(CIFAR10, partial(read_cifar, CIFAR10)),),
    (Form(CIFAR100, partial(read_cifar, CIFAR100)),),
    (form_of(image_folder("test")), form_of(image_folder("val"))),
)

KNOWN: Mapping[str, tuple[Form, ...]] = {forms[0].layout.dataset: forms for forms in _ALL}
"""The forms of each known data set, by its name."""


_NEAR = 0.7
"""How alike two names are that may be meant for each other, as ``difflib`` counts it."""

_CUHK03 = ("cuhk03-detected", "cuhk03-labelled")

DATASETS: tuple[str, ...] = tuple(KNOWN)
"""Their names."""


def forms_of(dataset: Named) -> tuple[Form, ...]:
    """The forms of a known data set by name, or the one form of a user's layout.

    Raises:
        InputError: For an unknown name, or a user's layout with the name of a known set.
        ValidationError: For a mapping that is not a layout.
    """
    if isinstance(dataset, str):
        if dataset not in KNOWN:
            message = f'"{dataset}" is not a data set; {did_you_mean(dataset, DATASETS)}'
            raise InputError(f"{message}, a layout, or package.module:function")
        return KNOWN[dataset]
    spec = dataset if isinstance(dataset, LayoutSpec) else LayoutSpec.model_validate(dataset)
    if spec.name in KNOWN:
        raise InputError(f'"{spec.name}" is the name of a known data set; give your own layout another name')
    return (form_of(layout_of(spec)),)


def is_valid(dataset: Named) -> bool:
    """Whether there can be such a data set: a known name, a layout, or a reference to a user's own reader."""
    try:
        return (isinstance(dataset, str) and ":" in dataset) or bool(forms_of(dataset))
    except (InputError, ValidationError):
        return False


def read_known(dataset: Named, root: Path, splits: Sequence[str] | None) -> Reading:
    """Reads the first form of a data set that is there; see ``harness.reid.data.readers.read_dataset``.

    Raises:
        InputError: If none is found: what is missing from the form that comes nearest.
    """
    forms = forms_of(dataset)
    name, parts = forms[0].layout.dataset, forms[0].layout.parts
    for split in splits or ():
        if split not in parts:
            raise InputError(f'split "{split}" of {name}: {did_you_mean(split, parts)}')
    wanted = tuple(splits or parts)
    whole = next((form for form in forms if is_whole(form.layout, root, wanted)), None)
    if whole is None and name in _CUHK03 and (release := find_release(root)):
        raise InputError(_unextracted(release, root))
    nearest = max(forms, key=lambda form: parts_there(form.layout, root))
    return (whole or nearest).read(root, wanted)


def _unextracted(release: Path, root: Path) -> str:
    command = f"harness data extract {root} --out DIR"
    return f"{release}: the release of CUHK03 as one MATLAB file; write its images as files with {command}"


def find_dataset(dataset: Named, candidates: Iterable[Path]) -> tuple[Path | None, tuple[Path, ...]]:
    """The first of the candidate folders that holds the set, or a part of it, and the places looked in.

    A folder with a part counts as found, so that opening it shows what is missing instead of nobody noticing. For a
    user's own reader the first folder that exists is taken.
    """
    looked: list[Path] = []
    for candidate in candidates:
        looked.append(candidate)
        if candidate.is_dir() and _is_in(dataset, candidate):
            return candidate, tuple(looked)
    return None, tuple(looked)


def _is_in(dataset: Named, folder: Path) -> bool:
    if isinstance(dataset, str) and ":" in dataset:
        return True
    return any(holds(form.layout, folder) for form in forms_of(dataset))


def release_counts(dataset: Named) -> Mapping[str, tuple[int, int]] | None:
    """Images and identities (or classes) of each split of a data set's release; None where none is known.

    >>> release_counts("cifar100")
    {'train': (50000, 100), 'test': (10000, 100)}
    """
    if not isinstance(dataset, str) or dataset not in KNOWN:
        return None
    return KNOWN[dataset][0].layout.official or None


def recognise(root: Path) -> str:
    """The name of the data set in a folder.

    Several sets have the same folders; the names of their images distinguish them.

    Raises:
        InputError: If it is none of ``DATASETS``.
    """
    if not root.is_dir():
        raise InputError(f"{root}: is not a folder; expected the folder of one of {', '.join(DATASETS)}")
    whole = [
        name
        for name, forms in KNOWN.items()
        if any(is_whole(form.layout, root, tuple(form.layout.parts)) for form in forms)
    ]
    if len(whole) == 1:
        return whole[0]
    fits = {name: _fit(name, root) for name in whole}
    if not whole or max(fits.values())[0] < 0:
        raise InputError(_nearest(root))
    return max(whole, key=fits.__getitem__)


def _nearest(root: Path) -> str:
    """The data set that a folder most resembles, and the paths that it lacks for it."""
    beside = [entry.name for entry in sorted(root.iterdir())]

    def likeness(layout: Layout) -> tuple[float, list[str]]:
        parts = list(dict.fromkeys(part for parts in layout.parts.values() for part in parts))
        missing = [part for part in parts if not (root / part).exists()]
        near = sum(bool(get_close_matches(part, beside, n=1, cutoff=_NEAR)) for part in missing)
        return (len(parts) - len(missing) + near / 2) / len(parts), missing

    if release := find_release(root):
        return _unextracted(release, root)
    layout = max((form.layout for forms in KNOWN.values() for form in forms), key=lambda each: likeness(each)[0])
    share, missing = likeness(layout)
    advice = "a layout of your own is declared in a table, and checked with --dataset TABLE.yaml"
    if share == 0:
        return f"{root}: holds none of {', '.join(DATASETS)}; {advice}"
    parts = ", ".join(dict.fromkeys(part for parts in layout.parts.values() for part in parts))
    if not missing:
        return f"{root}: looks like {layout.dataset} ({parts}), but no image in it has such a name; {advice}"
    close = [name for part in missing for name in get_close_matches(part, beside, n=1, cutoff=_NEAR)]
    message = f" (there is {few(close)})" if close else ""
    return f"{root}: looks like {layout.dataset}: {parts}; found no {few(missing)}{message}; {advice}"


def _fit(name: str, root: Path) -> tuple[int, bool, bool]:
    """How well a reader fits a folder: images read (-1: none can be), whether as many as released, whether so named."""
    try:
        dataset = read_known(name, root, None).dataset
    except (InputError, OSError):
        return -1, False, False
    released = any(note.startswith("the counts are those of the release") for note in dataset.notes)
    named = any(form.layout.is_named(dataset.root.name) for form in KNOWN[name])
    return sum(len(split) for split in dataset.splits.values()), released, named
