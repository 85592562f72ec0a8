"""k-reciprocal re-ranking (Zhong et al., CVPR 2017), exact: as one distance matrix, or evaluated without one."""

from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.errors import InputError
from harness.reid.evaluate.bounds import EXACT
from harness.reid.evaluate.inputs import to_feature_pair, to_labels
from harness.reid.evaluate.neighbours import find_neighbours, triangle
from harness.reid.evaluate.ranking import GALLERY_CHUNK, Settings, lay_out, rank
from harness.reid.evaluate.reciprocal import Overlap, encode_overlap
from harness.reid.evaluate.result import RankingResult
from harness.reid.evaluate.rows import Rows, measure_sides
from harness.reid.evaluate.sources import FeatureSource, Floats, Ints
from harness.reid.evaluate.workers import Progress, run_tasks

KEPT_BYTES = 512 * 2**20
"""Products of queries and gallery are kept from the search for neighbours up to this size, else made again."""


def k_reciprocal_distances(
    query_features: Any,
    gallery_features: Any,
    *,
    k1: int = 20,
    k2: int = 6,
    lambda_: float = 0.3,
    metric: Literal["euclidean", "cosine"] = "euclidean",
    device: str = "cpu",
    threads: int | None = None,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Re-ranked distances (Q, G) of features (Q, D) against (G, D): (1 - lambda) Jaccard + lambda original (eq. 12).

    Computed from plain Euclidean distances as the authors' code takes them: squared once, then divided by the largest
    in the query's row over queries and gallery together. With the cosine metric, rows are scaled to length 1 first.
    Junk must be taken out of the gallery by the caller, or it takes part in the neighbourhoods; ``evaluate_reranked``
    does so, and ranks in float64 without holding the matrix.

    Args:
        k1: neighbours in a k-reciprocal set, the row itself not counted; more than there are means all.
        k2: rows averaged in local query expansion, the row itself counted; 1 for none.
        lambda_: share of the original distance, 0 to 1.

    Raises:
        InputError: parameters out of range; features as in ``evaluate_ranking``.
    """
    settings = Settings(device=device, threads=threads, progress=progress, top=0)
    check_parameters(k1, k2, lambda_)
    query, gallery = to_feature_pair(query_features, gallery_features)
    sides = measure_sides(query, gallery, metric, settings.workers)
    final = np.empty((len(query), len(gallery)), np.float32)
    rows, overlap = _encode(*sides, k1, k2, settings, final)
    source = OverlapSource(rows, overlap, lambda_, final if device == "cpu" else None)
    chunks, _ = lay_out(source.shape, settings)
    run_tasks(lambda chunk: source.write_distances(chunk, final[chunk]), chunks, settings.workers)
    return final


def evaluate_reranked(
    query_features: Any,
    query_ids: Any,
    query_cameras: Any,
    gallery_features: Any,
    gallery_ids: Any,
    gallery_cameras: Any,
    *,
    k1: int = 20,
    k2: int = 6,
    lambda_: float = 0.3,
    metric: Literal["euclidean", "cosine"] = "euclidean",
    ap: Literal["step", "trapezoid"] = "step",
    device: str = "cpu",
    threads: int | None = None,
    progress: Progress | None = None,
    top: int = 10,
) -> RankingResult:
    """``evaluate_ranking`` by re-ranked distances, exact and without a distance matrix.

    Junk is taken out before neighbourhoods are formed. Arguments as of ``evaluate_ranking`` and
    ``k_reciprocal_distances``.
    """
    settings = Settings(ap, top, device, threads, progress)
    check_parameters(k1, k2, lambda_)
    query, gallery = to_feature_pair(query_features, gallery_features)
    labels = to_labels(query_ids, query_cameras, gallery_ids, gallery_cameras, (len(query), len(gallery)))
    mine, theirs = measure_sides(query, gallery, metric, settings.workers)
    shape = len(query), len(labels.kept)
    chunks, spans = lay_out(shape, settings)
    before, after = len(triangle(sum(shape))), len(chunks) * len(spans)
    first = settings
    if progress is not None:
        first = replace(settings, progress=lambda done, _: progress(done, before + after))
        settings = replace(settings, progress=lambda done, _: progress(before + done, before + after))
    keep = device == "cpu" and 4 * shape[0] * shape[1] <= KEPT_BYTES
    products = np.empty(shape, np.float32) if keep else None
    rows, overlap = _encode(mine, theirs[labels.kept], k1, k2, first, products)
    return rank(OverlapSource(rows, overlap, lambda_, products), labels, settings)


def check_parameters(k1: int, k2: int, lambda_: float) -> None:
    """Refuses parameters that mean nothing."""
    for name, value in (("k1", k1), ("k2", k2)):
        if value < 1:
            raise InputError(f"{name}: found {value}; expected at least 1")
    if not 0.0 <= lambda_ <= 1.0:
        raise InputError(f"lambda: found {lambda_}; expected 0 to 1")


def _encode(
    query: Rows, gallery: Rows, k1: int, k2: int, settings: Settings, products: NDArray[np.float32] | None
) -> tuple[Rows, Overlap]:
    """Queries and gallery as one set of rows, and how their k-reciprocal sets overlap."""
    rows = query.followed_by(gallery)
    neighbours = find_neighbours(
        rows,
        max(k1 + 1, k2),
        device=settings.device,
        threads=settings.workers,
        progress=settings.progress,
        products=products,
    )
    return rows, encode_overlap(rows, len(query.values), neighbours, k1, k2, settings.workers)


class OverlapSource(FeatureSource):
    """Re-ranked distances for ``rank``.

    A query's gallery is ordered by ``d^2 + (jaccard - 1) * m (1 - lambda) / lambda``, with m its largest squared
    distance: eq. 12 less a constant, times m / lambda. Where nothing overlaps (jaccard = 1), that is the squared
    distance itself, so the scan ranks it as it ranks plain features; the overlapping pairs are the exceptions.
    At lambda = 0 the squared distance falls out: the order is by jaccard - 1, which is 0 for all the rest.
    """

    def __init__(
        self, rows: Rows, overlap: Overlap, lambda_: float, products: NDArray[np.float32] | None = None
    ) -> None:
        queries = len(overlap.ptr) - 1
        super().__init__(rows[:queries], rows[queries:], np.arange(len(rows.values) - queries))
        self._overlap, self._lambda = overlap, lambda_
        self._products = products if lambda_ > 0.0 else None
        self._row = np.repeat(np.arange(queries), np.diff(overlap.ptr))
        self._keys = self._row * self.shape[1] + overlap.index
        self._farthest_sq = overlap.farthest_sq
        factor = (
            np.ones(len(self._row)) if lambda_ == 0.0 else (1.0 - lambda_) / lambda_ * overlap.farthest_sq[self._row]
        )
        self._offsets = factor * (overlap.jaccard - 1.0)
        if lambda_ == 0.0:  # scores of 0, on any device
            self.query_rows, self.shifts = np.zeros_like(self.query_rows), np.zeros_like(self.shifts)
            self.norms, self.bounds = np.zeros(queries), EXACT

    def fill(self, queries: slice, gallery: slice, block: Floats) -> None:
        """See ``Source``."""
        if self._products is None:
            super().fill(queries, gallery, block)
        else:
            block[...] = self._products[queries, gallery]

    def values(self, queries: Ints, gallery: Ints) -> NDArray[np.float64]:
        """See ``Source``."""
        values = np.zeros(len(queries)) if self._lambda == 0.0 else super().values(queries, gallery)
        if self._keys.size:
            keys = queries * self.shape[1] + gallery
            places = np.minimum(np.searchsorted(self._keys, keys), self._keys.size - 1)
            overlapping = self._keys[places] == keys
            values[overlapping] += self._offsets[places[overlapping]]
        return values

    def exceptions(self, queries: slice, /) -> tuple[Ints, Ints]:
        """See ``Source``: the overlapping pairs."""
        entries = slice(self._overlap.ptr[queries.start], self._overlap.ptr[queries.stop])
        return self._row[entries], self._overlap.index[entries]

    def write_distances(self, queries: slice, final: NDArray[np.float32]) -> None:
        """Writes the rows of eq. 12: float32 products for the bulk, exact distances for the overlapping pairs."""
        farthest = self._farthest_sq[queries]
        weights = np.divide(self._lambda, farthest, out=np.zeros_like(farthest), where=farthest > 0.0)
        norms_sq = self.norms[queries] ** 2
        for first in range(0, self.shape[1], GALLERY_CHUNK):
            span = slice(first, min(first + GALLERY_CHUNK, self.shape[1]))
            block = final[:, span]
            self.fill(queries, span, block)
            block *= -2.0 * self.scales[span]
            block += 2.0 * self.shifts[span]
            block += norms_sq[:, None].astype(np.float32)
            np.maximum(block, 0.0, out=block)
            block *= weights[:, None].astype(np.float32)
            block += np.float32(1.0 - self._lambda)
        row, position = self.exceptions(queries)
        entries = slice(self._overlap.ptr[queries.start], self._overlap.ptr[queries.stop])
        jaccard = (1.0 - self._lambda) * self._overlap.jaccard[entries]
        original = weights[row - queries.start] * FeatureSource.values(self, row, position)
        final[row - queries.start, position] = jaccard + original
