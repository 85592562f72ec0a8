"""The address of a store: a folder, or anything that fsspec reads."""

import os
import re
from pathlib import Path

from harness.errors import InputError
from harness.execute.shared import open_shared
from harness.execute.store import Store

SCRATCH_VARIABLE = "HARNESS_SCRATCH"
DEFAULT_ROOT = Path(".harness")

_LOCAL = re.compile(r"^(?:file|local)://")
_ONE_SLASH = re.compile(r"^[a-z][a-z0-9+]+:/(?!/)")


def open_store(address: str | Path, scratch: Path | None = None) -> Store:
    """Opens the store at an address.

    Args:
        address: A folder, ``file://...``, or anything else that fsspec reads: ``s3://bucket/prefix``.
        scratch: For a remote address, this machine's working folder; see ``local_root``.

    Raises:
        InputError: If the address cannot be read, its driver is not installed, or it does not answer.
    """
    text = str(address)
    if not _is_remote(text):
        return Store(local_root(address))
    return open_shared(text.rstrip("/"), (scratch or local_root(text)).absolute()).reach()


def local_root(address: str | Path) -> Path:
    """Returns this machine's folder of a store, without contacting the store.

    For a remote store that is ``$HARNESS_SCRATCH``, by default ``.harness``: stages run there, decoded images are
    cached there, and results wait there for the tracker.

    Raises:
        InputError: If the address is misspelt.
    """
    text = str(address)
    if _is_remote(text):
        return Path(os.environ.get(SCRATCH_VARIABLE) or DEFAULT_ROOT)
    return Path(_LOCAL.sub("", text))


def _is_remote(text: str) -> bool:
    if _ONE_SLASH.match(text):
        raise InputError(f'store "{text}": found one slash, expected two: {text.replace(":/", "://", 1)}')
    if "://" not in text or _LOCAL.match(text):
        return False
    if not text.partition("://")[2].strip("/"):
        raise InputError(f'store "{text}": expected a bucket or a folder after "://"')
    return True
