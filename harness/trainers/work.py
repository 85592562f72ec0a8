"""The work of a step, in a worker: call the user's function or command, check what comes back, write it down."""

import time
from typing import Any

from harness.devices import device_name
from harness.trainer import Emit, Task
from harness.trainers.command import call_command
from harness.trainers.function import call_function
from harness.trainers.results import measured
from harness.trainers.run import open_run


def run_step(task: Task, emit: Emit) -> dict[str, Any]:
    """Carries out a step of a ``StepTrainer``.

    Raises:
        StageError: If the user's code fails, or gives something else than the declared metrics.
    """
    started = time.monotonic()
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
