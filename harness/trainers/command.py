"""Calls a user's command: fills its placeholders, runs it without a shell, and reads its metrics from a JSON file.

The command finds the same values in its environment: ``HARNESS_METRICS`` (the JSON file to write), ``HARNESS_SETTINGS``
(JSON), ``HARNESS_SEED``, ``HARNESS_DEVICE``, ``HARNESS_THREADS``, ``HARNESS_FOLDER`` (kept with the results),
``HARNESS_PARENT`` (the previous stage's folder), ``HARNESS_INPUTS`` (JSON: declared path to place), ``HARNESS_LOG``
(append JSON lines such as ``{"step": 1, "loss": 0.5}``), and ``HARNESS_CHECKPOINTS`` (a folder that survives a kill;
rename files into it, since a kill can come at any moment).
"""

import json
import os
import subprocess
import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from harness.checkpoints import FOLDER
from harness.errors import InputError, StageError
from harness.files import regular_file
from harness.spool import read_lines
from harness.trainer import Task
from harness.trainers.placeholders import fill
from harness.trainers.run import Run

_LOG = "command-log.jsonl"
_LAST_LINES = 5
_LINE_BYTES = 4096
_LINE_OF_LOG_BYTES = 2**20
_POLL_S = 0.2
_GRACE_S = 3.0
_MOST_BYTES = 256 * 2**20
"""The largest metrics file (values of tens of millions of units) and log."""


def call_command(task: Task, run: Run) -> Any:
    """Returns the JSON that the command of a step wrote.

    Raises:
        StageError: If it cannot be started, fails, or writes no JSON; quotes the end of its standard error.
    """
    files = run.scratch()
    checkpoints = task.folder / FOLDER
    checkpoints.mkdir(exist_ok=True)
    places: dict[str, Any] = {
        "seed": run.seed,
        "device": run.device,
        "threads": run.threads,
        "folder": run.folder,
        "parent": run.parent or "",
        "metrics": files / "metrics.json",
        "log": task.folder / _LOG,
        "checkpoints": checkpoints,
    }
    words = [fill(word, {**task.settings["settings"], **places}) for word in task.settings["command"]]
    environment = {f"HARNESS_{name.upper()}": str(value) for name, value in places.items()}
    environment["HARNESS_SETTINGS"] = json.dumps(task.settings["settings"])
    environment["HARNESS_INPUTS"] = json.dumps({name: str(place) for name, place in run.inputs.items()})
    log = places["log"]
    try:
        _forward(log, 0, run)  # after a kill it may have steps before the checkpoint that the spool lacks
        log.unlink(missing_ok=True)
        _call(words, environment, str(task.context.get("working_folder", Path.cwd())), run, log)
    except StageError:
        log.unlink(missing_ok=True)
        raise
    log.unlink(missing_ok=True)
    return _read(files / "metrics.json") if task.settings["metrics"] else None


def _call(words: list[str], environment: Mapping[str, str], folder: str, run: Run, log: Path) -> None:
    """Runs the command to its end, and forwards its log."""
    try:
        process = subprocess.Popen(
            words,
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
    except (OSError, ValueError) as error:  # missing, not executable, too long, or with a null byte
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise StageError(f"{words[0]}: cannot be started ({reason})") from error
    assert process.stderr is not None
    last: deque[str] = deque(maxlen=_LAST_LINES)
    reader = threading.Thread(target=_keep_last, args=(process.stderr, last), daemon=True)
    reader.start()
    offset, done = 0, False
    try:
        while not done:
            try:
                process.wait(_POLL_S)
                done = True
            except subprocess.TimeoutExpired:
                pass
            offset = _forward(log, offset, run)
    except BaseException:
        process.terminate()
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise
    reader.join(_GRACE_S)  # a child process may keep the pipe open
    if process.returncode:
        how = f"signal {-process.returncode}" if process.returncode < 0 else f"exit status {process.returncode}"
        said = " | ".join(last) or "it wrote nothing to its standard error"
        raise StageError(f"{Path(words[0]).name} ended with {how}: {said}")


def _keep_last(stream: IO[bytes], last: deque[str]) -> None:
    """Reads a stream to its end and keeps the last lines."""
    while line := stream.readline(_LINE_BYTES):
        if text := line.decode("utf-8", "replace").strip():
            last.append(text)


def _forward(log: Path, offset: int, run: Run) -> int:
    """Logs the lines that the command has added to its log; returns the offset to continue from.

    Raises:
        StageError: If the log or a line of it is too large.
    """
    size = log.stat().st_size if log.exists() else 0
    if size > _MOST_BYTES:
        raise StageError(f"the command's log has {size} bytes, expected at most {_MOST_BYTES}")
    lines, end = read_lines(log, offset)
    if not lines and size - offset > _LINE_OF_LOG_BYTES:
        raise StageError(f"a line of the command's log has more than {_LINE_OF_LOG_BYTES} bytes")
    for line in lines:
        try:
            record = json.loads(line)
            step, steps, epoch = (record.pop(name, None) for name in ("step", "steps", "epoch"))
            if step is None or step > run.steps:  # a resumed command repeats the steps since its checkpoint
                run.log(step, steps=steps, epoch=epoch, **{name: float(value) for name, value in record.items()})
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError, InputError):
            run.note("a line of the command's log is not a JSON object of numbers, and was ignored")
    return end


def _read(path: Path) -> Any:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise StageError(f"the metrics file has {path.stat().st_size} bytes, expected at most {_MOST_BYTES}")
        return json.loads(regular_file(path).read_bytes())
    except FileNotFoundError:
        raise StageError(
            "the command succeeded but wrote no metrics: expected JSON in the file {metrics} ($HARNESS_METRICS)"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise StageError(f"the metrics file is not JSON: {error}") from None
