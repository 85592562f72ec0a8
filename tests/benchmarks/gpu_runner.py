"""Runs the parts of a measurement one after another, each in its own process with its own budget; all end in time.

Owns time: how long a part may take, what happens to one that takes longer, and that nothing of it survives. Owns the
file with the measurements, complete at any moment. Knows nothing about what is measured.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

GRACE_S = 3.0
"""How long a part has to exit by itself after SIGTERM."""
MOST = 2.0
"""A part may take this many times its budget, from the time that earlier parts left over."""
_LONGEST_REASON = 300


@dataclass(frozen=True)
class Part:
    """One part."""

    name: str
    words: tuple[str, ...]
    """The Python script and its arguments. It takes ``--json FILE`` and may write the file as often as it likes."""
    budget_s: float
    least_s: float = 5.0
    """With less time left than this, it is not started."""


@dataclass(frozen=True)
class Ended:
    """How a part ended."""

    status: str
    """``ok``, ``failed`` (an exit code), ``cut short`` (out of time; its saved results are kept) or ``left out``."""
    seconds: float
    reason: str
    measured: Mapping[str, Any] | None
    """What it wrote, or None."""


def scaled(parts: Sequence[Part], total_s: float) -> list[Part]:
    """The parts with budgets that add up to ``total_s``, in the same proportions.

    >>> [part.budget_s for part in scaled([Part("a", (), 30.0), Part("b", (), 10.0)], 20.0)]
    [15.0, 5.0]
    """
    factor = total_s / sum(part.budget_s for part in parts)
    return [Part(part.name, part.words, part.budget_s * factor, part.least_s) for part in parts]


def run_parts(
    parts: Sequence[Part],
    folder: Path,
    *,
    deadline: float,
    environment: Mapping[str, str],
    on_end: Callable[[Part, float, Ended], None],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Runs the parts in order.

    A part may take its own budget and what earlier parts left over, up to ``MOST`` times its own budget in total; the
    last one may take all the time until the deadline. One that fails or runs out of time affects no other part.

    Args:
        parts: In order of value.
        folder: For the parts' output (``gpu.log``) and temporary files.
        deadline: In terms of ``clock``, with room for ``GRACE_S``.
        environment: The environment of the processes.
        on_end: Called with a part, its time limit in seconds and how it ended.
        clock: Returns seconds.
    """
    spared = 0.0
    for place, part in enumerate(parts, start=1):
        room = max(0.0, deadline - GRACE_S - clock())
        limit_s = room if place == len(parts) else min(part.budget_s + spared, MOST * part.budget_s, room)
        if limit_s < part.least_s:
            ended = Ended("left out", 0.0, f"{limit_s:.0f} s left, it takes {part.least_s:.0f} s or more", None)
        else:
            ended = _run(part, folder, limit_s, environment)
        spared += part.budget_s - ended.seconds
        on_end(part, limit_s, ended)


def _run(part: Part, folder: Path, limit_s: float, environment: Mapping[str, str]) -> Ended:
    """Runs one part for at most ``limit_s`` seconds and a few seconds of grace."""
    kept = folder / f".{part.name}.json"
    kept.unlink(missing_ok=True)
    started = time.monotonic()
    with (folder / "gpu.log").open("ab") as log:
        log.write(f"\n== {part.name}: {' '.join(part.words)}\n".encode())
        log.flush()
        begins = log.tell()
        process = subprocess.Popen(
            [sys.executable, *part.words, "--json", str(kept)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
        code: int | None = None
        try:
            with suppress(subprocess.TimeoutExpired):
                code = process.wait(limit_s)
        finally:
            end(process)
    seconds = time.monotonic() - started
    measured = _read(kept)
    for left in folder.glob(f"{kept.name}*"):  # including what a killed part was about to write
        left.unlink(missing_ok=True)
    if code is None:
        return Ended("cut short", seconds, f"not done after {limit_s:.0f} s", measured)
    if code:
        return Ended("failed", seconds, f"exit code {code}: {_last_words(folder / 'gpu.log', begins)}", measured)
    if measured is None:
        return Ended("failed", seconds, "it wrote nothing", None)
    return Ended("ok", seconds, "", measured)


def end(process: "subprocess.Popen[bytes]") -> None:
    """Ends a process with all its descendants: SIGTERM first, SIGKILL after ``GRACE_S``, and never waits longer."""
    family = _family(process.pid)
    if process.poll() is None:
        _signal([*family, process.pid], signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
        family |= _family(process.pid)
    _signal([*family, process.pid] if process.poll() is None else [*family], signal.SIGKILL)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # orphans in its session
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_S)


def _family(pid: int) -> set[int]:
    """The descendants of a process, as far as the system reports them, including those in other process groups."""
    with suppress(psutil.Error, OSError):
        return {child.pid for child in psutil.Process(pid).children(recursive=True)}
    return set()


def _signal(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _read(path: Path) -> Mapping[str, Any] | None:
    """What a part wrote, or None if it cannot be read."""
    try:
        measured: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return measured


def _last_words(log: Path, begins: int) -> str:
    """The last line that a part printed."""
    lines = log.read_bytes()[begins:].decode("utf-8", "replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")[-_LONGEST_REASON:]


def keep(path: Path, kept: Mapping[str, Any]) -> None:
    """Writes JSON, completely or not at all."""
    aside = path.with_name(f"{path.name}.tmp")
    aside.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    aside.replace(path)


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """Makes SIGTERM interrupt as Ctrl-C does, so that no part outlives the command."""

    def interrupt(number: int, _frame: object) -> None:
        raise KeyboardInterrupt(number)

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
