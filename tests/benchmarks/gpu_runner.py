"""Parts of a measurement, one after another, each a process of its own with a time of its own; all end in time.

Owns time: what a part may take, what becomes of one that takes longer, and that nothing of it lives on. Owns the file
that keeps what was measured, whole at any moment. Refuses to know what is measured.
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
"""How long a part has to end by itself once it is asked to."""
MOST = 2.0
"""A part may take this many times its budget, out of what earlier ones left over."""
_LONGEST_REASON = 300


@dataclass(frozen=True)
class Part:
    """One part."""

    name: str
    words: tuple[str, ...]
    """The Python script and its arguments. It takes ``--json FILE`` and may write the file as often as it likes."""
    budget_s: float
    least_s: float = 5.0
    """With less time than this it is not started."""


@dataclass(frozen=True)
class Ended:
    """How a part ended."""

    status: str
    """``ok``, ``failed`` (an exit code), ``cut short`` (out of time; what it had kept is there) or ``left out``."""
    seconds: float
    reason: str
    measured: Mapping[str, Any] | None
    """What it wrote, None if nothing."""


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
    """Runs the parts in their order.

    A part may take its own budget and what those before it left over, ``MOST`` times its own budget altogether; the
    last one all that is left until the deadline. One that fails or is out of time costs no other part anything.

    Args:
        parts: In order of worth.
        folder: For the parts' output (``gpu.log``) and their files on the way.
        deadline: By ``clock``; with room for ``GRACE_S``.
        environment: Of the processes.
        on_end: Called with a part, the seconds that it had and how it ended.
        clock: Seconds.
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
    """Runs one part for ``limit_s`` seconds at most, a few seconds of grace behind them."""
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
    for left in folder.glob(f"{kept.name}*"):  # what a killed part was about to write, too
        left.unlink(missing_ok=True)
    if code is None:
        return Ended("cut short", seconds, f"not done after {limit_s:.0f} s", measured)
    if code:
        return Ended("failed", seconds, f"exit code {code}: {_last_words(folder / 'gpu.log', begins)}", measured)
    if measured is None:
        return Ended("failed", seconds, "it wrote nothing", None)
    return Ended("ok", seconds, "", measured)


def end(process: "subprocess.Popen[bytes]") -> None:
    """Ends a process with all its descendants: asked first, killed after ``GRACE_S``, and never waited for longer."""
    family = _family(process.pid)
    if process.poll() is None:
        _signal([*family, process.pid], signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
        family |= _family(process.pid)
    _signal([*family, process.pid] if process.poll() is None else [*family], signal.SIGKILL)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # those of its session that lost their parent
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_S)


def _family(pid: int) -> set[int]:
    """The descendants of a process, as far as the system tells; those in groups of their own too."""
    with suppress(psutil.Error, OSError):
        return {child.pid for child in psutil.Process(pid).children(recursive=True)}
    return set()


def _signal(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _read(path: Path) -> Mapping[str, Any] | None:
    """What a part wrote, None if nothing that can be read."""
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
    """Writes JSON, whole or not at all."""
    aside = path.with_name(f"{path.name}.tmp")
    aside.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    aside.replace(path)


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """SIGTERM interrupts as Ctrl-C does, so that no part outlives the command."""

    def interrupt(number: int, _frame: object) -> None:
        raise KeyboardInterrupt(number)

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
