"""The walk of ``blocks`` on a torch device: the same counts, from the device's own products."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from harness.errors import InputError
from harness.reid.evaluate.blocks import Watch
from harness.reid.evaluate.rows import Rows, scaled
from harness.reid.evaluate.scan import score_reach
from harness.reid.evaluate.sources import FeatureSource, Floats, Ints
from harness.reid.evaluate.workers import Counter, Progress, split

DEVICE_ROWS = 1024


@contextmanager
def full_precision() -> Iterator[None]:
    """Float32 products in float32: neither TF32 nor bfloat16 inside, whatever the caller had switched on."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def open_device(name: str) -> torch.device:
    """The torch device ``name``, known to work.

    Raises:
        InputError: no such device here.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f'device "{name}": {str(error).splitlines()[0]}; expected "cpu" or a torch device') from error
    return device


class DeviceBlocks:
    """Counts on a torch device; what it cannot decide goes back to the host, so results equal the CPU's."""

    def __init__(self, source: FeatureSource, watch: Watch, device: str) -> None:
        self._source, self._watch, self._device = source, watch, open_device(device)
        self._queries = self._send(source.query_rows[watch.queries])
        self._row = np.repeat(np.arange(len(watch.hit_ptr) - 1), np.diff(watch.hit_ptr))
        self._column = np.arange(len(watch.low)) - watch.hit_ptr[self._row]
        shape = len(watch.hit_ptr) - 1, int(self._column.max(initial=-1)) + 1
        low, high = np.full(shape, -np.inf, np.float32), np.full(shape, -np.inf, np.float32)
        low[self._row, self._column], high[self._row, self._column] = watch.low, watch.high
        self._low, self._high = self._send(low), self._send(high)
        self._ahead = torch.zeros(shape, dtype=torch.int64, device=self._device)
        self._masked_row = np.repeat(np.arange(len(watch.known_ptr) - 1), np.diff(watch.known_ptr))

    def close_pairs(self, gallery: slice, ceiling: Floats) -> tuple[NDArray[np.int32], Floats]:
        """See ``HostBlocks.close_pairs``."""
        source, watch = self._source, self._watch
        with full_precision():
            products = self._queries @ self._send(source.gallery_rows(gallery)).T
        scores = self._send(source.shifts[gallery]) - self._send(source.scales[gallery]) * products
        inside = (watch.known >= gallery.start) & (watch.known < gallery.stop)
        masked = self._send(self._masked_row[inside]), self._send(watch.known[inside] - gallery.start)
        scores[masked] = torch.inf

        close = scores <= self._limits(scores, ceiling)[:, None]
        for hit in range(self._low.shape[1]):
            surely = scores < self._low[:, hit, None]
            self._ahead[:, hit] += surely.sum(1)
            close |= (scores <= self._high[:, hit, None]) & ~surely
        close &= scores < torch.inf
        pairs = close.nonzero()
        return pairs.T.to("cpu", torch.int32).numpy(), scores[close].cpu().numpy()

    def ahead(self) -> Ints:
        """See ``HostBlocks.ahead``."""
        counts: Ints = self._ahead.cpu().numpy()[self._row, self._column]
        return counts

    def _limits(self, scores: torch.Tensor, ceiling: Floats) -> torch.Tensor:
        """By row, a score that none of the truly nearest exceeds."""
        top = self._watch.top
        if top == 0:
            return torch.full((len(scores),), -torch.inf, device=self._device)
        if scores.shape[1] < top:
            return self._send(ceiling)
        last = scores.topk(top, largest=False).values[:, -1].cpu().numpy().astype(np.float64)
        norms = self._source.norms[self._watch.queries]
        finite = np.where(np.isfinite(last), last, 0.0)
        _, reach = score_reach(2.0 * finite + norms * norms, norms, self._source.bounds)
        return self._send(np.minimum(ceiling, (last + 2.0 * reach)).astype(np.float32))

    def _send(self, values: NDArray[np.generic]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self._device)


def candidates_on_device(rows: Rows, size: int, device: str, progress: Progress | None) -> tuple[NDArray[Any], ...]:
    """The fields of ``neighbours.Candidates``, ``size`` a row, from whole rows of products on a torch device."""
    target = open_device(device)
    total = len(rows.values)
    halves = torch.from_numpy((0.5 * rows.norms**2).astype(np.float32)).to(target)
    left = torch.from_numpy(scaled(rows)).to(target)
    chunks = split(total, DEVICE_ROWS, 1)
    counter, parts = Counter(len(chunks), progress), []
    for chunk in chunks:
        with full_precision():
            scores = halves[chunk, None] + (halves - left[chunk] @ left.T)
        nearest, farthest = scores.topk(size, largest=False), scores.max(1)
        parts.append([part.cpu().numpy() for part in (*nearest, *farthest)])
        counter.tick()
    scores_, index, far_score, far_index = (np.concatenate(part) for part in zip(*parts, strict=True))
    return scores_, index.astype(np.int32), far_score, far_index.astype(np.int32)
