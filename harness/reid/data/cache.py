"""Decoded images, kept on disk: each split is decoded once for each size, and mapped into memory from then on.

An entry is a NumPy file and a small record beside it with the checksums of its blocks. The record is renamed into place
last, so an entry without one is not there; one whose contents do not match its record is reported and rebuilt.
"""

import json
import logging
import os
import shutil
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
from filelock import FileLock

from harness.errors import InputError
from harness.files import regular_file
from harness.reid.data.dataset import Images, Split
from harness.reid.data.decode import DECODE_VERSION, pixels_of
from harness.reid.data.fingerprint import split_fingerprint

Progress = Callable[[int, int], None]

_BLOCK_BYTES = 16 * 1024 * 1024
_BATCH = 256

_log = logging.getLogger(__name__)


def cached_images(
    split: Split,
    root: Path,
    height_px: int,
    width_px: int,
    cache_dir: Path,
    workers: int,
    progress: Progress | None = None,
) -> Images:
    """All images of a split at one size, uint8, shape (N, height_px, width_px, 3), in the split's order.

    Decoded at the first call (in threads, one process at a time; others wait) and memory-mapped from the cache at every
    later one, after a check of its checksums. An array that has the size already is returned as it is.

    Args:
        split: The split.
        root: The data set's folder (``Dataset.root``).
        height_px: Height of the result.
        width_px: Width of the result.
        cache_dir: Where entries are kept, by content, size and way of decoding.
        workers: Threads that decode.
        progress: Called with the number of images decoded, and of all; not called when none is to be decoded.

    Raises:
        InputError: If an image cannot be read (names it), or the disk is full or cannot be written.
    """
    if split.arrays is not None and split.arrays.shape[1:3] == (height_px, width_px):
        return split.arrays
    fingerprint = split_fingerprint(split, root, cache_dir / "index")
    path = cache_dir / f"{fingerprint}-{height_px}x{width_px}-v{DECODE_VERSION}.npy"
    shape = (len(split), height_px, width_px, 3)
    images = _open(path, shape, workers)
    if images is not None:
        return images
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            images = _open(path, shape, workers)  # another process may have built it while this one waited
            if images is None:
                _build(path, split, root, shape, workers, progress)
                images = _open(path, shape, workers)
    except OSError as error:
        raise InputError(
            f"{path}: the cache of decoded images cannot be written ({error.strerror or error}); "
            f"it needs {_megabytes(cache_size_bytes(split, height_px, width_px))}"
        ) from error
    if images is None:
        raise InputError(f"{path}: what was just written reads differently; the disk is faulty")
    return images


def cache_size_bytes(split: Split, height_px: int, width_px: int) -> int:
    """Bytes that ``cached_images`` writes for a new split; 0 for an array that has the size already."""
    if split.arrays is not None and split.arrays.shape[1:3] == (height_px, width_px):
        return 0
    return len(split) * height_px * width_px * 3


def _open(path: Path, shape: tuple[int, ...], workers: int) -> Images | None:
    """The mapped entry, or None if there is none that is whole."""
    record = _record_of(path)
    if not record.is_file():
        return None
    try:
        expected = json.loads(regular_file(record).read_text(encoding="utf-8"))
        if expected["bytes"] != path.stat().st_size:
            raise ValueError(f"it has {path.stat().st_size} bytes instead of {expected['bytes']}")
        if expected["blocks"] != block_checksums(path, workers):
            raise ValueError("its checksums do not match")
        images: Images = np.load(regular_file(path), mmap_mode="r", allow_pickle=False)
        if images.shape != shape or images.dtype != np.uint8:
            raise ValueError(f"it holds {images.dtype} of shape {images.shape}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        warnings.warn(f"{path}: damaged cache of decoded images ({error}); decoding again", stacklevel=3)
        return None
    return images


def _build(
    path: Path, split: Split, root: Path, shape: tuple[int, ...], workers: int, progress: Progress | None
) -> None:
    """Writes an entry aside and renames it into place, its record last. Call with the entry's lock held."""
    size = int(np.prod(shape))
    free = shutil.disk_usage(path.parent).free
    if free < size:
        raise InputError(
            f"{path.parent}: decoded images of {split.name} need {_megabytes(size)}, {_megabytes(free)} are free"
        )
    _log.info("decoding %d images of %s into %s (%s)", shape[0], split.name, path, _megabytes(size))
    record = _record_of(path)
    record.unlink(missing_ok=True)
    aside, record_aside = path.with_suffix(".npy.tmp"), record.with_suffix(".json.tmp")
    try:
        with aside.open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for batch in _decoded(split, root, shape, workers, progress):
                file.write(batch.data)
            _flush(file)
        aside.replace(path)
        with record_aside.open("wb") as file:
            content = {"bytes": path.stat().st_size, "blocks": block_checksums(path, workers)}
            file.write(json.dumps(content).encode())
            _flush(file)
        record_aside.replace(record)
    except BaseException:
        for leftover in (aside, record_aside):
            with suppress(OSError):
                leftover.unlink(missing_ok=True)
        raise


def _decoded(
    split: Split, root: Path, shape: tuple[int, ...], workers: int, progress: Progress | None
) -> Iterator[Images]:
    """The split's images, a batch at a time; Pillow lets threads decode side by side."""
    count, height_px, width_px, _ = shape
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for first in range(0, count, _BATCH):
            indices = range(first, min(first + _BATCH, count))
            yield np.stack(list(pool.map(lambda index: pixels_of(split, index, root, height_px, width_px), indices)))
            if progress is not None:
                progress(indices.stop, count)


def block_checksums(path: Path, workers: int) -> Sequence[int]:
    """CRC-32 of each block of a file, read in threads."""
    with regular_file(path).open("rb") as file:
        starts = range(0, os.fstat(file.fileno()).st_size, _BLOCK_BYTES)

    def checksum(start: int) -> int:
        with regular_file(path).open("rb") as block:
            block.seek(start)
            return zlib.crc32(block.read(_BLOCK_BYTES))

    with ThreadPoolExecutor(max(1, workers)) as pool:
        return list(pool.map(checksum, starts))


def _record_of(path: Path) -> Path:
    return path.with_suffix(".json")


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
