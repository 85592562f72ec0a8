"""A disk: writes that are whole or not there at all, what to do where it refuses them, and what lies on it."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import InputError
from harness.files import NotRegularFileError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST})


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Turns a full disk and a folder that cannot be written to into an ``InputError`` that says what to do."""
    try:
        yield
    except OSError as error:
        told = tell_os_error(error, folder)
        if told is None:
            raise
        raise InputError(told) from error


def tell_os_error(error: OSError, folder: Path) -> str | None:
    """What to do about a full or unwritable disk, or what lies in a file's place; None for any other error."""
    place = error.filename2 or error.filename or folder
    if isinstance(error, NotRegularFileError):
        return f"{place}: {error.strerror}; move it away, then run the same command"
    if error.errno in _FULL:
        return (
            f"{place}: {error.strerror}: no more can be written. Free space (python -m harness cache gc), or name a "
            "store on another disk, then run the same command: it goes on where it was"
        )
    if error.errno in _FORBIDDEN:
        return f"{place}: {error.strerror}: expected a folder that can be written to; name another store, or mend it"
    if error.errno == errno.EISDIR:
        return f"{place}: {error.strerror}: expected a file, or nothing; move the folder away"
    if error.errno == errno.ENOSYS:
        return f"{place}: this file system has no file locks, which the store needs; name a store on another disk"
    return None


def replace_text(path: Path, text: str) -> None:
    """Writes a file aside, syncs it, and renames it into place, so that it is there whole or not at all."""
    aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with aside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def bytes_of(place: Path) -> int:
    """Returns the bytes of a file, or of all files below a folder; 0 if there is neither."""
    files = [place] if place.is_file() else (path for path in place.rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files)
