"""From the ranks of right matches to average precision, INP and CMC: by query, and over the valid queries."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import InputError
from harness.reid.evaluate.inputs import Labels
from harness.reid.evaluate.sources import Ints
from harness.reid.metrics import RANKS

CMC_RANKS = 50


@dataclass(frozen=True)
class RankingResult:
    """How well queries find their matches; fractions, means over the valid queries."""

    mAP: float  # noqa: N815 (the field's own name, like the next)
    mINP: float  # noqa: N815
    """Mean of (number of matches / rank of the last match), Ye et al. 2021."""
    cmc: NDArray[np.float64]
    """``cmc[k - 1]``: share of valid queries whose first match is at rank k or better, k up to 50."""
    queries: int
    valid_queries: int
    """Queries with at least one right match; the others are left out of every mean."""
    ap: str
    """The formula of average precision, ``step`` or ``trapezoid``."""
    average_precision: NDArray[np.float64]
    """By query; NaN for one without a valid match, like ``inp``."""
    first_hit_rank: Ints
    """By query, from 1; 0 for one without a valid match."""
    inp: NDArray[np.float64]
    top_indices: Ints
    """(Q, top): the nearest gallery items, as indices of the caller's gallery, without junk and the query's own
    identity in its own camera; -1 where the gallery has no more."""

    @property
    def rank1(self) -> float:
        """Share of valid queries with a match at rank 1."""
        return float(self.cmc[0])

    def metrics(self) -> dict[str, float]:
        """The figures by the names that tables, trackers and the command line use."""
        ranks = {f"rank{rank}": float(self.cmc[rank - 1]) for rank in RANKS}
        return {"mAP": self.mAP, **ranks, "mINP": self.mINP, "valid_queries": self.valid_queries}


def score_queries(ranks: Ints, row: Ints, ptr: Ints, ap: str) -> dict[str, NDArray[Any]]:
    """Average precision, first rank and INP of each query from the ranks of its matches, ascending by query."""
    queries, counts = len(ptr) - 1, np.diff(ptr)
    hit = np.arange(len(ranks)) - ptr[row] + 1  # 1 for a query's first match
    precision = hit / ranks
    if ap == "trapezoid":
        before = np.divide(hit - 1, ranks - 1, out=np.ones(len(ranks)), where=ranks > 1)
        precision = (before + precision) / 2.0
    valid = counts > 0
    average_precision, inp = np.full(queries, np.nan), np.full(queries, np.nan)
    average_precision[valid] = np.bincount(row, precision, queries)[valid] / counts[valid]
    first = np.zeros(queries, np.int64)
    first[valid] = ranks[ptr[:-1][valid]]
    inp[valid] = counts[valid] / ranks[ptr[1:][valid] - 1]
    return {"average_precision": average_precision, "first_hit_rank": first, "inp": inp}


def summarise(figures: Mapping[str, NDArray[Any]], labels: Labels, ap: str) -> RankingResult:
    """The means over valid queries of figures by query.

    Raises:
        InputError: No query has a valid match.
    """
    first = figures["first_hit_rank"]
    valid = first > 0
    if not valid.any():
        found = np.isin(labels.query_ids, labels.gallery_ids).sum()
        query, gallery = (_some(side, labels.camera_names) for side in (labels.query_cameras, labels.gallery_cameras))
        cameras = f"query cameras {query}, gallery cameras {gallery}"
        raise InputError(
            f"no query has a valid match: {found} of {len(valid)} query identities appear in the gallery, none of them "
            f"in another camera ({cameras}); "
            "expected at least one item of a query's identity from another camera"
        )
    histogram = np.bincount(np.minimum(first[valid], CMC_RANKS + 1), minlength=CMC_RANKS + 2)
    return RankingResult(
        mAP=float(figures["average_precision"][valid].mean()),
        mINP=float(figures["inp"][valid].mean()),
        cmc=np.cumsum(histogram[1 : CMC_RANKS + 1]) / valid.sum(),
        queries=len(valid),
        valid_queries=int(valid.sum()),
        ap=ap,
        average_precision=figures["average_precision"],
        first_hit_rank=first,
        inp=figures["inp"],
        top_indices=figures["top_indices"],
    )


def _some(values: Ints, names: tuple[str, ...]) -> str:
    unique = np.unique(values)
    return ", ".join(names[value] if names else str(value) for value in unique[:6]) + (
        ", ..." if len(unique) > 6 else ""
    )
