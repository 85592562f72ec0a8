"""Reading and writing files safely: nothing but regular files is opened, and what is written is whole or not there.

Opening a named pipe would wait forever for a writer. A file that is written in place is torn if the
process dies, so every file that others read is written beside its place, synced and renamed.
"""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class NotRegularFileError(OSError):
    """A path that leads to something other than a regular file; ``found`` names what it leads to."""

    def __init__(self, path: Path, found: str) -> None:
        super().__init__(errno.EINVAL, f"found {found}, expected a regular file", str(path))
        self.found = found


def regular_file(path: Path) -> Path:
    """Returns ``path`` if it leads to a regular file, directly or through links; call it before opening any file.

    Raises:
        NotRegularFileError: It leads to a folder, a named pipe, a socket or a device.
        OSError: It does not exist or cannot be accessed.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise NotRegularFileError(path, _KINDS.get(stat.S_IFMT(mode), "a special file"))
    return path


FileState = tuple[int, int, int, int]
"""Changes whenever a file's contents do."""


def file_state(path: Path) -> FileState:
    """Returns the state of a regular file: for caches of what was read from it.

    Raises:
        OSError: As for ``regular_file``.
    """
    found = regular_file(path).stat()
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yields a temporary path beside ``path``; on leaving, syncs what was written there and renames it to ``path``.

    Readers of ``path`` find the old content or the new one, even after a crash. After an error in the block the
    old content stays and the temporary file, whose name ends in ``.tmp``, is removed.

    Args:
        path: The file.
        durable: False: a power cut may take the file, a killed process may not; spares the wait for the disk.

    Raises:
        OSError: If the file cannot be written.
    """
    aside = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        yield aside
        if durable:
            _sync(aside)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    if durable:
        _sync(path.parent)  # the rename itself


def replace_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Replaces the content of a file in one step; see ``replacing``.

    Raises:
        OSError: If the file cannot be written.
    """
    with replacing(path, durable=durable) as aside:
        aside.write_bytes(text.encode())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
