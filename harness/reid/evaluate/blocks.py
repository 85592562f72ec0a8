"""One chunk of queries walking over the gallery on the host: a block of products, counted while it is in the cache."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.reid.evaluate.scan import find_close_pairs, finish_scores
from harness.reid.evaluate.sources import Floats, Ints, Source


@dataclass(frozen=True)
class Watch:
    """The values to count and find in the blocks of a chunk of queries."""

    queries: slice
    known_ptr: Ints
    known: Ints
    """Gallery positions of the pairs that are not to be scored, by query, ascending."""
    hit_ptr: Ints
    low: Floats
    high: Floats
    """Scores around each right match between which only exact values decide."""
    top: int


class HostBlocks:
    """Counts on the CPU."""

    def __init__(self, source: Source, watch: Watch, width: int) -> None:
        self._source, self._watch = source, watch
        rows = watch.queries.stop - watch.queries.start
        self._ahead = np.zeros(len(watch.low), np.int64)
        self._block = np.empty(rows * width, source.dtype)
        self._pairs = np.empty((2, rows * width), np.int32)  # memory is touched only as far as pairs are found

    def close_pairs(self, gallery: slice, ceiling: Floats) -> tuple[NDArray[np.int32], Floats]:
        """Counts a block.

        Returns:
            The pairs (query of the chunk, column of the block) that need exact values, (2, n), and their scores.
        """
        source, watch = self._source, self._watch
        shape = watch.queries.stop - watch.queries.start, gallery.stop - gallery.start
        block = self._block[: shape[0] * shape[1]].reshape(shape)
        source.fill(watch.queries, gallery, block)
        finish_scores(
            block, source.shifts[gallery], source.scales[gallery], gallery.start, watch.known_ptr, watch.known
        )
        found = find_close_pairs(
            block,
            watch.hit_ptr,
            watch.low,
            watch.high,
            self._ahead,
            ceiling,
            watch.top,
            source.norms[watch.queries],
            source.bounds,
            self._pairs,
        )
        pairs = self._pairs[:, :found]
        return pairs, block[pairs[0], pairs[1]]

    def ahead(self) -> Ints:
        """For each right match, how many scores lay surely ahead of it."""
        return self._ahead
