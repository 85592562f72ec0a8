"""Batches of pixels on a CPU: gathered, moved, normalised and erased in one compiled pass that writes each value once.

Bit for bit what ``harness.reid.data.augment`` does on an accelerator: bytes are moved, one subtraction, one
multiplication.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from harness.reid.compiled import compiled

_PART_BYTES = 1024 * 1024
"""A thread gets no less than this to write: handing over less takes longer than the work."""


def write_pixels(
    images: NDArray[np.uint8],
    rows: NDArray[np.int64],
    flipped: NDArray[np.bool_],
    offsets: NDArray[np.int64],
    erased: NDArray[np.int64],
    subtrahend: NDArray[np.float32],
    factor: NDArray[np.float32],
    out: NDArray[np.float32],
    threads: int,
) -> None:
    """Writes the finished batch into ``out``.

    Args:
        images: RGB, shape (N, H, 3 W), contiguous.
        rows: Which of them make the batch, (B,).
        flipped: Whether each is mirrored left to right, after the crop, (B,).
        offsets: How far down and right of the image each crop begins, (B, 2); what lies outside is black.
        erased: Rectangle of each finished image that becomes 0, (B, 4): first row, end, first column, end.
        subtrahend: Taken from each value of an image's row, (3 W,).
        factor: What the difference is multiplied by, (3 W,).
        out: Shape (B, H, 3 W), contiguous.
        threads: Threads that share the batch's images; no result depends on it.

    Raises:
        IndexError: A row that ``images`` does not have.
        ValueError: Draws of a batch of another size.
    """
    if not len(rows) == len(flipped) == len(offsets) == len(erased) == len(out):
        raise ValueError(f"{len(rows)} rows, draws for {len(flipped)}, room for {len(out)}")
    if len(rows) and (rows.min() < 0 or rows.max() >= len(images)):
        raise IndexError(f"rows {rows.min()} to {rows.max()} of {len(images)} images")
    arguments = images, rows, flipped, offsets, erased, subtrahend, factor, out
    parts = min(threads, len(rows), 1 + out.nbytes // _PART_BYTES)
    if parts <= 1:
        _write(*arguments, 0, len(rows))
        return
    edges = [len(rows) * part // parts for part in range(parts + 1)]
    others = [_pool(threads).submit(_write, *arguments, first, end) for first, end in pairwise(edges[1:])]
    _write(*arguments, 0, edges[1])
    for other in others:
        other.result()


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="pixels")


@compiled
def _write(
    images: NDArray[np.uint8],
    rows: NDArray[np.int64],
    flipped: NDArray[np.bool_],
    offsets: NDArray[np.int64],
    erased: NDArray[np.int64],
    subtrahend: NDArray[np.float32],
    factor: NDArray[np.float32],
    out: NDArray[np.float32],
    first: int,
    end: int,
) -> None:
    """Images ``first`` to ``end`` of a batch, a row of pixels at a time; a mirrored row by way of ``line``.

    Source and result are each one run of values, and places in them are counts from its beginning: a view of every row
    would take longer than the row itself.
    """
    height, values = out.shape[1], out.shape[2]
    width = values // 3
    source, result = images.reshape(-1), out.reshape(-1)
    line, black = np.zeros(values, np.uint8), np.empty(values, np.float32)
    _normalize(line, 0, subtrahend, factor, 0, black, 0, values)
    for place in range(first, end):
        down, right = offsets[place]
        top, bottom, left, stop = erased[place]
        begin = min(width, max(0, -right))  # of the crop's columns, the first that the image has,
        finish = max(begin, min(width, width - right))  # and the end of them
        inside = 3 * (finish - begin)
        line[:] = 0  # the border around them stays black
        for y in range(height):
            to = (place * height + y) * values
            of = (rows[place] * height + y + down) * values + 3 * (begin + right)
            if not 0 <= y + down < height:
                _copy(black, 0, result, to, values)
            elif flipped[place]:
                _mirror(source, of, line, 3 * (width - finish), inside)
                _normalize(line, 0, subtrahend, factor, 0, result, to, values)
            else:
                _copy(black, 0, result, to, 3 * begin)
                _normalize(source, of, subtrahend, factor, 3 * begin, result, to + 3 * begin, inside)
                _copy(black, 3 * finish, result, to + 3 * finish, values - 3 * finish)
            if top <= y < bottom:
                result[to + 3 * left : to + 3 * stop] = 0.0


# Places are unsigned below: of a signed one each access asks whether it counts from the end, and no compiler makes
# vectors of such a loop.


@compiled
def _normalize(
    source: NDArray[np.uint8],
    of: int,
    subtrahend: NDArray[np.float32],
    factor: NDArray[np.float32],
    column: int,
    result: NDArray[np.float32],
    to: int,
    count: int,
) -> None:
    """Writes ``count`` values from place ``to`` on: those of ``source`` from ``of``, which belong at ``column``."""
    first, constant, target = np.uintp(of), np.uintp(column), np.uintp(to)
    for i in range(np.uintp(count)):
        result[target + i] = (np.float32(source[first + i]) - subtrahend[constant + i]) * factor[constant + i]


@compiled
def _copy(source: NDArray[np.float32], of: int, result: NDArray[np.float32], to: int, count: int) -> None:
    first, target = np.uintp(of), np.uintp(to)
    for i in range(np.uintp(count)):
        result[target + i] = source[first + i]


@compiled
def _mirror(source: NDArray[np.uint8], of: int, line: NDArray[np.uint8], to: int, count: int) -> None:
    """Writes the pixels of ``count`` values from ``of`` on in reverse."""
    first, three = np.uintp(of), np.uintp(3)
    last = np.uintp(to + count - 3)
    for pixel in range(np.uintp(count // 3)):
        at, here = last - three * pixel, first + three * pixel
        for channel in range(three):
            line[at + channel] = source[here + channel]
