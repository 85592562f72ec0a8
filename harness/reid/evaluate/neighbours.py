"""The exact nearest neighbours of every row among all rows, and the distance of the farthest one.

All pairs are met once: a block of products serves its rows and, read downwards, its columns. Per row, float32 scores
keep a few candidates more than asked for; exact distances then choose among those that the error bound leaves open.
"""

from dataclasses import dataclass
from itertools import chain
from threading import Lock, local

import numpy as np
from numpy.typing import NDArray

from harness.reid.compiled import compiled
from harness.reid.evaluate.bounds import Bounds, product_bounds
from harness.reid.evaluate.rows import Rows, scaled, squared_distances
from harness.reid.evaluate.scan import score_reach
from harness.reid.evaluate.workers import Counter, Progress, run_tasks, split

SPARE = 4
"""Candidates kept beyond those asked for; a row that needs more is computed exactly as a whole."""
BLOCK = 1024
SEGMENT = 64


@dataclass(frozen=True)
class Neighbours:
    """By row: the nearest rows, itself among them, ties by index; and how far the farthest is."""

    index: NDArray[np.int32]
    """(N, count)."""
    farthest_sq: NDArray[np.float64]
    """Squared distance of the row farthest away, to float32's knowledge of which one that is."""


@dataclass(frozen=True)
class Candidates:
    """By row: the smallest scores seen, ascending, with their rows; the largest score and its row.

    A score is half the squared distance in float32.
    """

    scores: NDArray[np.float32]
    index: NDArray[np.int32]
    far_score: NDArray[np.float32]
    far_index: NDArray[np.int32]


def find_neighbours(
    rows: Rows,
    count: int,
    *,
    device: str,
    threads: int,
    progress: Progress | None,
    products: NDArray[np.float32] | None = None,
    block: int = BLOCK,
) -> Neighbours:
    """The ``count`` nearest rows of every row, at most all of them; see ``Neighbours``.

    ``products`` (Q, N - Q), if given, receives the products of the first Q rows with the others, as a by-product.
    On a device it is left alone.
    """
    total = len(rows.values)
    count = min(count, total)
    size = min(count + SPARE, total)
    if device == "cpu":
        candidates = _candidates_on_host(rows, size, threads, progress, products, block)
    else:
        from harness.reid.evaluate.device import candidates_on_device  # torch is needed for a device alone

        candidates = Candidates(*candidates_on_device(rows, size, device, progress))
    bounds = product_bounds(rows.products.shape[1], float(rows.product_scales.max()), float(rows.norms.max()))
    parts = run_tasks(
        lambda chunk: _choose(rows, candidates, chunk, count, bounds), split(total, block, threads), threads
    )
    farthest = squared_distances(rows, np.arange(total), rows, candidates.far_index.astype(np.int64))
    return Neighbours(np.concatenate(parts), farthest)


def triangle(total: int, block: int = BLOCK) -> list[tuple[slice, slice]]:
    """Pairs of blocks that cover every pair of rows once, by diagonals: blocks met in turn share few rows."""
    edges = split(total, block, 1)
    return [(edges[first], edges[first + step]) for step in range(len(edges)) for first in range(len(edges) - step)]


def _candidates_on_host(
    rows: Rows,
    size: int,
    threads: int,
    progress: Progress | None,
    products: NDArray[np.float32] | None,
    block: int,
) -> Candidates:
    total = len(rows.values)
    found = Candidates(
        np.full((total, size), np.inf, np.float32),
        np.zeros((total, size), np.int32),
        np.full(total, -np.inf, np.float32),
        np.zeros(total, np.int32),
    )
    ceiling = np.full(total, np.inf, np.float32)  # found.scores[:, -1], side by side
    halves = (0.5 * rows.norms**2).astype(np.float32)
    scales = rows.product_scales.astype(np.float32)
    left_rows = scaled(rows)
    tasks = triangle(total, block)
    locks = {edge.start: Lock() for edge in chain.from_iterable(tasks)}
    counter, buffers = Counter(len(tasks), progress), local()

    def score_block(task: tuple[slice, slice]) -> None:
        """Scores one block of pairs, and offers them to its rows and, off the diagonal, to its columns."""
        if not hasattr(buffers, "block"):
            buffers.block = np.empty(block * block, np.float32)
        left, right = task
        shape = left.stop - left.start, right.stop - right.start
        scores = buffers.block[: shape[0] * shape[1]].reshape(shape)
        np.matmul(left_rows[left], rows.products[right].T, out=scores)
        if products is not None:
            _keep(products, scores, left.start, right.start)
        _score(scores, halves[left], halves[right], scales[right])
        state = (ceiling, found.scores, found.index, found.far_score, found.far_index)
        with locks[left.start]:
            _take_rows(scores, left.start, right.start, *state)
        if left != right:
            with locks[right.start]:
                _take_columns(scores, left.start, right.start, *state)
        counter.tick()

    run_tasks(score_block, tasks, threads)
    return found


def _keep(products: NDArray[np.float32], block: NDArray[np.float32], first_row: int, first_column: int) -> None:
    """Copies the part of a block that lies in the first rows and the other columns, if any."""
    queries, width = len(products), block.shape[1]
    rows = max(0, min(len(block), queries - first_row))
    skipped = min(width, max(0, queries - first_column))
    begin = max(0, first_column - queries)
    products[first_row : first_row + rows, begin : begin + width - skipped] = block[:rows, skipped:]


Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


@compiled
def _score(scores: Floats, row_halves: Floats, column_halves: Floats, scales: Floats) -> None:
    for row in range(scores.shape[0]):
        for column in range(scores.shape[1]):
            scores[row, column] = row_halves[row] + (column_halves[column] - scales[column] * scores[row, column])


@compiled
def _take_rows(
    scores: Floats,
    first_row: int,
    first_column: int,
    ceiling: Floats,
    best: Floats,
    index: Ints,
    far_score: Floats,
    far_index: Ints,
) -> None:
    """Offers every column of a block to its rows."""
    for row in range(scores.shape[0]):
        me = first_row + row
        for begin in range(0, scores.shape[1], SEGMENT):
            end = min(begin + SEGMENT, scores.shape[1])
            limit, far = ceiling[me], far_score[me]
            near = np.int32(0)
            for column in range(begin, end):
                near = np.int32(near + ((scores[row, column] < limit) | (scores[row, column] > far)))
            if near:
                for column in range(begin, end):
                    score = scores[row, column]
                    if score < ceiling[me] or score > far_score[me]:
                        _offer(score, me, first_column + column, ceiling, best, index, far_score, far_index)


@compiled
def _take_columns(
    scores: Floats,
    first_row: int,
    first_column: int,
    ceiling: Floats,
    best: Floats,
    index: Ints,
    far_score: Floats,
    far_index: Ints,
) -> None:
    """Offers every row of a block to its columns; the block is still read along its rows."""
    for row in range(scores.shape[0]):
        for begin in range(0, scores.shape[1], SEGMENT):
            end = min(begin + SEGMENT, scores.shape[1])
            near = np.int32(0)
            for column in range(begin, end):
                score = scores[row, column]
                me = first_column + column
                near = np.int32(near + ((score < ceiling[me]) | (score > far_score[me])))
            if near:
                for column in range(begin, end):
                    score, me = scores[row, column], first_column + column
                    if score < ceiling[me] or score > far_score[me]:
                        _offer(score, me, first_row + row, ceiling, best, index, far_score, far_index)


@compiled
def _offer(
    score: float,
    me: int,
    other: int,
    ceiling: Floats,
    best: Floats,
    index: Ints,
    far_score: Floats,
    far_index: Ints,
) -> None:
    if score > far_score[me]:
        far_score[me], far_index[me] = score, other
    if score < ceiling[me]:
        place = best.shape[1] - 1
        while place > 0 and best[me, place - 1] > score:
            best[me, place], index[me, place] = best[me, place - 1], index[me, place - 1]
            place -= 1
        best[me, place], index[me, place] = score, other
        ceiling[me] = best[me, best.shape[1] - 1]


def _choose(rows: Rows, candidates: Candidates, chunk: slice, count: int, bounds: Bounds) -> NDArray[np.int32]:
    """The ``count`` truly nearest of the candidates of some rows, by exact distance and index."""
    scores, index = candidates.scores[chunk], candidates.index[chunk]
    last = scores[:, count - 1].astype(np.float64)
    _, reach = score_reach(2.0 * last, rows.norms[chunk], bounds)
    possible = scores <= (last + 2.0 * reach)[:, None]
    crowded = possible[:, -1] & (scores.shape[1] < len(rows.values))
    possible[crowded] = False
    row, place = np.nonzero(possible)
    other = index[row, place].astype(np.int64)
    distances_sq = squared_distances(rows, row + chunk.start, rows, other)
    order = np.lexsort((other, distances_sq, row))
    row, other = row[order], other[order]
    keep = np.arange(len(row)) - np.searchsorted(row, row) < count
    chosen = np.empty((len(scores), count), np.int32)
    chosen[~crowded] = other[keep].reshape(-1, count)
    everyone = np.arange(len(rows.values))
    for odd in np.flatnonzero(crowded):
        whole = squared_distances(rows, np.full(len(everyone), chunk.start + odd), rows, everyone)
        chosen[odd] = np.lexsort((everyone, whole))[:count]
    return chosen
