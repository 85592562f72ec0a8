"""The process that issued an operation, and whether it is still alive.

Used to distinguish a run whose process died from one in training. Refuses to judge processes of other machines.
"""

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Owner:
    """A process, identified so that a recycled process id or a restarted machine is never mistaken for it."""

    host: str
    boot: str
    """Changes whenever the machine starts."""
    pid: int
    started: str
    """When the process started, on a clock that cannot be set (ticks since boot if the system has them)."""

    @classmethod
    def this_process(cls) -> Self:
        """The calling process."""
        return cls(socket.gethostname(), _boot_id(), os.getpid(), _start_of(os.getpid()) or "")

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The owner that ``str(owner)`` wrote, or None for anything else."""
        fields = text.rsplit("/", 3)
        if len(fields) != 4 or not fields[2].isdigit():
            return None
        return cls(fields[0], fields[1], int(fields[2]), fields[3])

    def __str__(self) -> str:
        return f"{self.host}/{self.boot}/{self.pid}/{self.started}"

    def is_dead(self) -> bool:
        """Whether the process is known to have ended; never true for one on another machine."""
        if self.host != socket.gethostname():
            return False
        return self.boot != _boot_id() or _start_of(self.pid) != self.started


@cache
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")[:12]
    except OSError:
        import psutil

        return str(round(psutil.boot_time()))


def _start_of(pid: int) -> str | None:
    """Returns when a process started; None if there is none, or it is a zombie."""
    try:
        # Field 2 is the command in parentheses, and may hold spaces and parentheses; 3 is the state, 22 the start.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
    import psutil

    try:
        return str(round(psutil.Process(pid).create_time()))
    except psutil.Error:
        return None
