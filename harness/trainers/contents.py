"""The identity of files and folders by their contents."""

import hashlib
from functools import lru_cache
from pathlib import Path

from harness.errors import InputError
from harness.files import regular_file

_CHUNK_BYTES = 1 << 20
_IGNORED = frozenset({"__pycache__", ".git", ".venv"})


def contents_digest(path: Path, what: str) -> str:
    """Returns the digest of a file's bytes, or of a folder's files and their names below it.

    Args:
        path: The file or folder.
        what: Its origin, for messages.

    Raises:
        InputError: If it does not exist, or has anything but regular files.
    """
    if path.is_file():
        return _file_digest(path, what)
    if not path.is_dir():
        raise InputError(f"{what}: no file or folder {path} (looked for {path.absolute()})")
    digest = hashlib.blake2b(digest_size=16)
    for inner in sorted(path.rglob("*")):
        below = inner.relative_to(path)
        if not _IGNORED.intersection(below.parts) and not inner.is_dir():
            digest.update(f"{below.as_posix()}:{_file_digest(inner, what)}\n".encode())
    return digest.hexdigest()


def _file_digest(path: Path, what: str) -> str:
    if not path.is_file():
        raise InputError(f"{what}: {path} is not a regular file")
    stat = path.stat()
    try:
        return _digest(path.absolute(), stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise InputError(f"{what}: {path} cannot be read ({error.strerror or error})") from error


@lru_cache(maxsize=4096)
def _digest(path: Path, size: int, mtime_ns: int) -> str:  # noqa: ARG001 - size and time only invalidate the cache
    digest = hashlib.blake2b(digest_size=16)
    with regular_file(path).open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
