"""The worker process of the local executor: ``python -m harness.execute.serve FD``.

Takes stages from its parent, one after another, over the socket that it inherited as ``FD``, and answers with events
and outcomes. Owns its own end: SIGTERM interrupts the stage, SIGINT is ignored (Ctrl-C is the parent's to handle), and
it ends together with its parent, however that ends, so that no orphan trains on.
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

    def tell(event: Event) -> None:
        connection.send(event)

    while True:
        try:
            store, stage, work, context = connection.recv()
        except EOFError:
            return
        connection.send(run_stage(store, stage, work, context, tell))


def _end_with_parent(descriptor: int) -> None:
    """Ends this process and its children once its parent, who alone has the other end, is gone.

    The store is safe at any moment.
    """
    line = select.poll()
    line.register(descriptor, select.POLLHUP)
    line.poll()
    os.killpg(0, signal.SIGKILL)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # one is enough: a second would interrupt the cleaning up
    raise KeyboardInterrupt


def main(descriptor: int) -> None:
    """Serves over an inherited socket until the parent hangs up or an interruption."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)
    faulthandler.enable()  # the last words of a crash inside a library
    threading.Thread(target=_end_with_parent, args=(descriptor,), daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError, ConnectionResetError):
        serve(Connection(descriptor))


if __name__ == "__main__":
    main(int(sys.argv[1]))
