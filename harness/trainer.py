"""The interface between the harness and the code that it trains.

A *trainer* is any code that takes settings and a seed and returns metrics. It declares its settings (a pydantic model),
its metrics and, for each run, the chain of stages that produces the run's numbers. A stage declares every setting that
can change its result, and the code that computes it: stages with equal settings, code, seed and parent are trained once
and shared. The harness plans, executes, tracks, searches and reports without knowing what a stage computes.

The harness comes with three kinds of trainer: the paper's (``harness.reid.trainer``), a user's Python function and a
user's command (both ``harness.trainers``). A trainer of your own is a subclass of :class:`Trainer`, named in a recipe
as ``trainer: package.module:name``.

This module has everything that a trainer must declare. What else it may declare (its own data, held-out data for a
search, matched controls, costs, loading) has defaults in ``harness.trainer_defaults``. Neither uses a research field's
vocabulary or imports anything heavy.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from harness.inputs import Found, InputRequest, Inputs
from harness.metric import Metric
from harness.trainer_defaults import PARTS, Part, TrainerDefaults, UntrainableError

__all__ = [
    "PARTS",
    "SPOOL",
    "Emit",
    "Found",
    "InputRequest",
    "Inputs",
    "Metric",
    "Part",
    "StageSpec",
    "Task",
    "Trainer",
    "UntrainableError",
    "Work",
]

SPOOL = "spool.jsonl"
"""The file of step-wise metrics in a stage's folder; see ``harness.spool``."""


@dataclass(frozen=True)
class StageSpec:
    """One stage of a run, as its trainer declares it. Its parent is the stage before it in the chain."""

    kind: str
    """The kind of work, such as ``train`` or ``evaluate``."""
    name: str
    """Display name: the recipe's name for the stage."""
    settings: Mapping[str, Any]
    """Plain data: everything that can change the result besides the code and the parent's result.

    That includes the seed (unless the parent alone depends on it) and the digests of inputs: nothing else adds them.
    """
    code: tuple[str, ...]
    """Modules or ``package.module:name`` references whose code, imports included, computes the result."""
    epochs: int = 0
    """Epochs that the stage trains."""
    amount: int = 1
    """Units of work, to which the duration is proportional (images seen)."""
    alike: Mapping[str, Any] = field(default_factory=dict)
    """Settings that decide the speed: stages of equal ``kind`` and ``alike`` are equally fast per unit of work."""
    memory_advice: str = ""
    """Advice for a user when memory runs out: which setting to lower."""
    budget: Mapping[str, Any] = field(default_factory=dict)
    """Properties that a fair comparison of two rows keeps equal besides ``epochs``, by display name (steps, sampler).

    Not part of the fingerprint. Plans and reports say for each effect or claim how its rows differ in them.
    """


Emit = Callable[[Mapping[str, Any]], None]
"""Callback for a stage's progress, any subset of: epoch, epochs, step, steps, loss, images_per_s.

Before the first step: ``doing``, a description, and if countable ``done`` and ``of``.
"""


@dataclass(frozen=True)
class Task:
    """The arguments of a stage's work."""

    kind: str
    name: str
    settings: Mapping[str, Any]
    """As declared in ``StageSpec``, plus ``code``: the digest of the code."""
    folder: Path
    """The stage's own folder, for checkpoints, the spool and the results."""
    parent_folder: Path | None
    """The folder of the finished parent; None for the first stage of a chain."""
    context: Mapping[str, Any]
    """Values that cannot change the result and are in no fingerprint: device, threads, paths of inputs."""
    prefix_folder: Path | None = None
    """The folder of a finished stage that trained the first epochs of this one, if there is one."""


Work = Callable[[Task, Emit], dict[str, Any]]
"""Runs one stage: writes its files to ``task.folder`` and returns its result, plain JSON data.

The result of a run's last stage has ``metrics`` (name: number). Any stage's may have ``seconds``, ``device``,
``notes`` (sentences), ``steps`` (lines in the spool) and costs: ``parameters``, ``multiply_adds``, ``images_per_s``,
``peak_memory_mb``, ``energy_wh``, ``gpu_utilisation``. If metrics are means over units (queries, examples), the
values by unit go to ``units.npz``; see ``harness.units``. It must be importable by name: workers are other processes.

Raises:
    InputError: For a mistake that the user can fix.
    StageError: For a failure with a known reason.
"""


class Trainer(TrainerDefaults, ABC):
    """The base class of trainers: two attributes and two methods are required, the rest has defaults."""

    settings: type[BaseModel]
    """The model that a recipe's values are validated against."""
    work: str
    """``package.module:function``: the :data:`Work` of every stage."""

    @abstractmethod
    def metrics(self, settings: BaseModel) -> Mapping[str, Metric]:
        """Returns the metrics that runs with these settings measure, by key."""

    @abstractmethod
    def stages(self, settings: BaseModel, seed: int, inputs: Inputs) -> Sequence[StageSpec]:
        """Returns the chain of stages that produces a run's numbers; the last one's result has its metrics.

        Raises:
            UntrainableError: If these settings train nothing.
            InputError: If the inputs lack something that the settings need.
        """
