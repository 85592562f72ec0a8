"""Calls a user's function, and turns what it raises into a reason that a person can act on."""

import traceback
from pathlib import Path
from typing import Any

from harness.errors import InputError, StageError
from harness.plugins import load_object
from harness.trainer import Task
from harness.trainers.run import Run
from harness.trainers.settings import annotation_of, settings_for


def call_function(task: Task, run: Run) -> Any:
    """Returns what the function of a step returns.

    Raises:
        StageError: If it raises; names the error and the line of the user's code.
    """
    reference = task.settings["function"]
    function = load_object(reference)
    settings = settings_for(task.settings["settings"], annotation_of(function))
    try:
        return function(settings, run)
    except (InputError, StageError, MemoryError):
        raise
    except Exception as error:
        if type(error).__name__ == "OutOfMemoryError" or "out of memory" in str(error):
            raise  # the executor knows which setting to lower
        raise StageError(f"{reference} raised {type(error).__name__}: {error} ({_place(error)})") from error


def _place(error: BaseException) -> str:
    """``file.py:line`` of the innermost call in the user's own code, else of the innermost of all."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not {"site-packages", "harness"} & set(Path(frame.filename).parts)]
    frame = (own or list(frames))[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"
