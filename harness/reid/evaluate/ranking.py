"""CMC, mAP and mINP under the Market-1501 protocol, exact, in one pass over blocks of distances.

The rank of a right match is a count of what lies ahead of it, so no row is sorted and no distance matrix is kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.errors import InputError, did_you_mean
from harness.reid.evaluate.blocks import HostBlocks, Watch
from harness.reid.evaluate.inputs import Labels, to_array, to_feature_pair, to_labels
from harness.reid.evaluate.result import RankingResult, score_queries, summarise
from harness.reid.evaluate.rows import measure_sides
from harness.reid.evaluate.scan import bracket, score_reach, settle_pairs
from harness.reid.evaluate.sources import FeatureSource, Floats, Ints, MatrixSource, Source
from harness.reid.evaluate.workers import Counter, Progress, default_threads, run_tasks, split

QUERY_CHUNK = 2048
GALLERY_CHUNK = 1024
AP_FORMULAS = ("step", "trapezoid")


@dataclass(frozen=True)
class Settings:
    """How a ranking is computed; nothing here but ``ap`` and ``top`` changes the result."""

    ap: str = "step"
    top: int = 10
    device: str = "cpu"
    threads: int | None = None
    progress: Progress | None = None
    query_chunk: int = QUERY_CHUNK
    gallery_chunk: int = GALLERY_CHUNK

    def __post_init__(self) -> None:
        if self.ap not in AP_FORMULAS:
            raise InputError(f'ap "{self.ap}": {did_you_mean(self.ap, AP_FORMULAS)}')
        for name, smallest in (("top", 0), ("threads", 1), ("query_chunk", 1), ("gallery_chunk", 1)):
            value = getattr(self, name)
            if value is not None and value < smallest:
                raise InputError(f"{name}: found {value}; expected at least {smallest}")

    @property
    def workers(self) -> int:
        """Threads that walk over blocks; a device is fed by one."""
        return (self.threads or default_threads()) if self.device == "cpu" else 1


def evaluate_ranking(
    query_features: Any,
    query_ids: Any,
    query_cameras: Any,
    gallery_features: Any,
    gallery_ids: Any,
    gallery_cameras: Any,
    *,
    metric: Literal["euclidean", "cosine"] = "euclidean",
    ap: Literal["step", "trapezoid"] = "step",
    device: str = "cpu",
    threads: int | None = None,
    progress: Progress | None = None,
    top: int = 10,
    query_chunk: int = QUERY_CHUNK,
    gallery_chunk: int = GALLERY_CHUNK,
) -> RankingResult:
    """CMC, mAP and mINP of features (Q, D) against (G, D), single query, Market-1501 protocol.

    For each query the gallery is ranked by distance. Left out: junk (identity -1), and items of the query's identity
    in the query's camera. Every other item counts, distractors (identity 0) too, as right if the identities are equal.
    Ties go by gallery order. A query without a right match is counted and left out of the means.

    The ranking is that of float64 distances between the (float32) features, whatever the chunks, threads or device:
    float32 products decide what their error bound proves, the rest is computed again (see ``bounds``).
    Equal rows tie, and under the cosine metric rows that are exact multiples of each other, and all rows of zeros, do.
    Different rows that only real numbers put equally far away may differ in the last bit of float64, which then ranks
    them.

    Args:
        query_features: arrays or tensors; float16, bfloat16 and float64 become float32.
        query_ids: integers of up to 64 bits or text, (Q,), (Q, 1) or (1, Q); so are the cameras and the gallery's. Text
            that spells whole numbers is those numbers: "0001" is 1, "-1" is junk.
        metric: ``cosine`` is the Euclidean distance of rows scaled to length 1, which ranks as the cosine does.
        ap: ``step``: mean of the precision at each match. ``trapezoid``: of the original Matlab code of Market-1501
            and Oxford5k, the mean of (precision just before a match + precision at it) / 2.
        device: where products are computed: ``cpu``, or a torch device such as ``cuda:0``.
        threads: worker threads on the CPU; default: ``OMP_NUM_THREADS``, else all cores of the process.
        top: how many nearest gallery items to keep for rank lists; 0 for none.
        query_chunk: rows of a block; with ``gallery_chunk``, the memory used beyond the features.

    Raises:
        InputError: shapes, types or names that do not fit, features that are not finite, no valid query at all.

    Two queries; the first finds its match (index 0) at rank 1, the second at rank 2 behind a distractor: AP 1 and 1/2.

    >>> result = evaluate_ranking([[0.0], [5.0]], [1, 2], [0, 0], [[1.0], [5.5], [6.0]], [1, 0, 2], [1, 1, 1])
    >>> result.mAP, result.cmc[:2].tolist()
    (0.75, [0.5, 1.0])
    """
    settings = Settings(ap, top, device, threads, progress, query_chunk, gallery_chunk)
    query, gallery = to_feature_pair(query_features, gallery_features)
    labels = to_labels(query_ids, query_cameras, gallery_ids, gallery_cameras, (len(query), len(gallery)))
    source = FeatureSource(*measure_sides(query, gallery, metric, settings.workers), labels.kept)
    return rank(source, labels, settings)


def evaluate_distances(
    distances: Any,
    query_ids: Any,
    query_cameras: Any,
    gallery_ids: Any,
    gallery_cameras: Any,
    *,
    ap: Literal["step", "trapezoid"] = "step",
    threads: int | None = None,
    progress: Progress | None = None,
    top: int = 10,
    query_chunk: int = QUERY_CHUNK,
    gallery_chunk: int = GALLERY_CHUNK,
) -> RankingResult:
    """Like ``evaluate_ranking``, from a finished distance matrix (Q, G), small is near.

    The matrix is read in chunks and may be memory-mapped; it is taken as it is, float32 or float64.

    >>> evaluate_distances([[0.3, 0.1, 0.2]], [7], [0], [7, 8, 7], [1, 1, 1]).mAP  # ranks 2 and 3: (1/2 + 2/3) / 2
    0.5833333333333333
    """
    settings = Settings(ap, top, "cpu", threads, progress, query_chunk, gallery_chunk)
    matrix = to_array(distances)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise InputError(f"distances: found shape {matrix.shape}; expected (queries, gallery), neither empty")
    labels = to_labels(query_ids, query_cameras, gallery_ids, gallery_cameras, matrix.shape)
    return rank(MatrixSource(matrix, labels.kept), labels, settings)


class Blocks(Protocol):
    """A chunk of queries walking over the gallery, on some device."""

    def close_pairs(self, gallery: slice, ceiling: Floats) -> tuple[NDArray[np.int32], Floats]:
        """Counts a block; the pairs that need exact values, (2, n), and their scores."""
        ...

    def ahead(self) -> Ints:
        """For each right match, how many scores lay surely ahead of it."""
        ...


def rank(source: Source, labels: Labels, settings: Settings) -> RankingResult:
    """Ranks every query of ``source``; see ``evaluate_ranking``."""
    chunks, spans = lay_out(source.shape, settings)
    counter = Counter(len(chunks) * len(spans), settings.progress)
    pairing = Pairing(labels)
    parts = run_tasks(
        lambda chunk: _rank_chunk(source, pairing, chunk, spans, settings, counter), chunks, settings.workers
    )
    merged = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return summarise(merged, labels, settings.ap)


def lay_out(shape: tuple[int, int], settings: Settings) -> tuple[list[slice], list[slice]]:
    """The chunks of queries and the spans of gallery positions whose blocks make up a ranking."""
    queries, gallery = shape
    width = settings.gallery_chunk
    spans = [slice(first, min(first + width, gallery)) for first in range(0, gallery, width)]
    return split(queries, settings.query_chunk, settings.workers), spans


class Pairing:
    """Which gallery items share a query's identity."""

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self._order = np.argsort(labels.gallery_ids, kind="stable")
        self._sorted = labels.gallery_ids[self._order]

    def same_identity(self, queries: slice) -> tuple[Ints, Ints]:
        """Pairs (query, gallery position) of one identity, by query, then by position."""
        ids = self.labels.query_ids[queries]
        first = np.searchsorted(self._sorted, ids, "left")
        counts = np.searchsorted(self._sorted, ids, "right") - first
        begins = np.cumsum(counts) - counts
        places = np.arange(counts.sum()) + np.repeat(first - begins, counts)
        return np.repeat(np.arange(queries.start, queries.stop), counts), self._order[places]

    def same_camera(self, query: Ints, position: Ints) -> NDArray[np.bool_]:
        """Whether a pair was taken by one camera."""
        same: NDArray[np.bool_] = self.labels.query_cameras[query] == self.labels.gallery_cameras[position]
        return same

    def right(self, query: Ints, position: Ints) -> NDArray[np.bool_]:
        """Whether a pair shows one identity."""
        right: NDArray[np.bool_] = self.labels.query_ids[query] == self.labels.gallery_ids[position]
        return right


@dataclass(frozen=True)
class Known:
    """The pairs of a chunk that are not left to the scan: those of one identity, and the source's exceptions."""

    masked_ptr: Ints
    masked: Ints
    row: Ints
    """Of the ranked ones, by row, value and position, like the rest."""
    position: Ints
    value: NDArray[np.float64]
    right: NDArray[np.bool_]
    place: Ints
    """Among the row's ranked known pairs, from 0."""


def _know(source: Source, pairing: Pairing, chunk: slice) -> Known:
    rows = chunk.stop - chunk.start
    width = source.shape[1]
    keys, exceptions = (
        (query - chunk.start) * width + position
        for query, position in (pairing.same_identity(chunk), source.exceptions(chunk))
    )
    row, masked = np.divmod(np.union1d(keys, exceptions) if exceptions.size else keys, width)
    masked_ptr = np.searchsorted(row, np.arange(rows + 1))
    right = pairing.right(row + chunk.start, masked)
    ranked = ~(right & pairing.same_camera(row + chunk.start, masked))
    row, position, right = row[ranked], masked[ranked], right[ranked]
    value = source.values(row + chunk.start, position)
    order = np.lexsort((value, row))  # stable: of equal values, the earlier position first
    place = np.arange(len(row)) - np.searchsorted(row, row)
    return Known(masked_ptr, masked, row[order], position[order], value[order], right[order], place)


def _rank_chunk(
    source: Source, pairing: Pairing, chunk: slice, spans: list[slice], settings: Settings, counter: Counter
) -> Mapping[str, NDArray[Any]]:
    """Figures by query, and ``top`` gallery positions, of one chunk of queries."""
    rows, top, norms = chunk.stop - chunk.start, settings.top, source.norms[chunk]
    known = _know(source, pairing, chunk)
    hits = known.right
    hit_row, hit_value, hit_position = known.row[hits], known.value[hits], known.position[hits]
    hit_ptr = np.searchsorted(hit_row, np.arange(rows + 1))
    score, reach = score_reach(hit_value, norms[hit_row], source.bounds)
    low, high = bracket(score, reach, hit_ptr).astype(source.dtype)
    watch = Watch(chunk, known.masked_ptr, known.masked, hit_ptr, low, high, top)
    blocks = _open_blocks(source, watch, settings)

    top_value, top_position = np.full((rows, top), np.inf), np.full((rows, top), -1)
    near = known.place < top
    top_value[known.row[near], known.place[near]] = known.value[near]
    top_position[known.row[near], known.place[near]] = known.position[near]
    settled = np.zeros(len(hit_row), np.int64)
    for span in spans:
        ceiling = np.zeros(rows, source.dtype)
        if top:
            score, reach = score_reach(top_value[:, -1], norms, source.bounds)
            ceiling = (score + reach).astype(source.dtype)
        pairs, scores = blocks.close_pairs(span, ceiling)
        values = source.values(pairs[0].astype(np.int64) + chunk.start, pairs[1].astype(np.int64) + span.start)
        settle_pairs(
            pairs,
            scores,
            values,
            span.start,
            hit_ptr,
            low,
            high,
            hit_value,
            hit_position,
            settled,
            top_value,
            top_position,
        )
        counter.tick()
    ranks = known.place[hits] + blocks.ahead() + settled + 1
    top_index = np.where(top_position >= 0, pairing.labels.kept[top_position], -1)
    return {**score_queries(ranks, hit_row, hit_ptr, settings.ap), "top_indices": top_index}


def _open_blocks(source: Source, watch: Watch, settings: Settings) -> Blocks:
    if settings.device == "cpu" or not isinstance(source, FeatureSource):
        return HostBlocks(source, watch, min(settings.gallery_chunk, source.shape[1]))
    from harness.reid.evaluate.device import DeviceBlocks  # torch is needed for a device alone

    return DeviceBlocks(source, watch, settings.device)
