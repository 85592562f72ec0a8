"""Brings images to the device, batch by batch: from memory there, from the cache on disk, or from the image files.

Three ways, the same batches to the byte: all images live on the device if they fit; else a thread reads them ahead from
the mapped cache, for a GPU into pinned memory; and where not even the cache fits, a plain ``DataLoader`` decodes the
files.
"""

import queue
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from harness.errors import InputError
from harness.reid.data.dataset import Images, Split
from harness.reid.data.decode import pixels_of

Indices: TypeAlias = NDArray[np.int64] | Sequence[NDArray[np.int64]]
_Decoded: TypeAlias = tuple[Tensor, Tensor]

_AHEAD = 4
_PAGE_BYTES = 4096


@dataclass(frozen=True)
class Batch:
    """Images and labels on a device; the images are not to be written to."""

    images: Tensor
    """uint8, shape (N, H, W, 3): those of the batch, or all there are."""
    rows: Tensor | None
    """Which of ``images`` make the batch, int64 (B,); None: all, in their order."""
    labels: Tensor
    """int64, (B,)."""

    def pixels(self) -> Tensor:
        """The batch's images alone, uint8 (B, H, W, 3)."""
        return self.images if self.rows is None else self.images.index_select(0, self.rows)


_Prepare: TypeAlias = Callable[[NDArray[np.int64], NDArray[np.int64]], Batch]
"""From a batch's indices and labels to the batch, in memory from which it can be used or sent."""


class Feeder(Protocol):
    """Whatever brings the images of a split to a device."""

    def batches(self, index_batches: Indices, labels: NDArray[np.int64]) -> Iterator[Batch]:
        """The images and labels of each batch of indices, on the device."""
        ...


class ImageFeeder:
    """Batches of decoded images on a device.

    Args:
        images: uint8, shape (N, H, W, 3); may be memory-mapped.
        device: Where the batches are wanted.
        memory_limit_bytes: The images live on the device as a whole if they take no more than this; otherwise a
            thread reads some batches ahead.
    """

    def __init__(self, images: Images, device: torch.device, memory_limit_bytes: int) -> None:
        self._images = images
        self._device = device
        self.resident = images.nbytes <= memory_limit_bytes
        """Whether the images live on the device."""
        self._on_device = torch.from_numpy(np.array(images)).to(device) if self.resident else None

    def batches(self, index_batches: Indices, labels: NDArray[np.int64]) -> Iterator[Batch]:
        """The images and labels of each batch of indices, on the device."""
        if self._on_device is not None:
            return _resident_batches(self._on_device, index_batches, labels)
        prepare = _prepare_mapped if self._device.type == "cpu" else _prepare_copies
        return _streamed_batches(prepare(self._images), index_batches, labels, self._device)


class DecodingFeeder:
    """The same batches, decoded from the files each time, by worker processes: for data that fits nowhere.

    Args:
        split: The images.
        root: The data set's folder.
        height_px: Height of the batches' images.
        width_px: Width of the batches' images.
        device: Where the batches are wanted.
        workers: Processes that decode; 0 to decode in this one.
    """

    def __init__(
        self, split: Split, root: Path, height_px: int, width_px: int, device: torch.device, workers: int
    ) -> None:
        self._files = _DecodedFiles(split, root, height_px, width_px)
        self._device = device
        self._workers = workers

    def batches(self, index_batches: Indices, labels: NDArray[np.int64]) -> Iterator[Batch]:
        """The images and labels of each batch of indices, on the device."""
        loader = DataLoader(
            self._files,
            batch_sampler=[batch.tolist() for batch in index_batches],
            num_workers=self._workers,
            pin_memory=self._device.type == "cuda",
            collate_fn=_as_it_is,
        )
        for batch in loader:
            if isinstance(batch, InputError):
                raise batch
            images, indices = batch
            yield _sent(Batch(images, None, torch.from_numpy(labels[indices.numpy()])), self._device)


def _as_it_is(batch: object) -> object:
    return batch


class _DecodedFiles(Dataset[_Decoded]):
    """A map-style data set that is asked for whole batches: pixels (B, H, W, 3) and indices (B,).

    A worker process returns what is wrong with a file instead of raising it: torch would bury the sentence in a
    traceback and change its type.
    """

    def __init__(self, split: Split, root: Path, height_px: int, width_px: int) -> None:
        self._split, self._root, self._height_px, self._width_px = split, root, height_px, width_px

    def __len__(self) -> int:
        return len(self._split)

    def __getitems__(self, indices: list[int]) -> _Decoded | InputError:
        size = self._height_px, self._width_px
        try:
            pixels = np.stack([pixels_of(self._split, index, self._root, *size) for index in indices])
        except InputError as error:
            return InputError(str(error))
        return torch.from_numpy(pixels), torch.tensor(indices)


def _resident_batches(images: Tensor, index_batches: Indices, labels: NDArray[np.int64]) -> Iterator[Batch]:
    """Selects the images of each batch on their device; the indices of all batches are sent there at once."""
    if not len(index_batches):
        return
    sizes = [len(batch) for batch in index_batches]
    flat = np.concatenate(list(index_batches))
    indices = torch.split(torch.from_numpy(flat).to(images.device), sizes)
    chosen = torch.split(torch.from_numpy(labels[flat]).to(images.device), sizes)
    for index, label in zip(indices, chosen, strict=True):
        yield Batch(images, index, label)


def _streamed_batches(
    prepare: _Prepare, index_batches: Indices, labels: NDArray[np.int64], device: torch.device
) -> Iterator[Batch]:
    """Reads batches ahead in a thread, which ends with the iteration however that ends."""
    ready: queue.Queue[Batch | Exception | None] = queue.Queue(maxsize=_AHEAD)
    stopped = threading.Event()

    def put(item: Batch | Exception | None) -> None:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    def read_ahead() -> None:
        try:
            for batch in index_batches:
                if stopped.is_set():
                    return
                put(prepare(batch, labels[batch]))
            put(None)
        except Exception as error:  # whatever went wrong belongs to whoever waits for the batch
            put(error)

    thread = threading.Thread(target=read_ahead, name="read-ahead", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item if device.type == "cpu" else _sent(item, device)
    finally:
        stopped.set()
        thread.join()


def _prepare_mapped(images: Images) -> _Prepare:
    """For a CPU, to which the mapped cache is as good as memory once its pages are there: nothing is copied."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")  # nor does anybody write
        mapped = torch.from_numpy(images)

    def prepare(batch: NDArray[np.int64], labels: NDArray[np.int64]) -> Batch:
        _read_in(images, batch)
        return Batch(mapped, torch.from_numpy(batch), torch.from_numpy(labels))

    return prepare


def _prepare_copies(images: Images) -> _Prepare:
    """For a GPU: into pinned memory, whose blocks torch uses again once the copies from them are done."""

    def prepare(batch: NDArray[np.int64], labels: NDArray[np.int64]) -> Batch:
        _read_in(images, batch)
        pixels = torch.empty((len(batch), *images.shape[1:]), dtype=torch.uint8, pin_memory=True)
        np.take(images, batch, axis=0, out=pixels.numpy(), mode="clip")  # unlike "raise" straight into ``out``
        return Batch(pixels, None, torch.from_numpy(labels).pin_memory())

    return prepare


def _read_in(images: Images, batch: NDArray[np.int64]) -> None:
    """Touches every page of a batch's images, so that the disk is waited for here and without the interpreter's lock.

    Raises:
        IndexError: An index that ``images`` does not have.
    """
    size = int(np.prod(images.shape[1:]))
    within = np.append(np.arange(0, size, _PAGE_BYTES), size - 1)
    np.take(images.reshape(-1), batch[:, None] * size + within)


def _sent(batch: Batch, device: torch.device) -> Batch:
    return Batch(batch.images.to(device, non_blocking=True), None, batch.labels.to(device, non_blocking=True))
