"""The worker process of the local executor: ``python -m harness.execute.serve FD``.

Receives stages one by one over the socket that it inherited as ``FD``, and answers with events and outcomes. SIGTERM
interrupts the stage; SIGINT is ignored, since the parent handles Ctrl-C. It ends when its parent does, for whatever
reason, so that no orphan keeps training.
"""

import contextlib
import faulthandler
import os
import select
import signal
import sys
import threading
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

from harness.execute.protocol import Event
from harness.execute.worker import run_stage


def serve(connection: "Connection[Any, Any]") -> None:
    """Answers each request (store, stage, work, context) with events and then an outcome, until the parent hangs up."""

    def report(event: Event) -> None:
        connection.send(event)

    while True:
        try:
            store, stage, work, context = connection.recv()
        except EOFError:
            return
        connection.send(run_stage(store, stage, work, context, report))


def _end_with_parent(descriptor: int) -> None:
    """Kills this process and its children once the parent, which alone has the other end, is gone.

    The store survives a kill at any moment.
    """
    line = select.poll()
    line.register(descriptor, select.POLLHUP)
    line.poll()
    os.killpg(0, signal.SIGKILL)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would interrupt the cleanup
    raise KeyboardInterrupt


def main(descriptor: int) -> None:
    """Serves over an inherited socket until the parent hangs up or an interruption."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)
    faulthandler.enable()  # shows where a library crashed
    threading.Thread(target=_end_with_parent, args=(descriptor,), daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError, ConnectionResetError):
        serve(Connection(descriptor))


if __name__ == "__main__":
    main(int(sys.argv[1]))
