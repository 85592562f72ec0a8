"""A lock across machines: an object that its holder creates, renews and deletes.

Objects cannot be locked, and the clocks of machines disagree. So the holder writes a heartbeat to its object. A machine
that sees no new heartbeat for a timeout on its *own* monotonic clock takes over by creating the next object in a
numbered series: if several try at once, the file system lets one succeed. A holder that was only slow or offline finds
the newer object and stops. Until then two machines may run the same stage; since stages are deterministic and addressed
by content, that wastes work but corrupts nothing.
"""

import json
import logging
import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.errors import InputError, StageError
from harness.execute.remote import Remote
from harness.files import regular_file, replace_text

LEASE_TIMEOUT_S = 60.0
"""The holder counts as dead after this time without a new heartbeat."""
_BEATS_PER_TIMEOUT = 6
"""Heartbeats per timeout, so that a few may be late or lost."""

_log = logging.getLogger(__name__)


class StageTakenError(StageError):
    """Another machine took over a stage, since this one sent no heartbeat."""


class Lease:
    """One attempt to hold one name.

    Args:
        remote: Where the objects live.
        name: The name of the lock.
        scratch: This machine's working folder. The caller holds its local lock of the same name, which the kernel frees
            when a process dies: so any lease from this scratch folder belongs to a dead process.
        timeout_s: See ``LEASE_TIMEOUT_S``.
    """

    def __init__(self, remote: Remote, name: str, scratch: Path, timeout_s: float) -> None:
        self._remote, self._name = remote, name
        self._scratch = _identity(scratch / "locks")
        self._seen = scratch / "locks" / f"{name}.seen"
        self._timeout_s = timeout_s
        self._token = uuid.uuid4().hex
        self._number = 0
        self._beats = 0
        self._taken_by: str | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name=f"lease {name[:8]}", daemon=True)

    def acquire(self) -> bool:
        """Tries to take the lease without waiting; returns whether it was free or its holder dead."""
        numbers = self._numbers()
        newest = max(numbers, default=0)
        if newest and not self._is_dead(newest):
            return False
        if not self._remote.creates_exclusively:
            _warn_once(
                f"{self._remote}: this file system cannot create a file exclusively: two machines may "
                "occasionally run the same stage, which wastes time but does no damage"
            )
        self._number = newest + 1
        if not self._remote.create(self._object(self._number), self._content()):
            return False
        self._seen.unlink(missing_ok=True)
        self._remote.remove(self._object(number) for number in numbers)
        self._thread.start()
        return True

    @property
    def is_held(self) -> bool:
        """Whether the lease is still held, as of the last heartbeat."""
        return self._taken_by is None

    def check(self, *, now: bool = False) -> None:
        """Checks that the lease is still held, as of the last heartbeat.

        Args:
            now: Send a heartbeat first; if the remote does not answer, the last one counts.

        Raises:
            StageTakenError: If it is not held any more.
        """
        if now:
            with suppress(InputError):
                self._beat()
        if self._taken_by is not None:
            raise StageTakenError(
                f"{self._taken_by} took over this stage, since this machine sent no heartbeat for {self._timeout_s:g} s"
                "; work done here since then is dropped, and the stage continues there"
            )

    def release(self) -> None:
        """Releases the lease."""
        self._ended.set()
        self._thread.join()
        if self._taken_by is None:
            with suppress(InputError):  # unreachable: others take over after the timeout
                self._remote.remove([self._object(self._number)])

    def _renew(self) -> None:
        while not self._ended.wait(self._timeout_s / _BEATS_PER_TIMEOUT) and self._taken_by is None:
            with suppress(InputError):  # offline: if that lasts, another machine takes over, and the next beat notices
                self._beat()

    def _beat(self) -> None:
        newest = max(self._numbers(), default=0)
        held = _holder(self._remote.read(self._object(newest)) or b"") if newest else {}
        if newest == self._number and held.get("token") == self._token:
            self._beats += 1
            self._remote.write(self._object(self._number), self._content())
        else:
            self._taken_by = str(held.get("host", "another machine"))

    def _is_dead(self, number: int) -> bool:
        """Whether the holder has sent no heartbeat for the timeout, as far as this machine has observed.

        The observation is stored in a file, since another process may make the next one. The monotonic clock starts at
        boot: after a reboot it shows less time than has passed, never more.
        """
        content = self._remote.read(self._object(number))
        if content is None:
            return False
        held = _holder(content)
        if held.get("scratch") == self._scratch:
            return True
        timeout_s = float(held.get("patience_s", self._timeout_s))  # the holder's own timeout, which it renews by
        now, beat = time.monotonic(), [number, content.decode(errors="replace")]
        with suppress(OSError, ValueError, KeyError, TypeError):
            seen = json.loads(regular_file(self._seen).read_bytes())
            if seen["beat"] == beat and seen["since"] <= now:
                return bool(now - seen["since"] >= timeout_s)
        replace_text(self._seen, json.dumps({"beat": beat, "since": now}))
        return False

    def _numbers(self) -> list[int]:
        return sorted(int(name) for name in self._remote.sizes(f"locks/{self._name}") if name.isdecimal())

    def _object(self, number: int) -> str:
        return f"locks/{self._name}/{number:09d}"

    def _content(self) -> bytes:
        holder = {"host": socket.gethostname(), "pid": os.getpid(), "scratch": self._scratch}
        renewal = {"token": self._token, "beat": self._beats, "patience_s": self._timeout_s}
        return json.dumps({**holder, **renewal}).encode()


def _holder(content: bytes) -> dict[str, Any]:
    """Returns a lease object's holder; empty if it is unreadable (then it is not renewed either)."""
    try:
        held = json.loads(content)
    except ValueError:
        return {}
    return held if isinstance(held, dict) else {}


def _identity(folder: Path) -> str:
    """Identifies a folder of this machine until its next reboot, and differs from every other machine's."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    machine = regular_file(boot).read_text(encoding="ascii").strip() if boot.exists() else f"{uuid.getnode():x}"
    status = folder.stat()
    return f"{machine}:{status.st_dev:x}:{status.st_ino:x}"


_warned: set[str] = set()


def _warn_once(message: str) -> None:
    if message not in _warned:
        _warned.add(message)
        _log.warning(message)
