"""Plain arrays or tensors in, checked arrays out: checks everything that a caller passes."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import InputError

JUNK = -1
"""Identity of boxes that are left out of every ranking."""


@dataclass(frozen=True)
class Labels:
    """Identities and cameras of both sides as int64, and which gallery items are ranked.

    Labels that are no numbers are numbered; only which are equal counts.
    """

    query_ids: NDArray[np.int64]
    query_cameras: NDArray[np.int64]
    gallery_ids: NDArray[np.int64]
    """Of the kept gallery items, like ``gallery_cameras``."""
    gallery_cameras: NDArray[np.int64]
    kept: NDArray[np.int64]
    """Index in the caller's gallery of every item that is not junk, ascending."""
    camera_names: tuple[str, ...] = ()
    """By number, if cameras are names."""


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
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is reported as that
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

    Each may be integers or text, of shape (N,), (N, 1) or (1, N).

    Raises:
        InputError: a length that differs from the features', a type that is neither an integer nor text, values beyond
            64 bits.
    """
    queries, gallery = shape
    own_ids, all_ids, _ = _to_numbers(
        _to_flat(query_ids, "query_ids", queries), _to_flat(gallery_ids, "gallery_ids", gallery), "ids"
    )
    own_cameras, all_cameras, names = _to_numbers(
        _to_flat(query_cameras, "query_cameras", queries),
        _to_flat(gallery_cameras, "gallery_cameras", gallery),
        "cameras",
    )
    kept = np.flatnonzero(all_ids != JUNK)
    if kept.size == 0:
        raise InputError(f"gallery_ids: all {gallery} boxes are junk ({JUNK}); expected at least one that is not")
    return Labels(own_ids, own_cameras, all_ids[kept], all_cameras[kept], kept, names)


def _to_flat(values: Any, what: str, length: int) -> NDArray[Any]:
    """Labels (length,) as int64 or as text."""
    array = to_array(values)
    if array.shape not in {(length,), (length, 1), (1, length)}:
        raise InputError(f"{what}: found shape {array.shape}; expected ({length},), one for each feature row")
    array = array.reshape(length)
    if array.dtype.kind == "O":
        array = _plain(array)
    if array.dtype.kind == "S":
        try:
            array = np.char.decode(array, "utf-8")
        except UnicodeDecodeError:
            raise InputError(f"{what}: found bytes that are not UTF-8; expected integers or text") from None
    if array.dtype.kind == "U":
        return np.char.strip(array)
    if array.dtype.kind not in "iu":
        raise InputError(f"{what}: found type {array.dtype}; expected integers or text")
    if array.dtype.kind == "u" and array.size and array.max() > np.iinfo(np.int64).max:
        raise InputError(f"{what}: found {array.max()}; expected at most {np.iinfo(np.int64).max}")
    return array.astype(np.int64)


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    """An array of Python objects as text or integers, if that is what they all are."""
    for kinds, dtype in (((str,), np.str_), ((bytes,), np.bytes_), ((int, np.integer), np.int64)):
        if all(isinstance(value, kinds) for value in array):
            try:
                return array.astype(dtype)
            except OverflowError:
                break
    return array


def _to_numbers(
    query: NDArray[Any], gallery: NDArray[Any], what: str
) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[str, ...]]:
    """Both sides' labels as numbers that are equal where the labels are; and, by number, the names numbered so.

    Text that holds whole numbers alone is those numbers ("0001" is 1, so that it meets integers). Other text is
    numbered by its spelling; "-1" stays junk.

    Raises:
        InputError: Names on one side and integers on the other; two spellings of one number on one side.
    """
    sides = [("query_" + what, query), ("gallery_" + what, gallery)]
    texts = {name: side for name, side in sides if side.dtype.kind == "U"}
    if not texts:
        return query, gallery, ()
    spellings = np.unique(np.concatenate([np.unique(side) for side in texts.values()]))
    numbers = [_number(str(text)) for text in spellings]
    if None not in numbers:
        for name, side in texts.items():
            _check_spellings(name, side)
        as_numbers = np.array(numbers, np.int64)
        query, gallery = (
            as_numbers[np.searchsorted(spellings, side)] if name in texts else side for name, side in sides
        )
        return query, gallery, ()
    if len(texts) == 1:
        (name,) = texts
        other = next(side for side, _ in sides if side != name)
        odd = spellings[numbers.index(None)]
        raise InputError(f'{name}: found "{odd}", but {other} are integers; expected labels of one kind')
    places = np.array([JUNK if number == JUNK else place for place, number in enumerate(numbers)])
    query, gallery = (places[np.searchsorted(spellings, side)] for _, side in sides)
    return query, gallery, tuple(map(str, spellings))


def _number(text: str) -> int | None:
    """The whole number of 64 bits that a text spells, or None."""
    number = int(text) if re.fullmatch(r"[+-]?[0-9]{1,20}", text) else None
    return number if number is not None and abs(number) < 2**63 else None


def _check_spellings(name: str, side: NDArray[Any]) -> None:
    """Refuses "1" beside "0001": whether they are one person is not for us to say."""
    seen: dict[int | None, str] = {}
    for text in map(str, np.unique(side)):
        other = seen.setdefault(_number(text), text)
        if other != text:
            raise InputError(f'{name}: found "{other}" and "{text}", one number; expected one spelling of each label')
