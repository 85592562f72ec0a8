"""The identity of files and folders by their contents."""

import hashlib
import os
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from harness.errors import InputError
from harness.files import FileState, file_state, regular_file

_CHUNK_BYTES = 1 << 20
_IGNORED = (
    *("__pycache__", ".git", ".venv", ".harness", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".ipynb_checkpoints"),
    *("*.egg-info", ".DS_Store", ".*.sw?", "*~", ".#*", "#*#"),
)
"""Names of what tools leave in a folder of code or data: no part of it."""


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
    for inner in sorted(_files_below(path, frozenset())):
        digest.update(f"{inner.relative_to(path).as_posix()}:{_file_digest(inner, what)}\n".encode())
    return digest.hexdigest()


def _files_below(folder: Path, above: frozenset[str]) -> Iterator[Path]:
    """Yields the files in a folder, at any depth and behind links, but for links to a folder that holds them."""
    within = above | {os.path.realpath(folder)}
    for inner in folder.iterdir():
        if any(fnmatch(inner.name, pattern) for pattern in _IGNORED):
            continue
        if not inner.is_dir():
            yield inner
        elif os.path.realpath(inner) not in within:
            yield from _files_below(inner, within)


_known: dict[Path, tuple[FileState, str]] = {}
"""The digest of each file that was read, with the state that it was in."""


def _file_digest(path: Path, what: str) -> str:
    if not path.is_file():
        raise InputError(f"{what}: {path} is not a regular file")
    place, state = path.absolute(), file_state(path)
    if place not in _known or _known[place][0] != state:
        try:
            _known[place] = state, _digest(place)
        except OSError as error:
            raise InputError(f"{what}: {path} cannot be read ({error.strerror or error})") from error
    return _known[place][1]


def _digest(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with regular_file(path).open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
