"""Runs one stage in this process: lock, work, finish; and explains every way in which it can fail.

Owns the way from a stage to its outcome, which is the same in every executor. Refuses order, processes and devices.
"""

import logging
import os
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.errors import InputError, StageError
from harness.execute.disk import explain_os_error
from harness.execute.lease import StageTakenError
from harness.execute.manifest import ERROR
from harness.execute.protocol import PREFIXES, Event, Outcome
from harness.execute.store import Store
from harness.formatting import first_line
from harness.loaded import late_imports_checked, require_code
from harness.plan.stage import Stage
from harness.plugins import load_object
from harness.trainer import Task, Work

_log = logging.getLogger(__name__)

_OUT_OF_MEMORY_NAMES = frozenset({"OutOfMemoryError", "MemoryError"})
_OUT_OF_MEMORY_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory", "ALLOC_FAILED")


def run_stage(
    store: Store, stage: Stage, work: str, context: Mapping[str, Any], on_event: Callable[[Event], None]
) -> Outcome | None:
    """Runs one stage unless it is already complete or locked by another process.

    Reports ``started`` and ``progress``; warnings from the work become progress events with a ``warning``.

    Args:
        store: Where the stage's folder is.
        stage: The stage; its parent, if any, is complete.
        work: The work function, ``module:function``.
        context: Options for the work that change no result: device, threads, folders.
        on_event: Called for the start and for progress.

    Returns:
        ``succeeded``, ``cached`` or ``failed``; None if another process has locked the stage, or another machine took
        it over meanwhile. An interruption (KeyboardInterrupt) is not an outcome and propagates.
    """
    started = time.monotonic()

    def emit(detail: Mapping[str, Any]) -> None:
        on_event(Event("progress", stage.fingerprint, {"name": stage.name, **detail}))

    try:
        if store.is_complete(stage.fingerprint):
            return Outcome("cached", store.result(stage.fingerprint))
        with _warnings_as_events(emit), store.lock(stage.fingerprint) as free:
            if not free:
                return None
            if store.is_complete(stage.fingerprint):
                store.sweep(stage.fingerprint)
                return Outcome("cached", store.result(stage.fingerprint))
            where = {"name": stage.name, "device": context.get("device", "cpu"), "pid": os.getpid()}
            on_event(Event("started", stage.fingerprint, where))
            result = _run(store, stage, work, context, emit)
            return Outcome("succeeded", result, seconds=time.monotonic() - started)
    except StageTakenError as taken:
        emit({"warning": str(taken)})
        return None
    except Exception as error:  # whatever a stage raises is its outcome and never ends the executor
        return Outcome("failed", reason=_explain(error, store, stage, context), seconds=time.monotonic() - started)


def _run(
    store: Store, stage: Stage, work: str, context: Mapping[str, Any], emit: Callable[[Mapping[str, Any]], None]
) -> dict[str, Any]:
    if stage.parent is not None and not store.is_complete(stage.parent):
        raise StageError(f"the result of its parent {stage.parent[:8]} is damaged or gone; run the same command again")
    parent_folder = None if stage.parent is None else store.fetch(stage.parent)
    require_code(stage.code, stage.settings.get("code", ""))
    function: Work = load_object(work)

    def report(detail: Mapping[str, Any]) -> None:
        store.check_lock(stage.fingerprint)
        emit(detail)

    folder = store.begin(stage.fingerprint)
    prefix_folder = _fetch_prefix(store, context.get(PREFIXES, {}).get(stage.fingerprint))
    task = Task(stage.kind, stage.name, stage.settings, folder, parent_folder, context, prefix_folder)
    with late_imports_checked():
        result = function(task, report)
    store.finish(stage, result)
    return result


def _fetch_prefix(store: Store, prefix: str | None) -> Path | None:
    """Fetches the stage to continue from. Without it the stage takes longer; its result is the same."""
    if prefix is None or not store.is_complete(prefix):
        return None
    try:
        return store.fetch(prefix)
    except InputError as error:  # a file is damaged, or the store does not answer just now
        _log.warning("the first epochs of this stage cannot be reused, so it starts from scratch: %s", error)
        return None


def explain_death(exit_code: int | None, stage: Stage, last_words: str) -> str:
    """Explains why a worker process ended without an outcome, judging by its exit code and its output.

    Args:
        exit_code: As in ``subprocess``: the negative signal number for a process that a signal killed.
        stage: The stage that it ran.
        last_words: The end of its output.
    """
    if exit_code == -9:
        message = f"its worker was killed (SIGKILL), usually because memory ran out; {spare_memory(stage)}"
    elif exit_code is not None and exit_code < 0:
        message = f"its worker was killed by signal {-exit_code}"
    else:
        message = f"its worker ended without a result (exit code {exit_code})"
    return f"{message} (last output: {last_words})" if last_words else message


def _explain(error: Exception, store: Store, stage: Stage, context: Mapping[str, Any]) -> str:
    """Explains an error to the user; the traceback of an unexpected one goes to ``error.txt`` in the folder."""
    folder = store.folder(stage.fingerprint)
    if isinstance(error, InputError | StageError):
        return str(error)
    if isinstance(error, OSError) and (message := explain_os_error(error, folder)):
        return message
    if _is_out_of_memory(error):
        return f"out of memory on {context.get('device', 'cpu')}: {spare_memory(stage)} ({first_line(error)})"
    kept = ""
    try:
        (folder / ERROR).write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        kept = f"; the full traceback is in {folder / ERROR}"
    except OSError as failure:
        kept = f"; its traceback could not be written ({failure})"
    return f"{type(error).__name__}: {first_line(error)} ({_place(error)}){kept}"


def _is_out_of_memory(error: BaseException) -> bool:
    """Judged by name and message: it is mostly torch's error, and torch is not imported here."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & _OUT_OF_MEMORY_NAMES) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY_WORDS)
    )


def spare_memory(stage: Stage) -> str:
    """Returns advice on how to make a stage use less memory."""
    return stage.memory_advice or "run fewer workers on this device (--workers)"


def _place(error: BaseException) -> str:
    """Returns ``folder/file.py:line`` of the innermost call."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return "no traceback"
    path = Path(frames[-1].filename)
    return f"{path.parent.name}/{path.name}:{frames[-1].lineno}"


@contextmanager
def _warnings_as_events(emit: Callable[[Mapping[str, Any]], None]) -> Iterator[None]:
    """Emits Python warnings, and the harness's log records of level WARNING and above, as progress."""

    class EventHandler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            emit({"warning": record.getMessage()})

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        emit({"warning": str(message)})

    logger, handler = logging.getLogger("harness"), EventHandler(logging.WARNING)
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = show
            yield
    finally:
        logger.removeHandler(handler)
