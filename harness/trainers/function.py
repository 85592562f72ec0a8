"""Calls a user's function, and explains its exceptions."""

import traceback
from contextlib import chdir
from pathlib import Path
from typing import Any

from harness.errors import InputError, StageError
from harness.formatting import one_line
from harness.plugins import load_object
from harness.trainer import Task
from harness.trainers.run import Run
from harness.trainers.settings import annotation_of, settings_for


def call_function(task: Task, run: Run) -> Any:
    """Returns what the function of a step returns.

    Raises:
        StageError: If it raises; names the exception and the line in the user's code.
    """
    reference = task.settings["function"]
    function = load_object(reference)
    settings = settings_for(task.settings["settings"], annotation_of(function))
    try:
        with chdir(Path.cwd()):  # the next stage of this process starts in the same folder
            return function(settings, run)
    except (InputError, StageError, MemoryError):
        raise
    except SystemExit as error:
        raise StageError(f"{reference} ended its process: sys.exit({error.code!r}) ({_place(error)})") from error
    except Exception as error:
        message = one_line(error)
        if type(error).__name__ == "OutOfMemoryError" or "out of memory" in message:
            raise  # the executor knows which setting to lower
        name = type(error).__name__
        raise StageError(f"{reference} raised {name}{message and ': '}{message} ({_place(error)})") from error


def _place(error: BaseException) -> str:
    """Returns ``file.py:line`` of the innermost call in the user's own code, else of the innermost call."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not {"site-packages", "harness"} & set(Path(frame.filename).parts)]
    frame = (own or list(frames))[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"
