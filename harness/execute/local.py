"""The executor of one machine: a worker process for each slot, alive from stage to stage.

Owns worker processes: starting, feeding, losing and interrupting them. Refuses the choice of the next stage
(``schedule``) and the meaning of a stage's end (``worker``).

A worker is a fresh interpreter whose environment has the slot's thread variables before any library is imported. It
stays alive between stages and between calls, since importing torch takes seconds. Each has its own socket: one that is
killed in the middle of a message cannot garble another's.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe, wait
from threading import Lock
from types import TracebackType
from typing import IO, Any

from harness.execute.protocol import Event, Outcome
from harness.execute.schedule import RETRY_S, Schedule
from harness.execute.slot import Slot
from harness.execute.store import Store
from harness.execute.worker import explain_death
from harness.plan.stage import Stage

GRACE_S = 2.0
"""Seconds that interrupted workers have to exit by themselves."""
_ATTEMPTS = 2
"""Attempts at a stage whose worker is lost; each resumes from the newest checkpoint."""
_MOST_OUTPUT_BYTES = 16 * 2**20
"""Most output of a worker that is kept on disk; the oldest is dropped."""
_LAST_WORDS = 500
"""Characters of a lost worker's output that the failure's reason quotes."""


class LocalExecutor:
    """Runs stages in worker processes on this machine; see ``Executor`` for the promises. POSIX only.

    Use it as a context manager, or call ``close``: workers outlive a call of ``execute``. They never outlive this
    process.

    Args:
        store: Where results live.
        slots: One worker runs in each; see ``share_out``.
    """

    def __init__(self, store: Store, slots: Sequence[Slot]) -> None:
        if not slots:
            raise ValueError("found no slots, expected at least one")
        self.store = store
        self._slots = tuple(slots)
        self._workers: dict[int, _Worker] = {}
        self._one_call = Lock()

    @property
    def capacity(self) -> int:
        """The number of slots."""
        return len(self._slots)

    def __enter__(self) -> "LocalExecutor":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def execute(
        self,
        stages: Sequence[Stage],
        work: str,
        context: Mapping[str, Any],
        on_event: Callable[[Event], None],
    ) -> dict[str, Outcome]:
        """Runs ``stages`` (parents first) with the work ``module:function``; returns their outcomes by fingerprint.

        One call at a time; a second one from another thread waits for the first.

        Raises:
            KeyboardInterrupt: On Ctrl-C, once the workers have ended (a few seconds at most); at once on a second one.
        """
        with self._one_call:
            try:
                schedule = Schedule(stages, self.store, on_event)
                busy: dict[int, Stage] = {}
                losses: dict[str, int] = {}
                while not schedule.done:
                    self._assign(schedule, busy, work, context, on_event)
                    if not busy:
                        time.sleep(RETRY_S / 5)  # every ready stage is locked by another process
                        continue
                    for number in busy:
                        self._workers[number].drop_old_output()
                    for number in self._with_messages(busy):
                        self._listen(number, schedule, busy, losses, on_event)
                return schedule.outcomes
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Interrupts all workers, waits briefly, then kills them. An interruption during the wait kills at once."""
        workers = list(self._workers.values())
        self._workers.clear()
        try:
            for worker in workers:
                worker.interrupt()
            deadline = time.monotonic() + GRACE_S
            for worker in workers:
                worker.join(max(0.0, deadline - time.monotonic()))
        finally:
            for worker in workers:
                worker.kill()

    def _assign(
        self,
        schedule: Schedule,
        busy: dict[int, Stage],
        work: str,
        context: Mapping[str, Any],
        on_event: Callable[[Event], None],
    ) -> None:
        """Assigns ready stages to idle slots."""
        for number, slot in enumerate(self._slots):
            if number in busy:
                continue
            stage = schedule.take(time.monotonic())
            if stage is None:
                return
            busy[number] = stage
            worker = self._workers.get(number)
            if worker is None or not worker.is_alive():
                on_event(Event("starting", stage.fingerprint, {"name": stage.name, "doing": "starting a worker"}))
                worker = self._workers[number] = _Worker(slot)
            worker.send(self.store, stage, work, slot.fill(context))

    def _with_messages(self, busy: Mapping[int, Stage]) -> list[int]:
        """Returns the busy slots whose workers have sent a message or have ended."""
        numbers = {self._workers[number].connection: number for number in busy}
        ready = [numbers[each] for each in wait(list(numbers), timeout=RETRY_S) if isinstance(each, Connection)]
        return [*ready, *(number for number in busy if number not in ready and not self._workers[number].is_alive())]

    def _listen(
        self,
        number: int,
        schedule: Schedule,
        busy: dict[int, Stage],
        losses: dict[str, int],
        on_event: Callable[[Event], None],
    ) -> None:
        """Handles one message of a worker, or its end."""
        worker, stage = self._workers[number], busy[number]
        try:
            message = worker.receive()
        except (EOFError, OSError):
            del busy[number], self._workers[number]
            worker.kill()
            losses[stage.fingerprint] = losses.get(stage.fingerprint, 0) + 1
            reason = explain_death(worker.exit_code, stage, worker.last_words())
            if losses[stage.fingerprint] < _ATTEMPTS:
                detail = {"name": stage.name, "warning": f"{reason}; it is retried in a fresh process"}
                on_event(Event("progress", stage.fingerprint, detail))
                schedule.put_back(stage)
            else:
                schedule.finish(stage, Outcome("failed", reason=f"{reason}; it was tried {_ATTEMPTS} times"))
            return
        if isinstance(message, Event):
            on_event(message)
            return
        del busy[number]
        if message is None:
            schedule.postpone(stage, time.monotonic())
        else:
            schedule.finish(stage, message)


def start_worker(descriptor: int, output: IO[bytes], environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """Starts a worker process that serves over the socket ``descriptor``."""
    return subprocess.Popen(
        [sys.executable, "-m", "harness.execute.serve", str(descriptor)],
        env=environment,
        pass_fds=[descriptor],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        process_group=0,  # keeps a terminal's Ctrl-C away, and lets us kill its children with it
    )


class _Worker:
    """A worker process and the connection to it."""

    def __init__(self, slot: Slot) -> None:
        self.connection, theirs = Pipe()
        self._output = tempfile.TemporaryFile("a+b")  # noqa: SIM115 - lives as long as the worker
        environment = {**os.environ, **slot.environment(), **_import_path()}
        self._process = start_worker(theirs.fileno(), self._output, environment)
        theirs.close()

    @property
    def exit_code(self) -> int | None:
        return self._process.returncode

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def send(self, store: Store, stage: Stage, work: str, context: Mapping[str, Any]) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # it just died, which receive() will find
            self.connection.send((store, stage, work, context))

    def receive(self) -> Event | Outcome | None:
        """Returns an event, or the outcome of the stage (None: it is locked). EOFError if the process ended."""
        if not self.connection.poll() and not self.is_alive():
            raise EOFError  # a child that it left may keep the connection open
        message: Event | Outcome | None = self.connection.recv()
        return message

    def drop_old_output(self) -> None:
        """Truncates the file of its output once that is large; later output is appended."""
        if os.fstat(self._output.fileno()).st_size > _MOST_OUTPUT_BYTES:
            os.ftruncate(self._output.fileno(), 0)

    def last_words(self) -> str:
        """Returns the end of its standard output and error, or the start of a crash report."""
        size = self._output.seek(0, os.SEEK_END)
        self._output.seek(max(0, size - 8192))
        text = " ".join(self._output.read().decode("utf-8", "replace").split())
        crash = text.rfind("Fatal Python error")  # from faulthandler; the innermost calls follow
        return text[crash : crash + _LAST_WORDS] if crash >= 0 else text[-_LAST_WORDS:]

    def interrupt(self) -> None:
        self._process.terminate()

    def join(self, timeout_s: float) -> None:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)

    def kill(self) -> None:
        """Kills the worker and its children, which may outlive it."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self.connection.close()


def _import_path() -> dict[str, str]:
    """Lets a worker import what this process can, and nothing from its working directory by accident."""
    return {"PYTHONPATH": os.pathsep.join(path or os.curdir for path in sys.path), "PYTHONSAFEPATH": "1"}
