"""Whole checkpoints: files that are written aside, synced and renamed, with a checksum; the newest whole one counts.

A checkpoint file is a 32-byte BLAKE2b digest of the rest, then the rest, whose format is its trainer's business. A file
that does not match its digest (a torn write, a bad disk) is skipped with a warning.
"""

import hashlib
import os
import warnings
from pathlib import Path

from harness.files import NotRegularFileError, regular_file

FOLDER = "checkpoints"
"""The folder of checkpoints in a stage's folder; gone once the stage is finished."""

_DIGEST_BYTES = 32
_KEPT = 2


def write_checkpoint(folder: Path, step: int, payload: bytes | memoryview) -> Path:
    """Writes the checkpoint of ``step`` and drops all but the newest two.

    Args:
        folder: Where checkpoints live; made if need be.
        step: Steps done so far in the stage; names the file and orders checkpoints.
        payload: The state.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:09d}.pt"
    aside = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        with aside.open("wb") as file:
            file.write(hashlib.blake2b(payload, digest_size=_DIGEST_BYTES).digest())
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    for old in sorted(folder.glob("step-*.pt"))[:-_KEPT]:
        old.unlink(missing_ok=True)
    return path


def newest_checkpoint(folder: Path) -> memoryview | None:
    """Returns the payload of the newest whole checkpoint; None if there is none.

    A damaged checkpoint is named by a warning, and the next older one is tried.
    """
    for path in sorted(folder.glob("step-*.pt"), reverse=True):
        try:
            content = regular_file(path).read_bytes()
        except NotRegularFileError as error:
            warnings.warn(f"{path}: {error.strerror}; it is skipped", stacklevel=2)
            continue
        digest, payload = content[:_DIGEST_BYTES], memoryview(content)[_DIGEST_BYTES:]
        if hashlib.blake2b(payload, digest_size=_DIGEST_BYTES).digest() == digest:
            return payload
        warnings.warn(f"{path}: checkpoint is damaged (checksum differs); it is skipped", stacklevel=2)
    return None
