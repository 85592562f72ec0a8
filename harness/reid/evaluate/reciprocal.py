"""k-reciprocal sets, their weights, and the Jaccard distance of queries to the gallery: sparse throughout.

After Zhong, Zheng, Cao and Li, "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from harness.reid.compiled import compiled
from harness.reid.evaluate.neighbours import Neighbours
from harness.reid.evaluate.rows import Rows, squared_distances
from harness.reid.evaluate.workers import run_tasks, split

Ints = NDArray[np.int64]
CHUNK = 2048
DECIMALS = 12
"""Jaccard distances that agree so far are equal, and tie: the order of a sum must not rank anybody."""


@dataclass(frozen=True)
class Overlap:
    """The gallery items whose k-reciprocal sets share something with a query's, by query; all others are at 1."""

    ptr: Ints
    """Query q owns the entries ``ptr[q] : ptr[q + 1]``."""
    index: Ints
    """Gallery position, ascending."""
    jaccard: NDArray[np.float64]
    """Jaccard distance, below 1."""
    farthest_sq: NDArray[np.float64]
    """By query: its largest squared distance to any query or gallery item, which normalises its distances."""


def encode_overlap(rows: Rows, queries: int, neighbours: Neighbours, k1: int, k2: int, threads: int) -> Overlap:
    """Jaccard distances of the first ``queries`` rows to the others, where they differ from 1 (eq. 7 to 11).

    - The k nearest of a row are itself and k more: k1 + 1 in all, and round(k1 / 2) + 1 for the half sets, halves
      rounded to even, as in the authors' code.
    - A half set joins (eq. 5) if more than two thirds of it lie in the row's own reciprocal set.
    - Weights are exp(-d) with d the squared distance over the row's largest squared distance, and sum to 1 by row.
    - Local query expansion averages over k2 rows, the row itself among them; k2 = 1 is none.
    """
    weights = _weigh_sets(rows, neighbours, k1, threads)
    if k2 > 1:
        weights = _expand(weights, neighbours.index[:, :k2])
    mine, theirs = weights[:queries], weights[queries:].tocsc()
    masses = weights.sum(axis=1)
    parts = run_tasks(
        lambda chunk: _overlap(
            mine.indptr[chunk.start : chunk.stop + 1],
            mine.indices,
            mine.data,
            theirs.indptr,
            theirs.indices,
            theirs.data,
            masses[chunk],
            masses[queries:],
        ),
        split(queries, CHUNK, threads),
        threads,
    )
    counts, index, jaccard = (np.concatenate(part) for part in zip(*parts, strict=True))
    jaccard = np.round(jaccard, DECIMALS)
    return Overlap(np.concatenate([[0], np.cumsum(counts)]), index, jaccard, neighbours.farthest_sq[:queries])


def _weigh_sets(rows: Rows, neighbours: Neighbours, k1: int, threads: int) -> csr_array:
    """Matrix V (N, N) of eq. 7: the Gaussian weights of every row's expanded k-reciprocal set."""
    total = len(rows.values)
    half_k = int(np.around(k1 / 2)) + 1
    index = np.ascontiguousarray(neighbours.index[:, : k1 + 1])
    halves = _mutual(index, half_k)

    def weigh(chunk: slice) -> tuple[Ints, NDArray[np.int32], NDArray[np.float64]]:
        counts, members = _grow(index, halves, chunk.start, chunk.stop)
        row = np.repeat(np.arange(chunk.start, chunk.stop), counts)
        distances_sq = squared_distances(rows, row, rows, members.astype(np.int64))
        farthest = neighbours.farthest_sq[row]
        kernel = np.exp(-np.divide(distances_sq, farthest, out=np.zeros_like(farthest), where=farthest > 0.0))
        return counts, members, kernel / np.bincount(row - chunk.start, kernel)[row - chunk.start]

    parts = run_tasks(weigh, split(total, CHUNK, threads), threads)
    counts, members, weights = (np.concatenate(part) for part in zip(*parts, strict=True))
    return csr_array((weights, members, np.concatenate([[0], np.cumsum(counts)])), shape=(total, total))


def _expand(weights: csr_array, nearest: NDArray[np.int32]) -> csr_array:
    """Mean of the weights over each row's ``nearest`` (N, k2), summed in the order of their indices.

    That order makes the rows of equal features equal to the last bit.
    """
    total, k2 = nearest.shape
    chooser = csr_array(
        (np.ones(total * k2), np.sort(nearest, axis=1).ravel(), np.arange(0, total * k2 + 1, k2)), shape=(total, total)
    )
    mean = chooser @ weights
    mean.data /= k2
    mean.sort_indices()
    return mean


@compiled
def _contains(values: NDArray[np.int32], wanted: int) -> bool:
    for value in values:  # noqa: SIM110 (a generator would not compile)
        if value == wanted:
            return True
    return False


@compiled
def _mutual(index: NDArray[np.int32], count: int) -> NDArray[np.int32]:
    """By row, those of its ``count`` nearest that have it among theirs, then -1 (N, count)."""
    count = min(count, index.shape[1])
    mutual = np.full((index.shape[0], count), -1, np.int32)
    for row in range(index.shape[0]):
        found = 0
        for other in index[row, :count]:
            if _contains(index[other, :count], row):
                mutual[row, found] = other
                found += 1
    return mutual


@compiled
def _grow(index: NDArray[np.int32], halves: NDArray[np.int32], first: int, last: int) -> tuple[Ints, NDArray[np.int32]]:
    """The expanded k-reciprocal sets of rows ``first`` to ``last``: sizes, and members in ascending order."""
    core = np.zeros(index.shape[0], np.int32)  # the last row whose own set, or expanded set, a row was found in, plus 1
    grown = np.zeros(index.shape[0], np.int32)
    counts = np.zeros(last - first, np.int64)
    members = np.empty((last - first) * (index.shape[1] * (halves.shape[1] + 1)), np.int32)
    filled = 0
    for row in range(first, last):
        begin, stamp = filled, row + 1
        for other in index[row]:
            if _contains(index[other], row):
                core[other] = stamp
                grown[other] = stamp
                members[filled] = other
                filled += 1
        for place in range(begin, filled):
            size, shared = 0, 0
            for member in halves[members[place]]:
                if member < 0:
                    break
                size += 1
                shared += core[member] == stamp
            if 3 * shared > 2 * size:
                for member in halves[members[place], :size]:
                    if grown[member] != stamp:
                        grown[member] = stamp
                        members[filled] = member
                        filled += 1
        members[begin:filled].sort()
        counts[row - first] = filled - begin
    return counts, members[:filled].copy()


@compiled
def _overlap(
    ptr: NDArray[np.int32],
    column: NDArray[np.int32],
    weight: NDArray[np.float64],
    inverse_ptr: NDArray[np.int32],
    inverse_row: NDArray[np.int32],
    inverse_weight: NDArray[np.float64],
    query_masses: NDArray[np.float64],
    gallery_masses: NDArray[np.float64],
) -> tuple[Ints, Ints, NDArray[np.float64]]:
    """Jaccard distances of some queries through the inverted index: sizes, gallery positions, distances.

    The sum of maxima (eq. 10) is what both rows hold together, less the sum of minima.
    """
    shared = np.zeros(gallery_masses.size)
    counts = np.zeros(ptr.size - 1, np.int64)
    touched = np.empty(gallery_masses.size, np.int64)
    index, jaccard = np.empty(4096, np.int64), np.empty(4096, np.float64)
    filled = 0
    for query in range(ptr.size - 1):
        found = 0
        for entry in range(ptr[query], ptr[query + 1]):
            mine, at = weight[entry], column[entry]
            for other in range(inverse_ptr[at], inverse_ptr[at + 1]):
                item = inverse_row[other]
                if shared[item] == 0.0:
                    touched[found] = item
                    found += 1
                shared[item] += min(mine, inverse_weight[other])
        if filled + found > index.size:
            room = 2 * (filled + found)
            index = np.concatenate((index[:filled], np.empty(room, np.int64)))
            jaccard = np.concatenate((jaccard[:filled], np.empty(room, np.float64)))
        for item in np.sort(touched[:found]):
            least = shared[item]
            index[filled] = item
            jaccard[filled] = 1.0 - least / (query_masses[query] + gallery_masses[item] - least)
            shared[item] = 0.0
            filled += 1
        counts[query] = found
    return counts, index[:filled].copy(), jaccard[:filled].copy()
