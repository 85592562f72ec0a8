"""The work of a stage, as an executor's worker calls it: train, or evaluate what a parent stage trained."""

import sys
from typing import Any

from harness.execute.protocol import Emit, Task

WORK = "harness.train.stage:run_stage"
"""What a plan's executor is told to run."""

CODE_ROOTS = {"train": ("harness.train.training",), "evaluate": ("harness.train.scoring",)}
"""The modules whose code (and whatever they import) decides a stage's result, by kind of stage."""


def run_stage(task: Task, emit: Emit) -> dict[str, Any]:
    """Carries out ``task`` in its folder and returns the stage's result (JSON-able); see ``training`` and ``scoring``.

    Raises:
        InputError: If the data or the weights are not what the stage needs.
        StageError: If training diverges.
    """
    if "torch" not in sys.modules:
        emit({"doing": "importing torch"})
    if task.stage.kind == "train":
        from harness.train.training import train_stage

        return train_stage(
            task.stage.settings, task.context, task.folder, task.parent_folder, emit, begun=task.begun_folder
        )
    from harness.train.scoring import evaluate_stage

    if task.parent_folder is None:
        raise ValueError(f"stage {task.stage.fingerprint}: an evaluation needs a parent")
    return evaluate_stage(task.stage.settings, task.context, task.folder, task.parent_folder, emit)
