"""The work of a step, in a worker: calls the user's function or command, and validates and stores its results."""

import time
from pathlib import Path
from typing import Any

from harness.devices import device_name
from harness.errors import StageError
from harness.loaded import CHANGED
from harness.trainer import Emit, Task
from harness.trainers.command import call_command
from harness.trainers.contents import contents_digest
from harness.trainers.function import call_function
from harness.trainers.results import measured
from harness.trainers.run import open_run


def run_step(task: Task, emit: Emit) -> dict[str, Any]:
    """Runs a step of a ``StepTrainer``.

    Raises:
        StageError: If the user's code fails, or returns anything but the declared metrics, or if its files or inputs
            were changed after this run was planned.
    """
    started = time.monotonic()
    _check_contents(task)
    with open_run(task, emit) as run:
        call = call_function if "function" in task.settings else call_command
        returned = call(task, run)
        metrics = measured(returned, task.settings["metrics"], run, task.folder)
        return {
            **({"metrics": metrics} if task.settings["metrics"] else {}),
            **run.costs,
            "seconds": time.monotonic() - started,
            "steps": run.steps,
            "device": device_name(run.device),
            "threads": run.threads,
            "notes": list(dict.fromkeys(run.notes)),
        }


def _check_contents(task: Task) -> None:
    """Compares declared files and inputs, which the fingerprint names by content, with what the step would read."""
    folder = Path(task.context.get("working_folder", Path.cwd()))
    places = task.context.get("inputs", {})
    planned = [(name, folder / name, digest) for name, digest in task.settings["files"].items()]
    planned += [(name, Path(places[name]), digest) for name, digest in task.settings["inputs"].items()]
    for name, place, digest in planned:
        if contents_digest(place, name) != digest:
            raise StageError(f"{name} {CHANGED}")
