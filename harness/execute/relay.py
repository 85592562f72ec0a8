"""Background transfers of a running stage: uploads its checkpoints, and downloads the growing logs of other machines.

Owns two background threads, so that no training step waits for the network. Neither makes a stage fail: a failed upload
is reported as a warning and retried; a failed download is retried next time.
"""

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from harness.errors import InputError
from harness.execute.manifest import CHECKPOINTS, products
from harness.execute.remote import Remote

SO_FAR = "so-far"
"""The remote subfolder for logs of a running stage, apart from the files of a finished one."""
LOG = ".jsonl"
"""The suffix of files that grow while a stage runs; a resumed stage truncates them to its checkpoint."""

LOOK_S = 0.5
"""Seconds between checks for a new checkpoint."""
_LONGEST_PAUSE_S = 30.0
"""The longest wait between attempts to send one."""
FOLLOW_S = 10.0
"""Seconds between downloads of files that grow on other machines."""
_KEPT = 2
"""Number of checkpoints kept remotely; the same as locally."""


class Sender:
    """Sends each new checkpoint of a stage, with its logs so far.

    The logs go first: a remote log is never shorter than the newest remote checkpoint expects.

    Args:
        remote: Where to send them.
        folder: The stage's folder.
        below: The prefix of its objects' names.
        is_held: Whether this machine still holds the stage; if not, nothing more is sent.
    """

    def __init__(self, remote: Remote, folder: Path, below: str, is_held: Callable[[], bool]) -> None:
        self._remote, self._folder, self._below, self._is_held = remote, folder, below, is_held
        self._sent: dict[str, tuple[int, int, int]] = {}
        self._warnings: list[str] = []
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, there: Iterable[str]) -> None:
        """Starts watching for checkpoints; ``there`` names those that are remote already."""
        for name in there:
            with suppress(FileNotFoundError):
                self._sent[name] = self._state(name)
        self._thread = threading.Thread(target=self._work, name=f"sender {self._folder.name[:8]}", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float | None = None) -> None:
        """Stops, after a running transfer or ``timeout_s``."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def warnings(self) -> list[str]:
        """Returns the warnings since the last call."""
        warnings, self._warnings = self._warnings, []
        return warnings

    def _work(self) -> None:
        failures = 0
        while not self._ended.wait(min(LOOK_S * 2**failures, _LONGEST_PAUSE_S)) and self._is_held():
            try:
                self._send_newest()
                failures = 0
            except FileNotFoundError:
                pass  # a newer checkpoint has just replaced it
            except InputError as error:
                if not failures:
                    self._warnings.append(f"a checkpoint could not be sent and will be retried: {error}")
                failures += 1

    def _send_newest(self) -> None:
        newest = max(checkpoints_in(self._folder), default=None)
        if newest is None or self._sent.get(newest) == (state := self._state(newest)):
            return
        for path in products(self._folder):
            if path.suffix == LOG:
                self._remote.send(path, f"{self._below}/{SO_FAR}/{path.relative_to(self._folder).as_posix()}")
        self._remote.send(self._folder / newest, f"{self._below}/{newest}")
        self._sent[newest] = state
        there = sorted(self._remote.sizes(f"{self._below}/{CHECKPOINTS}"))
        self._remote.remove(f"{self._below}/{CHECKPOINTS}/{name}" for name in there[:-_KEPT])

    def _state(self, name: str) -> tuple[int, int, int]:
        status = (self._folder / name).stat()
        return status.st_ino, status.st_size, status.st_mtime_ns


def checkpoints_in(folder: Path) -> dict[str, int]:
    """Returns the sizes of the checkpoints in a stage's folder, by relative name; names sort by progress."""
    found = {}
    with suppress(FileNotFoundError):
        for path in (folder / CHECKPOINTS).iterdir():
            if path.suffix != ".tmp" and path.is_file():
                with suppress(FileNotFoundError):
                    found[f"{CHECKPOINTS}/{path.name}"] = path.stat().st_size
    return found


class Follower:
    """Calls ``renew`` periodically for every followed file, in a daemon thread."""

    def __init__(self, renew: Callable[[str, str], None]) -> None:
        self._renew = renew
        self._followed: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def follow(self, fingerprint: str, name: str) -> None:
        """Starts renewing a file of a stage."""
        with self._lock:
            self._followed.add((fingerprint, name))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="follower", daemon=True)
                self._thread.start()

    def drop(self, fingerprint: str) -> None:
        """Stops renewing a stage's files."""
        with self._lock:
            self._followed = {followed for followed in self._followed if followed[0] != fingerprint}

    def _work(self) -> None:
        pause = threading.Event()
        while not pause.wait(FOLLOW_S):
            with self._lock:
                followed = sorted(self._followed)
            for fingerprint, name in followed:
                with suppress(InputError):  # unreachable now: the whole file follows when the stage is complete
                    self._renew(fingerprint, name)
