"""What travels beside a stage's work: its checkpoints up as they appear, and down what others write as it grows.

Owns two background threads, so that no step waits for the network. Neither fails anything by itself: what could not be
sent is told as a warning and tried again; what could not be fetched is fetched the next time.
"""

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from harness.errors import InputError
from harness.execute.manifest import CHECKPOINTS, products
from harness.execute.remote import Remote

SO_FAR = "so-far"
"""Where the logs of a stage that is worked on lie, below its place: never among a finished one's files."""
LOG = ".jsonl"
"""The ending of files that grow while a stage works, and that it cuts back to its checkpoint when it goes on."""

_LOOK_S = 0.5
"""How often the sender looks for a new checkpoint."""
_LONGEST_PAUSE_S = 30.0
"""The longest wait between attempts to send one."""
_FOLLOW_S = 10.0
"""How often files that grow elsewhere are asked for."""
_KEPT = 2
"""Checkpoints that stay there, as here."""


class Sender:
    """Sends a stage's newest checkpoint whenever there is a new one, with its logs as far as they are written.

    The logs go first: a log that is there is never shorter than the newest checkpoint there expects.

    Args:
        remote: Where to.
        folder: The stage's folder.
        below: What its objects' names begin with.
        is_held: Whether the stage is still this machine's; if not, nothing more is sent.
    """

    def __init__(self, remote: Remote, folder: Path, below: str, is_held: Callable[[], bool]) -> None:
        self._remote, self._folder, self._below, self._is_held = remote, folder, below, is_held
        self._sent: dict[str, tuple[int, int, int]] = {}
        self._warnings: list[str] = []
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, there: Iterable[str]) -> None:
        """Starts to look for checkpoints; ``there``: the names of those that need not be sent."""
        for name in there:
            with suppress(FileNotFoundError):
                self._sent[name] = self._state(name)
        self._thread = threading.Thread(target=self._work, name=f"sender {self._folder.name[:8]}", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float | None = None) -> None:
        """Ends it, once what is being sent has arrived or ``timeout_s`` has passed."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def warnings(self) -> list[str]:
        """What went wrong since the last call."""
        told, self._warnings = self._warnings, []
        return told

    def _work(self) -> None:
        failures = 0
        while not self._ended.wait(min(_LOOK_S * 2**failures, _LONGEST_PAUSE_S)) and self._is_held():
            try:
                self._send_newest()
                failures = 0
            except FileNotFoundError:
                pass  # a newer checkpoint has just taken its place
            except InputError as error:
                if not failures:
                    self._warnings.append(f"a checkpoint could not be sent, which is tried again: {error}")
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
        told = (self._folder / name).stat()
        return told.st_ino, told.st_size, told.st_mtime_ns


def checkpoints_in(folder: Path) -> dict[str, int]:
    """The bytes of the whole checkpoints in a stage's folder, by name below it; names are in the order of progress."""
    found = {}
    with suppress(FileNotFoundError):
        for path in (folder / CHECKPOINTS).iterdir():
            if path.suffix != ".tmp" and path.is_file():
                with suppress(FileNotFoundError):
                    found[f"{CHECKPOINTS}/{path.name}"] = path.stat().st_size
    return found


class Follower:
    """Calls ``renew`` for every followed stage, now and then, in a thread that ends with the process."""

    def __init__(self, renew: Callable[[str, str], None]) -> None:
        self._renew = renew
        self._followed: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def follow(self, fingerprint: str, name: str) -> None:
        """Has a file of a stage renewed from now on."""
        with self._lock:
            self._followed.add((fingerprint, name))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="follower", daemon=True)
                self._thread.start()

    def drop(self, fingerprint: str) -> None:
        """Ends that for a stage."""
        with self._lock:
            self._followed = {followed for followed in self._followed if followed[0] != fingerprint}

    def _work(self) -> None:
        pause = threading.Event()
        while not pause.wait(_FOLLOW_S):
            with self._lock:
                followed = sorted(self._followed)
            for fingerprint, name in followed:
                with suppress(InputError):  # unreachable just now: the whole file comes when the stage is complete
                    self._renew(fingerprint, name)
