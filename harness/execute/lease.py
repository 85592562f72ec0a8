"""A lock across machines: an object that one of them makes, keeps fresh, and takes away.

Objects cannot be locked, and the clocks of machines do not agree. So a holder renews a beat in its object, and whoever
sees the same beat for a patience of its *own* monotonic clock takes over, by making the next object in a row: of
several who try at once, the file system lets one succeed. A holder that was only slow or cut off finds the newer object
and stops. Between the two, a stage may be worked on twice: since stages are addressed by their contents and
deterministic, that wastes work and corrupts nothing.
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

PATIENCE_S = 60.0
"""How long a beat must stand still until its holder counts as dead."""
_BEATS = 6
"""Beats within the patience, so that a few may be late or lost."""

_log = logging.getLogger(__name__)


class StageTakenError(StageError):
    """Another machine took a stage over while this one was not heard of."""


class Lease:
    """One attempt to hold one name.

    Args:
        remote: Where the machines meet.
        name: What is locked.
        scratch: The scratch folder. Its lock of the same name, which the kernel frees at a kill, is already held, so
            that a lease which was taken under this scratch folder is a dead process's.
        patience_s: See ``PATIENCE_S``.
    """

    def __init__(self, remote: Remote, name: str, scratch: Path, patience_s: float) -> None:
        self._remote, self._name = remote, name
        self._scratch = _identity(scratch / "locks")
        self._seen = scratch / "locks" / f"{name}.seen"
        self._patience_s = patience_s
        self._token = uuid.uuid4().hex
        self._number = 0
        self._beats = 0
        self._taken_by: str | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease {name[:8]}", daemon=True)

    def acquire(self) -> bool:
        """Tries to take the lease, without waiting; whether it was free, or its holder is dead."""
        numbers = self._numbers()
        newest = max(numbers, default=0)
        if newest and not self._is_dead(newest):
            return False
        if not self._remote.creates_exclusively:
            _warn_once(
                f"{self._remote}: this file system cannot create a file exclusively: two machines may now and "
                "then work on one stage, which wastes time and damages nothing"
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
        """Whether it is still held, as of the last beat."""
        return self._taken_by is None

    def check(self, *, now: bool = False) -> None:
        """Looks whether the lease is still held, as of the last beat or, if asked and if that can be told, ``now``.

        Raises:
            StageTakenError: If it is not.
        """
        if now:
            with suppress(InputError):
                self._beat()
        if self._taken_by is not None:
            raise StageTakenError(
                f"{self._taken_by} took this stage over, since this machine was not heard of for {self._patience_s:g} s"
                "; what was done here since is dropped, and the stage goes on there"
            )

    def release(self) -> None:
        """Lets others have it."""
        self._ended.set()
        self._thread.join()
        if self._taken_by is None:
            with suppress(InputError):  # a place that cannot be reached: others take over after their patience
                self._remote.remove([self._object(self._number)])

    def _keep(self) -> None:
        while not self._ended.wait(self._patience_s / _BEATS) and self._taken_by is None:
            with suppress(InputError):  # cut off: if that lasts, another takes over, which the next beat finds
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
        """Whether the holder's beat has stood still for long enough; what was seen is kept for the next look.

        Kept in a file, since the next look may be another process's. The monotonic clock counts from the machine's
        start: after a restart it shows less time than has passed, never more.
        """
        content = self._remote.read(self._object(number))
        if content is None:
            return False
        held = _holder(content)
        if held.get("scratch") == self._scratch:
            return True
        patience_s = float(held.get("patience_s", self._patience_s))  # its holder's, which renews it accordingly
        now, beat = time.monotonic(), [number, content.decode(errors="replace")]
        with suppress(OSError, ValueError, KeyError, TypeError):
            seen = json.loads(regular_file(self._seen).read_bytes())
            if seen["beat"] == beat and seen["since"] <= now:
                return bool(now - seen["since"] >= patience_s)
        replace_text(self._seen, json.dumps({"beat": beat, "since": now}))
        return False

    def _numbers(self) -> list[int]:
        return sorted(int(name) for name in self._remote.sizes(f"locks/{self._name}") if name.isdecimal())

    def _object(self, number: int) -> str:
        return f"locks/{self._name}/{number:09d}"

    def _content(self) -> bytes:
        holder = {"host": socket.gethostname(), "pid": os.getpid(), "scratch": self._scratch}
        renewal = {"token": self._token, "beat": self._beats, "patience_s": self._patience_s}
        return json.dumps({**holder, **renewal}).encode()


def _holder(content: bytes) -> dict[str, Any]:
    """Who made a lease's object; nothing if that cannot be read, and whoever wrote it does not renew it either."""
    try:
        held = json.loads(content)
    except ValueError:
        return {}
    return held if isinstance(held, dict) else {}


def _identity(folder: Path) -> str:
    """What tells a folder of this machine, as long as it is up, from every other machine's."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    machine = regular_file(boot).read_text(encoding="ascii").strip() if boot.exists() else f"{uuid.getnode():x}"
    told = folder.stat()
    return f"{machine}:{told.st_dev:x}:{told.st_ino:x}"


_warned: set[str] = set()


def _warn_once(told: str) -> None:
    if told not in _warned:
        _warned.add(told)
        _log.warning(told)
