"""The inner loops of ranking: counting what lies ahead of each right match, block by block, without sorting a row.

A block holds the scores of some queries against some gallery items. Pairs that the caller knows already are masked
with infinity; all others are counted against the thresholds of their query's right matches. What float32 cannot
decide is listed (``find_close_pairs``), computed exactly by the caller and settled by ``settle_pairs``.
"""

import numpy as np
from numpy.typing import NDArray

from harness.reid.compiled import compiled
from harness.reid.evaluate.bounds import Bounds

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]

MANY_HITS = 160
"""From so many right matches on, looking each score up among their thresholds is faster than a pass for each match."""
_BUCKETS = 512


@compiled
def slack(value: float, norm: float, bounds: Bounds) -> float:
    """How far the float32 score of a pair may be off, if its squared distance is near ``value`` or below.

    A gallery row within distance ``sqrt(value)`` of the query has a norm of at most ``norm + sqrt(value)`` (triangle
    inequality), so one far row of huge norm does not spoil the bound for the others: its error grows linearly with
    its norm, its distance from the threshold quadratically. The factor ``1 + 2 sqrt(gamma)`` makes that exact. And no
    row is longer than the gallery's longest, which is the nearer bound where norms differ little.
    """
    radius: float = (1.0 + 2.0 * np.sqrt(bounds.product)) * (norm + np.sqrt(max(value, 0.0)))
    return (
        bounds.product * norm * min(radius, bounds.largest_norm) + bounds.rounding * radius * radius + bounds.underflow
    )


@compiled
def finish_scores(block: Floats, shifts: Floats, scales: Floats, start: int, known_ptr: Ints, known: Ints) -> None:
    """Turns products (m, n) into scores ``shifts - scales * product``, in place, and masks known pairs with infinity.

    ``known[known_ptr[r] : known_ptr[r + 1]]`` are gallery positions, ascending; the block begins at ``start``.
    """
    stop = start + block.shape[1]
    for row in range(block.shape[0]):
        scores = block[row]
        for column in range(scores.size):
            scores[column] = shifts[column] - scales[column] * scores[column]
        for pair in range(known_ptr[row], known_ptr[row + 1]):
            if start <= known[pair] < stop:
                scores[known[pair] - start] = np.inf


@compiled
def find_close_pairs(
    block: Floats,
    hit_ptr: Ints,
    low: Floats,
    high: Floats,
    ahead: Ints,
    ceiling: Floats,
    top: int,
    norms: NDArray[np.float64],
    bounds: Bounds,
    pairs: NDArray[np.int32],
) -> int:
    """Counts scores surely ahead of each match; lists the pairs that need an exact distance.

    Match h of row r (``hit_ptr[r] <= h < hit_ptr[r + 1]``) gains in ``ahead[h]`` every score below ``low[h]``;
    scores up to ``high[h]`` are listed, and so are scores up to ``ceiling[r]``, which may be among the row's ``top``
    nearest. Within a row ``low`` and ``high`` ascend (``bracket``).

    Returns:
        The number of listed pairs; ``pairs[:, :that]`` holds their rows and columns, in order.
    """
    width = block.shape[1]
    close = np.zeros(width, np.uint8)
    found = 0
    for row in range(block.shape[0]):
        scores = block[row]
        hits = slice(hit_ptr[row], hit_ptr[row + 1])
        if hit_ptr[row + 1] - hit_ptr[row] < MANY_HITS:
            any_close = _count_by_passes(scores, low[hits], high[hits], ahead[hits], close)
        else:
            any_close = _count_by_lookup(scores, low[hits], high[hits], ahead[hits], close)
        if top:
            _, nearest = _count_two(scores, ceiling[row], ceiling[row])
            if nearest:
                any_close = True
                limit: float = np.float64(ceiling[row])
                if nearest > 2 * top:
                    limit = min(limit, _reach_of_nearest(scores, top, norms[row], bounds))
                for column in range(width):
                    close[column] |= (scores[column] <= limit) & (scores[column] < np.inf)
        if any_close:
            for column in range(width):
                if close[column]:
                    pairs[0, found] = row
                    pairs[1, found] = column
                    found += 1
                    close[column] = 0
    return found


@compiled
def _count_by_passes(scores: Floats, low: Floats, high: Floats, ahead: Ints, close: NDArray[np.uint8]) -> bool:
    """Adds to ``ahead`` how many scores lie below each of ``low``; marks those in an interval; whether there are any.

    One pass over the scores for each match, sixteen scores at a time.
    """
    any_close = False
    for hit in range(low.size):
        below, within = _count_two(scores, low[hit], high[hit])
        ahead[hit] += below
        if within > below:
            any_close = True
            for column in range(scores.size):
                close[column] |= (scores[column] >= low[hit]) & (scores[column] <= high[hit])
    return any_close


@compiled
def _count_by_lookup(scores: Floats, low: Floats, high: Floats, ahead: Ints, close: NDArray[np.uint8]) -> bool:
    """The same in one pass, so that a gallery with many matches for each query costs no more for each of its items.

    A score's place among the ascending ``low`` is looked up by its bucket, one of ``_BUCKETS`` equal parts of the
    range. Rounding keeps the order, so that thresholds in earlier buckets are surely no greater than the score.
    """
    hits = low.size
    first, last = low[0], high[hits - 1]
    scale = _BUCKETS / (last - first) if last > first else last - last
    begin = np.zeros(_BUCKETS + 2, np.int64)  # by bucket: how many thresholds lie in earlier ones
    for hit in range(hits):
        begin[1 + _bucket(low[hit], first, scale)] += 1
    begin = np.cumsum(begin)
    places = np.zeros(hits + 1, np.int64)
    any_close = False
    for column in range(scores.size):
        score = scores[column]
        if score > last:
            continue
        place = np.int64(0)
        if score >= first:
            place = begin[_bucket(score, first, scale)]
            while place < hits and low[place] <= score:
                place += 1
            if score <= high[place - 1]:
                close[column] = 1
                any_close = True
        places[place] += 1
    below = np.int64(0)
    for hit in range(hits):
        below += places[hit]
        ahead[hit] += below
    return any_close


@compiled
def _bucket(score: float, first: float, scale: float) -> int:
    """Which part of the range that begins at ``first`` a score lies in; the last one is the range's very end."""
    return min(int((score - first) * scale), _BUCKETS)


@compiled
def _count_two(scores: Floats, low: float, high: float) -> tuple[np.int32, np.int32]:
    """Scores below ``low`` and up to ``high``; 32-bit counters, so that a vector holds as many of them as of scores."""
    below, within = np.int32(0), np.int32(0)
    for column in range(scores.size):
        below = np.int32(below + (scores[column] < low))
        within = np.int32(within + (scores[column] <= high))
    return below, within


@compiled
def _reach_of_nearest(scores: Floats, top: int, norm: float, bounds: Bounds) -> float:
    """A score that none of the ``top`` truly nearest of ``scores`` exceeds; infinity if there are fewer."""
    nearest = np.full(top, np.inf)
    for column in range(scores.size):
        score = np.float64(scores[column])
        if score < nearest[top - 1]:
            place = top - 1
            while place > 0 and nearest[place - 1] > score:
                nearest[place] = nearest[place - 1]
                place -= 1
            nearest[place] = score
    last: float = nearest[top - 1]
    if not np.isfinite(last):
        return np.inf
    return last + 2.0 * slack(2.0 * last + norm * norm, norm, bounds)


@compiled
def settle_pairs(
    pairs: NDArray[np.int32],
    scores: Floats,
    values: NDArray[np.float64],
    start: int,
    hit_ptr: Ints,
    low: Floats,
    high: Floats,
    hit_values: NDArray[np.float64],
    hit_columns: Ints,
    ahead: Ints,
    top_values: NDArray[np.float64],
    top_columns: Ints,
) -> None:
    """Settles the listed pairs by their exact ``values``: ties go by gallery position.

    Counts those ahead of a match that its thresholds left open, and keeps each row's nearest in ``top_values`` and
    ``top_columns`` (m, top), ascending.
    """
    top = top_values.shape[1]
    for pair in range(values.size):
        row, column = pairs[0, pair], start + pairs[1, pair]
        value, score = values[pair], scores[pair]
        hit = hit_ptr[row] + np.searchsorted(high[hit_ptr[row] : hit_ptr[row + 1]], score)
        while hit < hit_ptr[row + 1] and low[hit] <= score:
            if value < hit_values[hit] or (value == hit_values[hit] and column < hit_columns[hit]):
                ahead[hit] += 1
            hit += 1
        place = top
        while place > 0 and (
            value < top_values[row, place - 1]
            or (value == top_values[row, place - 1] and column < top_columns[row, place - 1])
        ):
            if place < top:
                top_values[row, place] = top_values[row, place - 1]
                top_columns[row, place] = top_columns[row, place - 1]
            place -= 1
        if place < top:
            top_values[row, place] = value
            top_columns[row, place] = column


@compiled
def bracket(score: Floats, reach: Floats, hit_ptr: Ints) -> NDArray[np.float64]:
    """Below and above each match's score, where only exact values decide: (2, n), both ascending within a row.

    Scores ascend within a row. Their reach need not do so in step (near distance zero it falls faster than they do),
    so an interval that would begin after a later one, or end before an earlier one, is widened; that is always safe.
    """
    bounds = np.empty((2, score.size))
    for row in range(hit_ptr.size - 1):
        highest, lowest = -np.inf, np.inf
        for hit in range(hit_ptr[row], hit_ptr[row + 1]):
            highest = max(highest, score[hit] + reach[hit])
            bounds[1, hit] = highest
        for hit in range(hit_ptr[row + 1] - 1, hit_ptr[row] - 1, -1):
            lowest = min(lowest, score[hit] - reach[hit])
            bounds[0, hit] = lowest
    return bounds


@compiled
def score_reach(values: NDArray[np.float64], norms: NDArray[np.float64], bounds: Bounds) -> NDArray[np.float64]:
    """The score of each squared distance from a query of the given norm, and how far float32 may be off: (2, n)."""
    reach = np.empty((2, values.size))
    for place in range(values.size):
        reach[0, place] = 0.5 * (values[place] - norms[place] * norms[place])
        reach[1, place] = slack(values[place], norms[place], bounds) if np.isfinite(values[place]) else 0.0
    return reach
