"""Feature rows: what a metric makes of them, their norms, and the exact squared distance of any pairs of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import InputError, did_you_mean
from harness.reid.compiled import compiled_reduction

METRICS = ("euclidean", "cosine")
LARGEST_NORM = 1e18
"""Above it, float32 products of two rows could overflow; a cosine's rows may not be shorter than its inverse."""
LISTED_ROWS = 10


@dataclass(frozen=True)
class Rows:
    """Features under a metric: row i stands for ``values[i] * scales[i]``."""

    values: NDArray[np.float32]
    scales: NDArray[np.float64]
    """1 for the Euclidean metric; 1 / |row| for the cosine (0 for a row of zeros)."""
    norms: NDArray[np.float64]
    """Norms of the scaled rows."""

    def __getitem__(self, part: slice | NDArray[np.int64]) -> "Rows":
        return Rows(self.values[part], self.scales[part], self.norms[part])


def measure_rows(values: NDArray[np.float32], metric: str, what: str) -> Rows:
    """``values`` (N, D) with the scales and norms of ``metric``.

    The cosine metric is the Euclidean distance of rows scaled to length 1: ``|x - y|^2 = 2 (1 - cos)``, the same
    order. A row of zeros has no direction and stays zero, at distance 1 of every other.

    Raises:
        InputError: an unknown metric; rows that hold NaN or infinity, counted and named; norms beyond float32.
    """
    if metric not in METRICS:
        raise InputError(f'metric "{metric}": {did_you_mean(metric, METRICS)}')
    squares = squared_norms(values)
    bad = np.flatnonzero(~np.isfinite(squares))
    if bad.size:
        raise InputError(f"{what} features: {_describe_bad_rows(values, bad)}; expected finite numbers")
    norms = np.sqrt(squares)
    smallest = 1.0 / LARGEST_NORM if metric == "cosine" else 0.0
    odd = np.flatnonzero((norms > LARGEST_NORM) | ((norms > 0.0) & (norms < smallest)))
    if odd.size:
        raise InputError(
            f"{what} features: row {odd[0]} has norm {norms[odd[0]]:.3g}; "
            f"expected {smallest:.0e} to {LARGEST_NORM:.0e} (beyond it, float32 products overflow or vanish)"
        )
    if metric == "euclidean":
        return Rows(values, np.ones_like(norms), norms)
    scales = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0.0)
    return Rows(values, scales, (norms > 0.0).astype(np.float64))


def _describe_bad_rows(values: NDArray[np.float32], bad: NDArray[np.intp]) -> str:
    nan = np.isnan(values[bad]).any(axis=1)
    parts = []
    for kind, rows in (("NaN", bad[nan]), ("infinity", bad[~nan])):
        if rows.size:
            listed = ", ".join(str(row) for row in rows[:LISTED_ROWS]) + (", ..." if rows.size > LISTED_ROWS else "")
            plural = rows.size > 1
            parts.append(f"{rows.size} row{'s hold' if plural else ' holds'} {kind} (row{'s' * plural} {listed})")
    return " and ".join(parts)


@compiled_reduction
def squared_norms(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Squared norm of each row of (N, D), in float64; not finite exactly where the row is not."""
    squares = np.empty(values.shape[0], np.float64)
    for row in range(values.shape[0]):
        total = 0.0
        for column in range(values.shape[1]):
            value = np.float64(values[row, column])
            total += value * value
        squares[row] = total
    return squares


def squared_distances(
    left: Rows, left_index: NDArray[np.int64], right: Rows, right_index: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Squared distance of row ``left_index[p]`` of ``left`` and ``right_index[p]`` of ``right`` for each p, in float64.

    The one place where exact distances come from: equal rows give equal bits, whatever the chunk or the device.
    """
    return _squared_distances(left.values, left.scales, left_index, right.values, right.scales, right_index)


@compiled_reduction
def _squared_distances(
    left: NDArray[np.float32],
    left_scales: NDArray[np.float64],
    left_index: NDArray[np.int64],
    right: NDArray[np.float32],
    right_scales: NDArray[np.float64],
    right_index: NDArray[np.int64],
) -> NDArray[np.float64]:
    distances_sq = np.empty(left_index.size, np.float64)
    for pair in range(left_index.size):
        x, y = left[left_index[pair]], right[right_index[pair]]
        x_scale, y_scale = left_scales[left_index[pair]], right_scales[right_index[pair]]
        total = 0.0
        for column in range(x.size):
            difference = x_scale * np.float64(x[column]) - y_scale * np.float64(y[column])
            total += difference * difference
        distances_sq[pair] = total
    return distances_sq
