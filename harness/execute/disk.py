"""Disk errors that a user can fix, and disk usage."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import InputError
from harness.files import NotRegularFileError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST})


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Turns errors of a full or unwritable disk into an ``InputError`` that names the remedy."""
    try:
        yield
    except OSError as error:
        message = explain_os_error(error, folder)
        if message is None:
            raise
        raise InputError(message) from error


def explain_os_error(error: OSError, folder: Path) -> str | None:
    """Explains a full or unwritable disk, or something in a file's place, with its remedy; None for other errors."""
    place = error.filename2 or error.filename or folder
    if isinstance(error, NotRegularFileError):
        return f"{place}: {error.strerror}; move it away, then run the same command"
    if error.errno in _FULL:
        return (
            f"{place}: {error.strerror}: nothing more can be written. Free space (python -m harness cache gc), or name "
            "a store on another disk, then run the same command: it resumes where it stopped"
        )
    if error.errno in _FORBIDDEN:
        return f"{place}: {error.strerror}: expected a folder that can be written to; name another store, or fix it"
    if error.errno == errno.EISDIR:
        return f"{place}: {error.strerror}: expected a file, or nothing; move the folder away"
    if error.errno == errno.ENOSYS:
        return f"{place}: this file system has no file locks, which the store needs; name a store on another disk"
    return None


def bytes_of(place: Path) -> int:
    """Returns the bytes of a file, or of all files below a folder; 0 if there is neither."""
    files = [place] if place.is_file() else (path for path in place.rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files)
