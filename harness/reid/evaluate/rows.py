"""Feature rows under a metric: what products are taken of, and the exact squared distance of any pairs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import InputError, did_you_mean
from harness.reid.compiled import compiled, compiled_reduction
from harness.reid.evaluate.workers import run_tasks, split

METRICS = ("euclidean", "cosine")
LARGEST_NORM = 1e18
"""Above it, float32 products of two rows could overflow; a cosine's rows may not be shorter than its inverse."""
LISTED_ROWS = 10
SAMPLE = 64
"""Rows that a common centre is sought among."""
CHUNK = 4096


@dataclass(frozen=True)
class Rows:
    """Features under a metric: row i is ``values[i]``, for the cosine for ``values[i] / peaks[i] * scales[i]``.

    Exact distances come from these. Float32 products come from ``products[i] * product_scales[i]``: the same row or,
    where all rows lie far from the origin and near each other, the row less a common centre. No distance changes by
    that, and the digits that products would spend on the centre are left for the differences.
    """

    values: NDArray[np.float32]
    peaks: NDArray[np.float64]
    """For the cosine the largest magnitude in a row (1 for a row of zeros), else 0: collinear rows, divided by theirs,
    are equal to the last bit."""
    scales: NDArray[np.float64]
    """For the cosine 1 / |values / peak| (0 for a row of zeros), else 1."""
    products: NDArray[np.float32]
    """``values`` itself where no centre was taken off."""
    product_scales: NDArray[np.float64]
    norms: NDArray[np.float64]
    """Norms of what products are taken of."""

    def __getitem__(self, part: slice | NDArray[np.int64]) -> "Rows":
        values = self.values[part]
        products = values if self.products is self.values else self.products[part]
        return Rows(values, self.peaks[part], self.scales[part], products, self.product_scales[part], self.norms[part])

    def followed_by(self, other: "Rows") -> "Rows":
        """These rows and then those of ``other``, of the same centre."""
        values = np.concatenate([self.values, other.values])
        centred = self.products is not self.values
        return Rows(
            values,
            np.concatenate([self.peaks, other.peaks]),
            np.concatenate([self.scales, other.scales]),
            np.concatenate([self.products, other.products]) if centred else values,
            np.concatenate([self.product_scales, other.product_scales]),
            np.concatenate([self.norms, other.norms]),
        )


def measure_sides(
    query: NDArray[np.float32], gallery: NDArray[np.float32], metric: str, threads: int
) -> tuple[Rows, Rows]:
    """Both sides' rows (Q, D) and (G, D) under ``metric``, with one centre taken off where that saves digits.

    The cosine metric is the Euclidean distance of rows scaled to length 1: ``|x - y|^2 = 2 (1 - cos)``, the same
    order. A row of zeros has no direction and stays zero, at distance 1 of every other.

    The centre is the median of a few rows, which a row of huge norm cannot move, and it is taken off if that halves
    the usual norm at least.

    Raises:
        InputError: an unknown metric; rows that hold NaN or infinity, counted and named; norms beyond float32.
    """
    sides = measure_rows(query, metric, "query"), measure_rows(gallery, metric, "gallery")
    centre = _find_centre(sides)
    return sides if centre is None else (_take_off(centre, sides[0], threads), _take_off(centre, sides[1], threads))


def measure_rows(values: NDArray[np.float32], metric: str, what: str) -> Rows:
    """``values`` (N, D) under ``metric``, no centre taken off; see ``measure_sides``."""
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
        ones = np.ones_like(norms)
        return Rows(values, np.zeros_like(norms), ones, values, ones, norms)
    peaks, scales = _measure_directions(values)
    lengths = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0.0)
    return Rows(values, peaks, scales, values, lengths, (norms > 0.0).astype(np.float64))


def scaled(rows: Rows) -> NDArray[np.float32]:
    """What products are taken of, scaled; no copy where there is no scale."""
    if (rows.product_scales == 1.0).all():
        return rows.products
    return rows.products * rows.product_scales[:, None].astype(np.float32)


def _find_centre(sides: tuple[Rows, Rows]) -> NDArray[np.float32] | None:
    """A point near most rows (D,), unless the origin is about as near."""
    counts = [len(side.values) for side in sides]
    total = sum(counts)
    chosen = np.unique(np.linspace(0, total - 1, min(total, SAMPLE)).astype(np.int64))
    parts = [sides[0][chosen[chosen < counts[0]]], sides[1][chosen[chosen >= counts[0]] - counts[0]]]
    sample = np.concatenate([part.products * part.product_scales[:, None] for part in parts])
    centre = np.median(sample, axis=0).astype(np.float32)
    near, far = np.linalg.norm(sample - centre, axis=1), np.linalg.norm(sample, axis=1)
    return centre if np.median(near) < 0.5 * np.median(far) else None


def _take_off(centre: NDArray[np.float32], rows: Rows, threads: int) -> Rows:
    products, norms = np.empty_like(rows.values), np.empty_like(rows.norms)

    def work(part: slice) -> None:
        _subtract(rows.values[part], rows.peaks[part], rows.scales[part], centre, products[part], norms[part])

    run_tasks(work, split(len(products), CHUNK, threads), threads)
    return Rows(rows.values, rows.peaks, rows.scales, products, np.ones_like(norms), norms)


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

    The one place where exact distances come from: equal rows give equal bits, whatever the chunk or the device; under
    the cosine metric, so do rows that are exact multiples of each other.
    """
    return _squared_distances(
        left.values, left.peaks, left.scales, left_index, right.values, right.peaks, right.scales, right_index
    )


@compiled
def _fill_unit(row: NDArray[np.float32], peak: float, scale: float, unit: NDArray[np.float64]) -> None:
    """Writes a row of length 1. Compiled without freedom to reorder: the division must come first, see ``peaks``."""
    if peak > 0.0:
        for column in range(row.size):
            unit[column] = np.float64(row[column]) / peak * scale


@compiled_reduction
def _measure_directions(values: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """``Rows.peaks`` and ``Rows.scales`` of the cosine metric."""
    peaks, scales = np.ones(values.shape[0], np.float64), np.zeros(values.shape[0], np.float64)
    unit = np.empty(values.shape[1], np.float64)
    for row in range(values.shape[0]):
        peak = np.float64(0.0)
        for column in range(values.shape[1]):
            peak = max(peak, abs(np.float64(values[row, column])))
        if peak > 0.0:
            _fill_unit(values[row], peak, 1.0, unit)
            total = 0.0
            for column in range(unit.size):
                total += unit[column] * unit[column]
            peaks[row], scales[row] = peak, 1.0 / np.sqrt(total)
    return peaks, scales


@compiled_reduction
def _subtract(
    values: NDArray[np.float32],
    peaks: NDArray[np.float64],
    scales: NDArray[np.float64],
    centre: NDArray[np.float32],
    products: NDArray[np.float32],
    norms: NDArray[np.float64],
) -> None:
    """Writes rows less ``centre``, and their norms before the rows were rounded to float32."""
    unit = np.empty(values.shape[1], np.float64)
    for row in range(values.shape[0]):
        total = 0.0
        if peaks[row] > 0.0:
            _fill_unit(values[row], peaks[row], scales[row], unit)
            for column in range(unit.size):
                difference = unit[column] - np.float64(centre[column])
                products[row, column] = difference
                total += difference * difference
        else:
            for column in range(unit.size):
                difference = np.float64(values[row, column]) - np.float64(centre[column])
                products[row, column] = difference
                total += difference * difference
        norms[row] = np.sqrt(total)


@compiled_reduction
def _squared_distances(
    left: NDArray[np.float32],
    left_peaks: NDArray[np.float64],
    left_scales: NDArray[np.float64],
    left_index: NDArray[np.int64],
    right: NDArray[np.float32],
    right_peaks: NDArray[np.float64],
    right_scales: NDArray[np.float64],
    right_index: NDArray[np.int64],
) -> NDArray[np.float64]:
    distances_sq = np.empty(left_index.size, np.float64)
    x_unit, y_unit = np.empty(left.shape[1], np.float64), np.empty(left.shape[1], np.float64)
    filled = np.int64(-1)
    for pair in range(left_index.size):
        mine, other = left_index[pair], right_index[pair]
        x, y = left[mine], right[other]
        total = 0.0
        if left_peaks[mine] == 0.0:  # Euclidean
            for column in range(x.size):
                difference = np.float64(x[column]) - np.float64(y[column])
                total += difference * difference
        elif left_scales[mine] == 0.0 or right_scales[other] == 0.0:  # a row of zeros, or two
            total = 0.0 if left_scales[mine] == right_scales[other] else 1.0
        else:
            if mine != filled:
                _fill_unit(x, left_peaks[mine], left_scales[mine], x_unit)
                filled = mine
            _fill_unit(y, right_peaks[other], right_scales[other], y_unit)
            for column in range(x.size):
                difference = x_unit[column] - y_unit[column]
                total += difference * difference
        distances_sq[pair] = total
    return distances_sq
