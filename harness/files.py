"""Guards every file that the harness reads: opening a named pipe waits for ever for somebody to write into it."""

import errno
import stat
from pathlib import Path

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class NotRegularFileError(OSError):
    """A path that leads to something other than a regular file; ``found`` says to what."""

    def __init__(self, path: Path, found: str) -> None:
        super().__init__(errno.EINVAL, f"found {found}, expected a regular file", str(path))
        self.found = found


def regular_file(path: Path) -> Path:
    """Returns ``path`` if it leads to a regular file, directly or through links; call it before opening any file.

    Raises:
        NotRegularFileError: It leads to a folder, a named pipe, a socket or a device.
        OSError: It does not exist or cannot be looked at.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise NotRegularFileError(path, _KINDS.get(stat.S_IFMT(mode), "a special file"))
    return path
