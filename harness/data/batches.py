"""Brings images to the device, batch by batch: from memory there, from the cache on disk, or from the image files.

Three ways, the same batches to the byte: all images live on the device if they fit; else a thread reads them ahead from
the mapped cache into pinned memory; and where not even the cache fits, a plain ``DataLoader`` decodes the files.
"""

import queue
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from harness.data.dataset import Images, Split
from harness.data.decode import pixels_of
from harness.errors import InputError

Indices: TypeAlias = NDArray[np.int64] | Sequence[NDArray[np.int64]]
Batch: TypeAlias = tuple[Tensor, Tensor]

_AHEAD = 4


class Feeder(Protocol):
    """Whatever brings the images of a split to a device."""

    def batches(self, index_batches: Indices, labels: NDArray[np.int64]) -> Iterator[Batch]:
        """The images (B, H, W, 3) uint8 and labels (B,) int64 of each batch of indices, on the device."""
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
        """The images (B, H, W, 3) uint8 and labels (B,) int64 of each batch of indices, on the device."""
        if self._on_device is not None:
            return _resident_batches(self._on_device, index_batches, labels)
        return _streamed_batches(self._images, index_batches, labels, self._device)


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
        """The images (B, H, W, 3) uint8 and labels (B,) int64 of each batch of indices, on the device."""
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
            yield (
                images.to(self._device, non_blocking=True),
                torch.from_numpy(labels[indices.numpy()]).to(self._device, non_blocking=True),
            )


def _as_it_is(batch: object) -> object:
    return batch


class _DecodedFiles(Dataset[Batch]):
    """A map-style data set that is asked for whole batches: pixels (B, H, W, 3) and indices (B,).

    A worker process hands over what is wrong with a file instead of raising it: torch would bury the sentence in a
    traceback and change its type.
    """

    def __init__(self, split: Split, root: Path, height_px: int, width_px: int) -> None:
        self._split, self._root, self._height_px, self._width_px = split, root, height_px, width_px

    def __len__(self) -> int:
        return len(self._split)

    def __getitems__(self, indices: list[int]) -> Batch | InputError:
        size = self._height_px, self._width_px
        try:
            pixels = np.stack([pixels_of(self._split, index, self._root, *size) for index in indices])
        except InputError as error:
            return InputError(str(error))
        return torch.from_numpy(pixels), torch.tensor(indices)


def _resident_batches(images: Tensor, index_batches: Indices, labels: NDArray[np.int64]) -> Iterator[Batch]:
    """Picks each batch out of the images on their device; the indices of all batches are sent there at once."""
    if not len(index_batches):
        return
    sizes = [len(batch) for batch in index_batches]
    flat = np.concatenate(list(index_batches))
    indices = torch.split(torch.from_numpy(flat).to(images.device), sizes)
    chosen = torch.split(torch.from_numpy(labels[flat]).to(images.device), sizes)
    for index, label in zip(indices, chosen, strict=True):
        yield images.index_select(0, index), label


def _streamed_batches(
    images: Images, index_batches: Indices, labels: NDArray[np.int64], device: torch.device
) -> Iterator[Batch]:
    """Reads batches ahead in a thread, which ends with the iteration however that ends."""
    pinned = device.type == "cuda"
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
                # Pinned blocks are reused by torch once the copies from them are done.
                pixels = torch.empty((len(batch), *images.shape[1:]), dtype=torch.uint8, pin_memory=pinned)
                np.take(images, batch, axis=0, out=pixels.numpy())
                chosen = torch.from_numpy(labels[batch])
                put((pixels, chosen.pin_memory() if pinned else chosen))
            put(None)
        except Exception as error:  # whatever went wrong belongs to whoever waits for the batch
            put(error)

    thread = threading.Thread(target=read_ahead, name="read-ahead", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, Exception):
                raise item
            pixels, chosen = item
            yield pixels.to(device, non_blocking=True), chosen.to(device, non_blocking=True)
    finally:
        stopped.set()
        thread.join()
