"""The work of a stage, as a worker calls it: train, or evaluate what the parent stage trained."""

import sys
from typing import Any

from harness.trainer import Emit, Task


def run_stage(task: Task, emit: Emit) -> dict[str, Any]:
    """Carries out ``task`` in its folder and returns the stage's result (JSON-able); see ``training`` and ``scoring``.

    Raises:
        InputError: If the data or the weights are not what the stage needs.
        StageError: If training diverges.
    """
    if "torch" not in sys.modules:
        emit({"doing": "importing torch"})
    if task.kind == "train":
        from harness.reid.train.training import train_stage

        return train_stage(task.settings, task.context, task.folder, task.parent_folder, emit, begun=task.prefix_folder)
    from harness.reid.train.scoring import evaluate_stage

    if task.parent_folder is None:
        raise ValueError(f"stage {task.name}: an evaluation needs a parent")
    return evaluate_stage(task.settings, task.context, task.folder, task.parent_folder, emit)
