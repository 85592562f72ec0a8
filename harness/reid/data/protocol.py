"""Whether a re-identification set can be scored at all: identities, cameras and matches across the splits.

A set that would give meaningless numbers is refused; one that is merely unusual gets a note.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harness.reid.data.dataset import DISTRACTOR, JUNK, Dataset, Ids, Split, few, people


@dataclass(frozen=True)
class Reading:
    """A data set as it was read, and what is wrong with it: one sentence a problem, each naming its place."""

    dataset: Dataset
    problems: tuple[str, ...] = ()


def examined(reading: Reading) -> Reading:
    """The reading of a re-identification set with the problems and notes that its splits together give rise to."""
    dataset = reading.dataset
    if dataset.task != "reid":
        return reading
    problems, notes = list(reading.problems), list(dataset.notes)
    for name in ("train", "query"):
        if name in dataset.splits:
            problems.extend(_unlabelled(dataset, dataset.splits[name]))
    shared = shared_identities(dataset)
    if len(shared):
        notes.append(
            f"WARNING: {len(shared)} identities are in training and in test ({few(shared)}): "
            "the scores are not those of unseen people"
        )
    if "query" in dataset.splits and "gallery" in dataset.splits:
        _examine_matches(dataset, problems, notes)
    return Reading(replace(dataset, notes=tuple(notes)), tuple(problems))


def shared_identities(dataset: Dataset) -> Ids:
    """People who are in training and in query or gallery, rising; empty where either side was not read."""
    test = [dataset.splits[name].identities for name in ("query", "gallery") if name in dataset.splits]
    if not test or "train" not in dataset.splits:
        return np.zeros(0, dtype=np.int64)
    return np.intersect1d(people(dataset.splits["train"].identities), people(np.concatenate(test)))


def has_match(query: Split, gallery: Split) -> NDArray[np.bool_]:
    """Whether each query has a gallery image of its identity from another camera, shape (Q,).

    Where all images are of one camera, or cameras are not known, any gallery image of its identity counts, since the
    protocol has nothing to leave out then.
    """
    seen, query_identity, query_camera = _seen(query, gallery)
    cameras = seen[query_identity].sum(axis=1)
    if seen.shape[1] == 1:
        return np.asarray(cameras > 0)
    return np.asarray(cameras - seen[query_identity, query_camera] > 0)


def _seen(query: Split, gallery: Split) -> tuple[NDArray[np.bool_], Ids, Ids]:
    """Which identity the gallery shows by which camera (I, C), and each query's row and column in it."""
    identities, rows = np.unique(np.concatenate([query.identities, gallery.identities]), return_inverse=True)
    cameras, columns = np.unique(np.concatenate([_cameras(query), _cameras(gallery)]), return_inverse=True)
    seen = np.zeros((len(identities), len(cameras)), dtype=bool)
    seen[rows[len(query) :], columns[len(query) :]] = True
    return seen, rows[: len(query)], columns[: len(query)]


def _cameras(split: Split) -> Ids:
    return np.zeros(len(split), dtype=np.int64) if split.cameras is None else split.cameras


def _examine_matches(dataset: Dataset, problems: list[str], notes: list[str]) -> None:
    query, gallery = dataset.splits["query"], dataset.splits["gallery"]
    if not len(query) or not len(gallery):
        return
    matched = has_match(query, gallery)
    cameras = np.union1d(_cameras(query), _cameras(gallery))
    if len(cameras) == 1:
        notes.append("WARNING: all images are of one camera: matches from the query's own camera count")
    if not matched.any():
        problems.append(
            f"{dataset.root}: none of the {len(query)} queries has a gallery image of its identity from another camera "
            f"({len(people(query.identities))} people in query, {len(people(gallery.identities))} in gallery, cameras "
            f"{few(cameras)}); the scores would mean nothing"
        )
    elif not matched.all():
        without = np.flatnonzero(~matched)
        notes.append(
            f"{len(without)} of {len(query)} queries have no gallery image of their identity from another camera and "
            f"are left out of the scores ({few((query.image_name(int(index)) for index in without), most=3)})"
        )


def _unlabelled(dataset: Dataset, split: Split) -> list[str]:
    """Problems of a split that must not hold junk or distractors."""
    odd = np.flatnonzero((split.identities == JUNK) | (split.identities == DISTRACTOR) | (split.identities < JUNK))
    if not len(odd):
        return []
    first = split.image_name(int(odd[0]))
    return [
        f"{dataset.root / first}: identity {split.identities[odd[0]]} in split {split.name} ({len(odd)} such images); "
        "junk (-1) and distractors (0000) belong only in the gallery"
    ]
