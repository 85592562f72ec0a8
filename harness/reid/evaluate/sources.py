"""Where distances come from, behind one interface: features or a finished matrix."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.errors import InputError
from harness.reid.evaluate.bounds import EXACT, Bounds, product_bounds
from harness.reid.evaluate.rows import Rows, scaled, squared_distances

Ints = NDArray[np.int64]
Floats = NDArray[np.floating]


class Source(Protocol):
    """Scores and exact values of the pairs query x kept gallery item; positions count kept items only.

    Scores order each query's gallery as the values do, up to the error that ``bounds`` describes; the exact score of a
    pair is ``(value - norm^2) / 2`` with its query's norm.
    """

    shape: tuple[int, int]
    bounds: Bounds
    dtype: np.dtype[Any]
    norms: NDArray[np.float64]
    shifts: Floats
    """By gallery position: score = shift - scale * product."""
    scales: Floats

    def fill(self, queries: slice, gallery: slice, block: Floats) -> None:
        """Writes the products of some queries and gallery positions into ``block``."""
        ...

    def values(self, queries: Ints, gallery: Ints) -> NDArray[np.float64]:
        """The exact values of pairs."""
        ...

    def exceptions(self, _: slice, /) -> tuple[Ints, Ints]:
        """The pairs (query, gallery position) of some queries whose score says nothing of their value."""
        ...


class FeatureSource:
    """Distances of features: values are squared distances in float64, scores float32."""

    def __init__(self, queries: Rows, gallery: Rows, kept: Ints) -> None:
        self.queries, self.gallery, self.kept = queries, gallery, kept
        self.shape = len(queries.values), len(kept)
        self.dtype = np.dtype(np.float32)
        self.norms = queries.norms
        self.bounds = product_bounds(
            queries.products.shape[1], float(gallery.product_scales.max()), float(gallery.norms[kept].max())
        )
        self.query_rows = scaled(queries)
        self.shifts = (0.5 * gallery.norms[kept] ** 2).astype(np.float32)
        self.scales = gallery.product_scales[kept].astype(np.float32)

    def gallery_rows(self, gallery: slice) -> NDArray[np.float32]:
        """What products take of kept items, unscaled: a view where they lie together, as with junk at one end."""
        kept = self.kept[gallery]
        together = kept[-1] - kept[0] == len(kept) - 1
        rows = self.gallery.products
        return rows[kept[0] : kept[-1] + 1] if together else rows[kept]

    def fill(self, queries: slice, gallery: slice, block: Floats) -> None:
        """See ``Source``."""
        np.matmul(self.query_rows[queries], self.gallery_rows(gallery).T, out=block)

    def values(self, queries: Ints, gallery: Ints) -> NDArray[np.float64]:
        """See ``Source``."""
        return squared_distances(self.queries, queries, self.gallery, self.kept[gallery])

    def exceptions(self, _: slice, /) -> tuple[Ints, Ints]:
        """See ``Source``: none."""
        return np.empty(0, np.int64), np.empty(0, np.int64)


class MatrixSource:
    """A finished distance matrix (Q, G), taken as it is: the score is half the distance, and exact."""

    def __init__(self, distances: NDArray[Any], kept: Ints) -> None:
        if distances.dtype.kind not in "fiu":
            raise InputError(f"distances: found type {distances.dtype}; expected floating-point numbers")
        self.distances, self.kept = distances, kept
        self.shape = distances.shape[0], len(kept)
        half = distances.dtype.kind == "f" and distances.dtype.itemsize <= 4
        self.dtype = np.dtype(np.float32 if half else np.float64)
        self.norms = np.zeros(self.shape[0])
        self.bounds = EXACT
        self.shifts = np.zeros(len(kept), self.dtype)
        self.scales = np.full(len(kept), -0.5, self.dtype)

    def fill(self, queries: slice, gallery: slice, block: Floats) -> None:
        """See ``Source``.

        Raises:
            InputError: distances that are not finite, with the rows that hold them.
        """
        block[...] = self.distances[queries, self.kept[gallery]]
        bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
        if bad.size:
            raise InputError(
                f"distances: {bad.size} query row(s) hold NaN or infinity (first: row {queries.start + bad[0]}); "
                "expected finite numbers"
            )

    def values(self, queries: Ints, gallery: Ints) -> NDArray[np.float64]:
        """See ``Source``."""
        return np.asarray(self.distances[queries, self.kept[gallery]], np.float64)

    def exceptions(self, _: slice, /) -> tuple[Ints, Ints]:
        """See ``Source``: none."""
        return np.empty(0, np.int64), np.empty(0, np.int64)
