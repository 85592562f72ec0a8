"""Plain arrays or tensors in, checked arrays out: the one door for what a caller hands to this room."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import InputError

JUNK = -1
"""Identity of boxes that are left out of every ranking."""


@dataclass(frozen=True)
class Labels:
    """Identities and cameras of both sides as int64, and which gallery items are ranked."""

    query_ids: NDArray[np.int64]
    query_cameras: NDArray[np.int64]
    gallery_ids: NDArray[np.int64]
    """Of the kept gallery items, like ``gallery_cameras``."""
    gallery_cameras: NDArray[np.int64]
    kept: NDArray[np.int64]
    """Index in the caller's gallery of every item that is not junk, ascending."""


def to_array(values: Any) -> NDArray[Any]:
    """``values`` as a numpy array: arrays as they are, tensors of any device and type, sequences.

    bfloat16, which numpy does not know, becomes float32.
    """
    if hasattr(values, "detach"):
        tensor = values.detach().cpu()
        return np.asarray(
            tensor.float().numpy() if tensor.is_floating_point() and tensor.element_size() == 2 else tensor.numpy()
        )
    return np.asarray(values)


def to_features(values: Any, what: str) -> NDArray[np.float32]:
    """``values`` (N, D) as contiguous float32; no copy where they are that already.

    float16 and bfloat16 lose nothing; float64 is rounded to float32, and distances are those of the rounded values.
    """
    array = to_array(values)
    if array.ndim != 2 or array.shape[1] == 0:
        raise InputError(f"{what} features: found shape {array.shape}; expected (rows, dimension)")
    if array.dtype.kind not in "fiu":
        raise InputError(f"{what} features: found type {array.dtype}; expected floating-point numbers")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is told as that
        return np.ascontiguousarray(array, dtype=np.float32)


def to_feature_pair(query: Any, gallery: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Both sides' features, of one dimension, neither empty."""
    query, gallery = to_features(query, "query"), to_features(gallery, "gallery")
    for side, array in (("query", query), ("gallery", gallery)):
        if len(array) == 0:
            raise InputError(f"{side} features: found no rows; expected at least one")
    if query.shape[1] != gallery.shape[1]:
        raise InputError(
            f"features: query rows have {query.shape[1]} values, gallery rows {gallery.shape[1]}; expected the same"
        )
    return query, gallery


def to_labels(
    query_ids: Any,
    query_cameras: Any,
    gallery_ids: Any,
    gallery_cameras: Any,
    shape: tuple[int, int],
) -> Labels:
    """The labels of a (Q, G) comparison, junk taken out of the gallery.

    Raises:
        InputError: a length that differs from the features', a type that is not an integer, values beyond 64 bits.
    """
    queries, gallery = shape
    all_ids = _to_integers(gallery_ids, "gallery_ids", gallery)
    all_cameras = _to_integers(gallery_cameras, "gallery_cameras", gallery)
    kept = np.flatnonzero(all_ids != JUNK)
    if kept.size == 0:
        raise InputError(f"gallery_ids: all {gallery} boxes are junk ({JUNK}); expected at least one that is not")
    return Labels(
        _to_integers(query_ids, "query_ids", queries),
        _to_integers(query_cameras, "query_cameras", queries),
        all_ids[kept],
        all_cameras[kept],
        kept,
    )


def _to_integers(values: Any, what: str, length: int) -> NDArray[np.int64]:
    array = to_array(values)
    if array.shape != (length,):
        raise InputError(f"{what}: found shape {array.shape}; expected ({length},), one for each feature row")
    if array.dtype.kind not in "iu":
        raise InputError(f"{what}: found type {array.dtype}; expected integers")
    if array.dtype.kind == "u" and array.size and array.max() > np.iinfo(np.int64).max:
        raise InputError(f"{what}: found {array.max()}; expected at most {np.iinfo(np.int64).max}")
    return array.astype(np.int64)
