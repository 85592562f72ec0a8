"""The resources that a stage requests from a Ray node, and the environment of the processes that run it."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.execute.slot import process_variables
from harness.formatting import counted

_MOST_CPUS = 8
"""CPUs that a stage with a GPU requests by default; it decodes images with them, once."""


@dataclass(frozen=True)
class StageResources:
    """The resources that one stage requests from a node."""

    cpus: int = 1
    gpus: float = 0.0
    """Fractions share a GPU: 0.5 means two stages per GPU."""

    def __str__(self) -> str:
        return f"{counted(self.cpus, 'CPU')} and {counted(self.gpus, 'GPU')}"

    def fits(self, resources: Mapping[str, float]) -> int:
        """Returns how many such stages a node with these resources can run at once."""
        counts = [resources.get("CPU", 0.0) / self.cpus]
        if self.gpus:
            counts.append(resources.get("GPU", 0.0) / self.gpus)
        return int(min(counts) + 1e-9)

    def fill(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the context with the ``device``, ``threads`` and ``memory_fraction`` of such a stage."""
        device = "cuda:0" if self.gpus else "cpu"  # among those that Ray makes visible to the task
        return {**context, "device": device, "threads": self.cpus, "memory_fraction": min(1.0, self.gpus) or 1.0}


def stage_resources(nodes: Sequence[Mapping[str, float]], cpus: int | None, gpus: float | None) -> StageResources:
    """Returns a stage's resources, with defaults for those that the user does not give.

    Args:
        nodes: The resources of each node.
        cpus: CPUs that the user asks for, or None.
        gpus: GPUs that the user asks for, or None.

    >>> stage_resources([{"CPU": 32.0}, {"CPU": 32.0, "GPU": 8.0}], None, None)
    StageResources(cpus=4, gpus=1.0)
    >>> stage_resources([{"CPU": 32.0}, {"CPU": 32.0, "GPU": 8.0}], None, 0.5)
    StageResources(cpus=2, gpus=0.5)
    """
    per_gpu = [node.get("CPU", 0.0) / node["GPU"] for node in nodes if node.get("GPU")]
    if gpus is None:
        gpus = 1.0 if per_gpu else 0.0
    if cpus is None:
        cpus = max(1, min(_MOST_CPUS, int(gpus * min(per_gpu)))) if gpus and per_gpu else 1
    return StageResources(cpus, gpus)


def task_environment(resources: StageResources) -> dict[str, str]:
    """Returns the environment of worker processes; equal for all stages, so that Ray reuses processes."""
    environment = {
        **process_variables(resources.cpus),
        "PYTHONPATH": os.pathsep.join(path or os.curdir for path in sys.path),
    }
    if not resources.gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ""  # without it, Ray shows a task without GPUs all of the node's
    return environment
