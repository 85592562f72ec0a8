"""Ends commands on Ctrl-C and SIGTERM: in order if possible, and within five seconds whatever threads wait for."""

import math
import os
import select
import signal
import sys
import threading
import time
from contextlib import suppress

INTERRUPTED, TERMINATED = 130, 143
"""Exit codes after Ctrl-C and after SIGTERM."""
MESSAGE = "interrupted; run the same command again to resume"

_CODES = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}
_ORDERLY_S = 4.0
"""How long a command may take to end in order."""
_EXIT_S = 0.5
"""How much of that the interpreter needs to end itself."""
_SHOW_CURSOR = "\x1b[?25h"

_forced_at = math.inf


def end_on_signals() -> None:
    """Makes SIGTERM raise ``SystemExit`` in the main thread, and bounds the time that any ending takes.

    An exception is only a request: a main thread inside a library's long call does not see it, and on its way out it
    waits for threads that may wait forever (for a network file system, or a tracker that does not answer). So the
    interpreter also writes each signal into a pipe, at once, and a thread reads it: ``_ORDERLY_S`` after the first
    signal it kills all processes that this one has started, and ends this one. Call it once, from the main thread.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    heard, signalled = os.pipe()
    os.set_blocking(signalled, False)
    signal.set_wakeup_fd(signalled, warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))  # the signals of a child are not ours
    threading.Thread(target=_end_after_signal, args=(heard,), name="ending", daemon=True).start()


def end_at_once_on_signals() -> None:
    """Makes the next signal end this process without unwinding it, and its processes with it.

    Call it once a command has ended. The interpreter, which ends next, runs the finalizers of libraries and prints a
    traceback of any exception in one of them.
    """
    for number in _CODES:
        signal.signal(number, _end_at_once)


def _end_at_once(number: int, _frame: object) -> None:
    try:
        _kill_children()
    finally:
        os._exit(_CODES[signal.Signals(number)])


def seconds_left() -> float:
    """Returns how long an ending command may still wait for anything; infinite if no signal has asked it to end."""
    return max(0.0, _forced_at - _EXIT_S - time.monotonic())


def _end_after_signal(heard: int) -> None:
    global _forced_at
    while (number := os.read(heard, 1)[0]) not in _CODES:
        pass
    _forced_at = time.monotonic() + _ORDERLY_S
    time.sleep(_ORDERLY_S)
    try:
        _kill_children()
        _say_last_words()
    finally:
        os._exit(_CODES[signal.Signals(number)])


def _kill_children() -> None:
    """Kills what this process has started; the store is whole at any moment."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            child.kill()


def _say_last_words() -> None:
    """Prints ``MESSAGE`` unless standard error would block; a live bar has hidden the terminal's cursor."""
    with suppress(OSError, ValueError):
        descriptor = sys.stderr.fileno()
        if select.select([], [descriptor], [], 0)[1]:
            prefix = f"{_SHOW_CURSOR}\n" if os.isatty(descriptor) else ""
            os.write(descriptor, f"{prefix}{MESSAGE}\n".encode())
