"""Sets a share of the training images aside to choose values on, so that the test images stay untouched.

What is set aside has two parts: one to choose on, and one that chose nothing, to confirm the choice on. Data that
helped to choose a value favours it: of equally good values, the one is chosen that happens to suit these identities.
"""

from dataclasses import replace
from typing import Literal

import numpy as np

from harness.errors import InputError
from harness.reid.data.dataset import Dataset, Split, label_map


def held_out_split(
    dataset: Dataset, share: float, seed: int, part: Literal["choose", "confirm"] | None = None
) -> Dataset:
    """A data set whose test splits are made of held-out training identities, and whose training lacks them.

    Re-identification: ``share`` of the training identities, at least one, is drawn. Each gives one query a camera,
    drawn at random, and all its other images go to the gallery. A camera gives no query where that would leave no
    image of the identity by another camera, so that every query has a match (as in Market-1501, a few gallery
    identities may have no query). If the images are of one camera only, every identity with two images gives a query.

    Classification, where all classes must be trained: ``share`` of the images of each class goes to ``test``.

    With a ``part``, the test splits hold one half of that alone: of the identities drawn, or of each class's images.
    An odd one goes to the part that chooses. Training is the same for both parts, and for no part.

    Only ``dataset.splits["train"]`` is looked at.

    Raises:
        InputError: If the training images are too few to be divided; says how many there are.
    """
    splits, message = divided(dataset, share, seed, part)
    return replace(
        dataset, splits=splits, notes=(*dataset.notes, f"{message}, seed {seed}; the test images are not used")
    )


def divided(
    dataset: Dataset, share: float, seed: int, part: Literal["choose", "confirm"] | None = None
) -> tuple[dict[str, Split], str]:
    """The splits that ``held_out_split`` makes of ``dataset.splits["train"]``, and what they are, in words."""
    if not 0.0 < share < 1.0:
        raise InputError(f"held-out share {share:g}: expected a value between 0 and 1")
    divide = _divide_classes if dataset.task == "classification" else _divide_people
    return divide(dataset, dataset.splits["train"], share, np.random.default_rng(seed), part)


def _divide_people(
    dataset: Dataset, train: Split, share: float, generator: np.random.Generator, part: str | None
) -> tuple[dict[str, Split], str]:
    identities = label_map(train.identities)
    count = max(1, round(share * len(identities)))
    if len(identities) - count < 1:
        raise InputError(
            f"{dataset.root}: cannot hold out {share:g} of {len(identities)} training identities and train on the rest"
        )
    held_out = generator.permutation(identities)[:count]
    aside = np.isin(train.identities, held_out)
    cameras = np.zeros(len(train), dtype=np.int64) if train.cameras is None else train.cameras
    one_camera = len(np.unique(cameras)) == 1
    drawn: dict[str | None, list[int]] = {}
    for each in (None,) if part is None else ("choose", "confirm"):  # one that lacks queries is found before any trial
        drawn[each] = []
        for identity in np.sort(_part_of(held_out, each)):
            images = np.flatnonzero(train.identities == identity)
            drawn[each].extend(_queries(images, cameras[images], one_camera, generator))
        if not drawn[each]:
            raise InputError(
                f"{dataset.root}: none of the {len(_part_of(held_out, each))} held-out training identities"
                f"{_purpose(each)} was seen twice"
                + ("" if one_camera else " by different cameras")
                + "; hold out a larger share"
            )
    queries, scored = drawn[part], _part_of(held_out, part)
    gallery = np.setdiff1d(np.flatnonzero(np.isin(train.identities, scored)), queries)
    splits = {
        "train": train.subset("train", np.flatnonzero(~aside)),
        "query": train.subset("query", queries),
        "gallery": train.subset("gallery", gallery),
    }
    message = (
        f"scored on {len(scored)} of {len(identities)} training identities, held out{_purpose(part)} "
        f"({len(queries)} queries, {len(gallery)} gallery images)"
    )
    return splits, message


def _part_of(held_out: np.ndarray, part: str | None) -> np.ndarray:
    """The half of what was drawn that a part has, in drawn order."""
    middle = (len(held_out) + 1) // 2
    return {None: held_out, "choose": held_out[:middle], "confirm": held_out[middle:]}[part]


def _purpose(part: str | None) -> str:
    return {None: "", "choose": " to choose on", "confirm": " to confirm on"}[part]


def _queries(images: np.ndarray, cameras: np.ndarray, one_camera: bool, generator: np.random.Generator) -> list[int]:
    """Indices of one identity's queries, at most one a camera, such that each keeps a match by another camera.

    The camera with most images keeps one in the gallery, which serves the queries of all others. It gives a query
    itself only where it has another image to keep and one of the others has, too.
    """
    seen, counts = np.unique(cameras, return_counts=True)
    most = int(np.argmax(counts))
    drawn = [int(generator.choice(images[cameras == camera])) for camera in seen]
    if one_camera:
        return drawn if counts[0] > 1 else []
    spare = counts[most] > 1 and bool(np.any(np.delete(counts, most) > 1))
    return [query for place, query in enumerate(drawn) if place != most or spare]


def _divide_classes(
    dataset: Dataset, train: Split, share: float, generator: np.random.Generator, part: str | None
) -> tuple[dict[str, Split], str]:
    test: list[int] = []
    aside: list[int] = []
    for label in label_map(train.identities):
        images = generator.permutation(np.flatnonzero(train.identities == label))
        count = round(share * len(images))
        if not 0 < count < len(images):
            raise InputError(
                f"{dataset.root}: cannot hold out {share:g} of the {len(images)} training images of class {label} "
                "and train on the rest"
            )
        aside.extend(images[:count].tolist())
        scored = _part_of(images[:count], part)
        if part is not None and count < 2:
            raise InputError(
                f"{dataset.root}: holding out {share:g} of the {len(images)} training images of class {label} leaves "
                "one, and a search chooses on some and confirms on others; hold out a larger share"
            )
        test.extend(scored.tolist())
    rest = np.setdiff1d(np.arange(len(train)), aside)
    splits = {"train": train.subset("train", rest), "test": train.subset("test", test)}
    return splits, f"scored on {len(test)} of {len(train)} training images, held out{_purpose(part)}"
