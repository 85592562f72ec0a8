"""Checkpoint files: written whole or not at all, with a checksum; a stage resumes from the newest intact one.

A checkpoint file is a 32-byte BLAKE2b digest followed by the payload, whose format its trainer chooses. A file that
does not match its digest (a torn write, a bad disk) is skipped with a warning.
"""

import hashlib
import warnings
from pathlib import Path

from harness.files import NotRegularFileError, regular_file, replacing

FOLDER = "checkpoints"
"""The folder of checkpoints in a stage's folder; gone once the stage is finished."""

_DIGEST_BYTES = 32
_KEPT = 2


def write_checkpoint(folder: Path, step: int, payload: bytes | memoryview) -> Path:
    """Writes the checkpoint of ``step`` and removes all but the newest two.

    Args:
        folder: Where checkpoints live; created if it does not exist.
        step: Steps done so far in the stage; it names the file, and so orders checkpoints.
        payload: The state.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:09d}.pt"
    with replacing(path) as aside, aside.open("wb") as file:
        file.write(hashlib.blake2b(payload, digest_size=_DIGEST_BYTES).digest())
        file.write(payload)
    for old in sorted(folder.glob("step-*.pt"))[:-_KEPT]:
        old.unlink(missing_ok=True)
    return path


def newest_checkpoint(folder: Path) -> memoryview | None:
    """Returns the payload of the newest intact checkpoint; None if there is none.

    Warns about a damaged checkpoint and tries the next older one.
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
