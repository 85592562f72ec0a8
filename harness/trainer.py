"""The interface between the harness and the code that it trains.

A *trainer* is any code that takes settings and a seed and returns metrics. It declares its settings (a pydantic model),
its metrics and, for each run, the chain of stages that produces the run's numbers. A stage declares every setting that
can change its result, and the code that computes it: stages with equal settings, code, seed and parent are trained once
and shared. The harness plans, executes, tracks, searches and reports without knowing what a stage computes.

The harness comes with three kinds of trainer: the paper's (``harness.reid.trainer``), a user's Python function and a
user's command (both ``harness.trainers``). A trainer of your own is a subclass of :class:`Trainer`, named in a recipe
as ``trainer: package.module:name``.

This module owns the types that both sides share. It uses no research field's vocabulary and imports nothing heavy.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel

from harness.errors import InputError

SPOOL = "spool.jsonl"
"""The file of step-wise metrics in a stage's folder; see ``harness.spool``."""


@dataclass(frozen=True)
class Metric:
    """A metric: how tables show it, and which direction is better."""

    key: str
    title: str
    better: Literal["higher", "lower"] = "higher"
    percent: bool = True
    """Whether values are fractions that reports print as percentages."""
    decimals: int = 1
    """Digits after the decimal point, of the percentage if ``percent``."""

    @property
    def lower_is_better(self) -> bool:
        """Whether a lower value is better."""
        return self.better == "lower"

    @property
    def scale(self) -> float:
        """The factor from a value to the printed number: 100 for a percentage."""
        return 100.0 if self.percent else 1.0

    def gain(self, difference: float) -> float:
        """Returns a difference with its sign set so that positive is better."""
        return -difference if self.lower_is_better else difference


@dataclass(frozen=True)
class Inputs:
    """What a trainer reads besides its settings, identified by content rather than by path."""

    name: str = ""
    """The data set's display name; empty for a trainer that reads none."""
    contents: Mapping[str, str] = field(default_factory=dict)
    """A digest of the contents of each part (``train``, ``query``; a file's declared path)."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Counts that the trainer reports (images of a split, classes)."""
    root: Path | None = None
    """The folder of the data on this machine."""
    made: str = ""
    """Describes synthetic data ("synthetic, 300 identities, seed 0"); empty for real data."""
    notes: tuple[str, ...] = ()
    """What a reader of the results should know about the data."""
    assumed: bool = False
    """Whether nothing was read: sizes are a release's, contents unknown. Such inputs can be planned with, never run."""
    sets: tuple["Inputs", ...] = ()
    """Each data set by itself, where rows read several: ``contents`` and ``sizes`` then have ``NAME/PART`` as keys."""

    @property
    def places(self) -> str:
        """The folders of the data on this machine, for people; empty for none."""
        return ", ".join(str(one.root) for one in self.sets or (self,) if one.root)


@dataclass(frozen=True)
class Found:
    """Where data sets are."""

    roots: Mapping[str, Path] = field(default_factory=dict)
    """The folder of each data set that was found, by its name."""
    looked: Sequence[Path] = ()
    """The places searched."""
    missing: Sequence[str] = ()
    """The names of the data sets that were not found."""


@dataclass(frozen=True)
class StageSpec:
    """One stage of a run, as its trainer declares it. Its parent is the stage before it in the chain."""

    kind: str
    """What the stage does, such as ``train`` or ``evaluate``."""
    name: str
    """Display name: the recipe's name for the stage."""
    settings: Mapping[str, Any]
    """Plain data: everything that can change the result besides the code and the parent's result."""
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
    """What a fair comparison of two rows keeps equal besides ``epochs``, by display name (steps, sampler).

    Not part of the fingerprint. Plans and reports mention with an effect or a claim in what its rows differ.
    """


Part = Literal["choose", "confirm"]
"""Parts of a search's held-out data: trials are scored on one, the chosen point is measured on the other."""

PARTS: tuple[Part, ...] = get_args(Part)

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
    """What cannot change the result, and is in no fingerprint: device, threads, paths of inputs."""
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


class UntrainableError(InputError):
    """Raised by ``Trainer.stages`` for settings that train nothing; the row is refused."""


class Trainer(ABC):
    """The base class of trainers; see the module. Only ``settings``, ``work`` and two methods are required."""

    settings: type[BaseModel]
    """The model that a recipe's values are validated against."""
    work: str
    """``package.module:function``: the :data:`Work` of every stage."""
    probe: str = ""
    """``package.module:function`` that measures a stage's speed in a few steps; empty for none."""
    synthetic: type[BaseModel] | None = None
    """The model of a profile's ``synthetic:`` block; None if the trainer generates no data."""
    uniform: tuple[str, ...] = ()
    """Dotted settings that all rows of a table must share."""
    measuring: tuple[str, ...] = ()
    """Sections of the settings that define how results are measured; a search must not vary them."""
    artifacts: tuple[str, ...] = ()
    """Files of a run's last stage that are logged to the tracker, besides ``units.npz``."""

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

    def untrainable(self, settings: BaseModel) -> str:  # noqa: ARG002
        """Returns why these settings train nothing, without knowing the inputs; empty if they train."""
        return ""

    def dataset(self, settings: Mapping[str, Any]) -> str:  # noqa: ARG002
        """Returns the data set that settings (nested mappings, not yet validated) name; empty for none."""
        return ""

    def misfit(self, settings: BaseModel, synthetic: BaseModel) -> tuple[str, str] | None:  # noqa: ARG002
        """Returns the dotted setting that a profile's synthetic data contradicts, and why; None if it fits."""
        return None

    def find(
        self,
        settings: Sequence[Mapping[str, Any]],  # noqa: ARG002
        candidates: Sequence[Path],  # noqa: ARG002
        named: Mapping[str, Path],  # noqa: ARG002
        *,
        training_only: bool = False,  # noqa: ARG002
    ) -> Found:
        """Looks for the data sets that rows name.

        Args:
            settings: The rows' settings, nested mappings that are not yet validated.
            candidates: The folders, in order; a data set is taken from the first that holds it.
            named: The folders that the user named for one data set, by its name; it is looked for nowhere else.
            training_only: Whether only training data is looked for, for a search.

        Raises:
            InputError: If ``named`` has a name that no row reads.
        """
        return Found()

    def release(self, settings: Sequence[Mapping[str, Any]]) -> Inputs | None:  # noqa: ARG002
        """Returns ``assumed`` inputs, known from the data's release, for plans without the files; None if unknown.

        The contents have a key for every part that stages read; their values are never used.
        """
        return None

    def inputs(self, request: "InputRequest") -> Inputs:  # noqa: ARG002
        """Opens (or generates) and identifies what the stages read.

        Raises:
            InputError: If something is missing or damaged.
        """
        return Inputs()

    def context(self, settings: Sequence[BaseModel], inputs: Inputs, cache: Path) -> dict[str, Any]:  # noqa: ARG002
        """Returns the trainer's part of a task's context: paths of inputs, and options that change no result.

        Args:
            settings: The settings of all rows.
            inputs: As ``inputs`` returned them.
            cache: The store's folder for decoded or converted inputs.
        """
        return {}

    def hold_out(self, settings: BaseModel, held_out: Mapping[str, Any], part: Part) -> BaseModel:  # noqa: ARG002
        """Returns the settings with part of the training data held out for scoring, for a search.

        A score on data that chose a point is biased in its favour, so other data should confirm it. A trainer that
        cannot split its held-out data returns the same settings for both parts, and the search's report says so.

        Args:
            settings: The settings of a point.
            held_out: The ``held_out:`` block of the search's file.
            part: The part to score on. Neither part is trained on.

        Raises:
            InputError: If the trainer holds nothing out.
        """
        raise InputError("this trainer declares no held-out data, so there is nothing to choose values on")

    def stops(self, settings: BaseModel, every: int) -> Mapping[int, Mapping[str, Any]]:  # noqa: ARG002
        """Returns, by epoch, the settings (by dotted key) that stop the last stage every ``every`` epochs.

        The last entry is the whole stage, with no settings. Without stops a search prunes nothing.
        """
        return {}

    def matched(self, settings: BaseModel, other: BaseModel) -> BaseModel:  # noqa: ARG002
        """Returns settings that train as another row does (its stages, steps, samplers) but keep their own losses.

        A row's gain over this control is not due to longer training. A trainer without such controls does not override
        this, and its tables cannot ask for ``controls: matched``.

        Args:
            settings: The settings of the row that trains less.
            other: The settings of the row that it is compared with.

        Raises:
            UntrainableError: If there is no such training; the reason continues a sentence ("it trains ...").
        """
        raise UntrainableError("this recipe's trainer makes no matched controls")

    def params(self, settings: BaseModel) -> Mapping[str, Any]:  # noqa: ARG002
        """Returns the few settings, besides the factors, by which runs are compared in the tracker."""
        return {}

    def costs(self, stages: Sequence[Mapping[str, Any]], inputs: Inputs) -> Mapping[str, int]:  # noqa: ARG002
        """Returns costs that are known without training: ``parameters``, ``multiply_adds`` (one input, test time).

        Args:
            stages: The settings of the run's stages, in order.
            inputs: The inputs that they read.
        """
        return {}

    def load(self, settings: BaseModel, folders: Sequence[Path]) -> Any:  # noqa: ARG002
        """Loads a finished run's product, such as a model; by default returns the folder of its last stage.

        Args:
            settings: The settings of the row.
            folders: The folders of the run's stages, in order.
        """
        return folders[-1]

    def cost_key(self, stages: Sequence[Mapping[str, Any]], inputs: Inputs) -> Any:  # noqa: ARG002
        """Returns plain data that decides ``costs``, as their cache key; None if there are no costs."""
        return None


@dataclass(frozen=True)
class InputRequest:
    """The arguments of ``Trainer.inputs``."""

    settings: Sequence[BaseModel]
    """The settings of all rows of the table."""
    roots: Mapping[str, Path]
    """The folders that ``find`` returned; empty: generate the synthetic data, or read what the settings name."""
    synthetic: BaseModel | None
    """The profile's ``synthetic:`` block."""
    store: Path
    """The store's folder on this machine; trainers may write to its ``cache`` and ``data``."""
    training_only: bool = False
    """Whether only training data may be read, for a search."""
    progress: Callable[[str, int, int], None] = lambda _what, _done, _all: None
    """Callback: a description of the work, how much is done, and of how much."""
