"""The manifest that makes a stage complete: its result, and the size and checksum of every file.

Owns the manifest's format, and which files of a folder belong to the result. Independent of location: a manifest reads
the same from a disk and from a remote store.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from harness.errors import InputError
from harness.files import regular_file
from harness.plan.stage import Stage

MANIFEST = "manifest.json"
CHECKPOINTS = "checkpoints"
"""The subfolder with what only a resumed stage needs."""
ERROR = "error.txt"
"""The file with the traceback of the last failure."""

Manifest = dict[str, Any]
"""``format``, ``stage``, ``result``, ``versions``, and ``files``: bytes and blake2b by name."""

_FORMAT = 1
_CHUNK_BYTES = 1 << 20


def seal_manifest(body: Mapping[str, Any]) -> str:
    """Serialises a manifest with its checksum."""
    content = json.dumps({**body, "format": _FORMAT}, sort_keys=True)
    checksum = hashlib.blake2b(content.encode(), digest_size=16).hexdigest()
    return json.dumps({"checksum": checksum, "content": content})


def read_manifest(
    fingerprint: str, place: str, text: bytes, size_of: Callable[[str], int | None]
) -> tuple[Manifest | None, str]:
    """Parses a complete stage's manifest; or returns None and what is wrong with it or with the sizes of its files.

    Args:
        fingerprint: The stage that it must belong to.
        place: The stage's location, for messages.
        text: The content of the manifest file.
        size_of: Returns the size of the stage's file of that name; None if there is none.
    """
    path = f"{place}/{MANIFEST}"
    try:
        outer = json.loads(text)
        content = outer["content"].encode()
        if hashlib.blake2b(content, digest_size=16).hexdigest() != outer["checksum"]:
            return None, f"{path} is damaged: its checksum differs"
        manifest: Manifest = json.loads(content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return None, f"{path} is damaged: {error}"
    if manifest["format"] != _FORMAT:
        return None, f"{path} has format {manifest['format']}; this version reads {_FORMAT}"
    if manifest["stage"]["fingerprint"] != fingerprint:
        return None, f"{path} belongs to another stage: {manifest['stage']['fingerprint']}"
    for name, kept in manifest["files"].items():
        size = size_of(name)
        if size != kept["bytes"]:
            found = "missing" if size is None else f"{size} bytes"
            return None, f"{place}/{name} is damaged: found {found}, expected {kept['bytes']} bytes"
    return manifest, ""


def stage_of(manifest: Manifest) -> Stage:
    """Returns the stage that a manifest belongs to."""
    return Stage(**{**manifest["stage"], "code": tuple(manifest["stage"]["code"])})


class DamagedError(InputError):
    """A file of a finished stage is damaged."""

    def __init__(self, place: str, found: str) -> None:
        self.damage = f"{place} is damaged: {found}; the stage counts as not done"
        super().__init__(f"{self.damage}, run the same command again")


def products(folder: Path) -> list[Path]:
    """Returns the files that belong to the stage's result."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.suffix != ".tmp"
        and path.relative_to(folder).parts[0] not in (CHECKPOINTS, ERROR, MANIFEST)
    )


def sync_product(path: Path) -> dict[str, Any]:
    """Syncs a file to disk; returns its size and checksum, as manifests hold them."""
    with regular_file(path).open("rb") as file:
        os.fsync(file.fileno())
    return {"bytes": path.stat().st_size, "blake2b": checksum_of(path)}


def checksum_of(path: Path) -> str:
    """Returns the checksum of a file, as manifests hold it."""
    with regular_file(path).open("rb") as file:
        return checksum_of_stream(file)


def checksum_of_stream(file: BinaryIO) -> str:
    """Returns the checksum of an open file from its position to its end."""
    digest = hashlib.blake2b(digest_size=16)
    while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()
