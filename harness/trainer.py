"""The door between the harness and whatever it trains: what a trainer declares, and what its work is given.

A *trainer* is any code that takes settings and a seed and gives metrics. It declares its settings (a pydantic model),
its metrics, and for each run the chain of stages that produces the run's numbers. A stage names every setting that can
change its result and the code that computes it: stages that are equal in both, in their seed and in their parent are
trained once and shared. The harness plans, executes, tracks, searches and reports without knowing what a stage
computes.

Three kinds of trainer come with the harness: the paper's (``harness.reid.trainer``), a user's Python function and a
user's command (both ``harness.trainers``). A trainer of your own is a subclass of :class:`Trainer`, named in a recipe
as ``trainer: package.module:name``.

This module owns the words that both sides share. It refuses any field's vocabulary, and imports nothing heavy.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel

from harness.errors import InputError

SPOOL = "spool.jsonl"
"""The file in a stage's folder with its step-wise figures; see ``harness.spool``."""


@dataclass(frozen=True)
class Metric:
    """A metric as tables show it, and which direction is better."""

    key: str
    title: str
    better: Literal["higher", "lower"] = "higher"
    percent: bool = True
    """Whether values are fractions that reports print as percentages."""
    decimals: int = 1
    """Digits behind the point, of a percentage where ``percent``."""

    @property
    def lower_is_better(self) -> bool:
        """Whether a lower value is better."""
        return self.better == "lower"

    @property
    def scale(self) -> float:
        """Multiplies a value for people: 100 for a percentage."""
        return 100.0 if self.percent else 1.0

    def gain(self, difference: float) -> float:
        """A difference with its sign turned so that positive is better."""
        return -difference if self.lower_is_better else difference


@dataclass(frozen=True)
class Inputs:
    """What a trainer reads besides its settings: identified by content, never by where it lies."""

    name: str = ""
    """The data set's name, for people; empty for a trainer that reads none."""
    contents: Mapping[str, str] = field(default_factory=dict)
    """A digest of the contents of each part (``train``, ``query``; a file's declared path)."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """How many there are of what the trainer counts (images of a split, classes)."""
    root: Path | None = None
    """Where the data lies on this machine."""
    made: str = ""
    """What a synthetic data set is ("synthetic, 300 identities, seed 0"); empty for real data."""
    notes: tuple[str, ...] = ()
    """What a reader of the results should know of the data."""
    assumed: bool = False
    """Whether nothing was read: the sizes are those of a release, the contents are unknown. Such inputs can be planned
    with, and never run."""


@dataclass(frozen=True)
class StageSpec:
    """One stage of a run, as its trainer declares it. Its parent is the stage before it in the chain."""

    kind: str
    """What the stage does, for instance ``train`` or ``evaluate``."""
    name: str
    """For people: the recipe's name of the stage."""
    settings: Mapping[str, Any]
    """Plain data: everything that can change the result, apart from the code and the parent's result."""
    code: tuple[str, ...]
    """Modules or ``package.module:name`` references whose code, with all that it imports, decides the result."""
    epochs: int = 0
    """Epochs that the stage trains."""
    amount: int = 1
    """Units of work: whatever its duration is proportional to (images seen)."""
    alike: Mapping[str, Any] = field(default_factory=dict)
    """What a unit of work costs: stages of equal ``kind`` and ``alike`` run at the same speed."""
    memory_advice: str = ""
    """Which setting to lower when memory runs out."""
    budget: Mapping[str, Any] = field(default_factory=dict)
    """What a fair comparison of two rows keeps alike besides ``epochs``, by its name for people (steps, sampler).

    Part of no fingerprint. Plans and reports mention beside an effect or a claim what its rows do not have alike.
    """


Part = Literal["choose", "confirm"]
"""Of the data that a search holds out: what its trials are scored on, and what measures the chosen point afterwards."""

PARTS: tuple[Part, ...] = get_args(Part)

Emit = Callable[[Mapping[str, Any]], None]
"""Called inside a stage with its progress, any subset of: epoch, epochs, step, steps, loss, images_per_s.

Where nothing of that is known yet: ``doing``, what goes on, in words, and where it can be counted, ``done`` and ``of``.
"""


@dataclass(frozen=True)
class Task:
    """What the work of a stage is given."""

    kind: str
    name: str
    settings: Mapping[str, Any]
    """As declared in ``StageSpec``, with ``code``: the digest of the code."""
    folder: Path
    """The stage's own folder; checkpoints, the spool and the results live here."""
    parent_folder: Path | None
    """The finished parent's files; None for the first stage of a chain."""
    context: Mapping[str, Any]
    """Circumstances that cannot change the result: device, threads, where inputs lie, ... (in no fingerprint)."""
    prefix_folder: Path | None = None
    """The files of a stage that trained the first epochs of this one, if they are still whole."""


Work = Callable[[Task, Emit], dict[str, Any]]
"""Carries out one stage: leaves its files in ``task.folder`` and returns its result, plain JSON data.

The result of a run's last stage holds ``metrics`` (name: number). Any stage's may hold ``seconds``, ``device``,
``notes`` (sentences), ``steps`` (lines in the spool) and costs: ``parameters``, ``multiply_adds``, ``images_per_s``,
``peak_memory_mb``, ``energy_wh``, ``gpu_utilisation``. Where metrics are means over units (queries, examples), the
values by unit go into ``units.npz``; see ``harness.units``. Must be importable by name: workers are other processes.

Raises:
    InputError: For what the user can mend.
    StageError: For a failure with a known reason.
"""


class UntrainableError(InputError):
    """Raised by ``Trainer.stages`` for settings from which nothing can be trained; the row is refused."""


class Trainer(ABC):
    """What the harness asks of a trainer; see the module. Only ``settings``, ``work`` and two methods are required."""

    settings: type[BaseModel]
    """The model that a recipe's values are validated against."""
    work: str
    """``package.module:function``: the :data:`Work` of every stage."""
    probe: str = ""
    """``package.module:function`` that measures a stage's speed in a few steps; empty if there is none."""
    synthetic: type[BaseModel] | None = None
    """The model of a profile's ``synthetic:`` block; None if the trainer makes no data."""
    uniform: tuple[str, ...] = ()
    """Dotted settings that all rows of a table must share."""
    measuring: tuple[str, ...] = ()
    """Sections of the settings that decide how a result is measured: no search may vary them."""
    artifacts: tuple[str, ...] = ()
    """Files of a run's last stage that the tracker keeps, besides ``units.npz``."""

    @abstractmethod
    def metrics(self, settings: BaseModel) -> Mapping[str, Metric]:
        """Returns the metrics that runs with these settings measure, by key."""

    @abstractmethod
    def stages(self, settings: BaseModel, seed: int, inputs: Inputs) -> Sequence[StageSpec]:
        """Returns the chain of stages that gives a run's numbers, the last one holding its metrics.

        Raises:
            UntrainableError: If these settings train nothing.
            InputError: If the inputs lack something that the settings need.
        """

    def untrainable(self, settings: BaseModel) -> str:  # noqa: ARG002
        """Returns why these settings train nothing, before any input is known; empty if they do."""
        return ""

    def dataset(self, settings: Mapping[str, Any]) -> str:  # noqa: ARG002
        """Returns the name of the data set that settings name, as nested mappings not yet validated; empty for none."""
        return ""

    def misfit(self, settings: BaseModel, synthetic: BaseModel) -> tuple[str, str] | None:  # noqa: ARG002
        """Returns the dotted setting that a profile's synthetic data does not fit and a sentence; None if it fits."""
        return None

    def find(
        self,
        settings: Sequence[Mapping[str, Any]],  # noqa: ARG002
        candidates: Sequence[Path],  # noqa: ARG002
    ) -> tuple[Path | None, Sequence[Path]]:
        """Returns the first candidate folder that holds the data sets that rows name, and the places looked in.

        Args:
            settings: Those of the rows, as nested mappings not yet validated.
            candidates: The folders, in order.
        """
        return None, ()

    def release(self, settings: Sequence[Mapping[str, Any]]) -> Inputs | None:  # noqa: ARG002
        """Returns the rows' data as its release is known to be, ``assumed``, for plans without files; None if unknown.

        Its contents name every part that stages read; what they say of it is never used.
        """
        return None

    def inputs(self, request: "InputRequest") -> Inputs:  # noqa: ARG002
        """Opens (or makes) and identifies what the stages read.

        Raises:
            InputError: If something is missing or damaged.
        """
        return Inputs()

    def context(self, settings: Sequence[BaseModel], inputs: Inputs, cache: Path) -> dict[str, Any]:  # noqa: ARG002
        """Returns the trainer's part of a task's context: where inputs lie, and what changes no result.

        Args:
            settings: Those of all rows of the table.
            inputs: What was opened.
            cache: The store's folder for decoded or converted inputs.
        """
        return {}

    def hold_out(self, settings: BaseModel, held_out: Mapping[str, Any], part: Part) -> BaseModel:  # noqa: ARG002
        """Returns the settings with part of the training data held out to score on, for a search.

        Data that helped to choose a point favours it, so what confirms the point should be other data. A trainer that
        cannot divide what it holds out returns the same for both parts, and the search's report says so.

        Args:
            settings: Those of a point.
            held_out: What the search's file says under ``held_out:``.
            part: Which part to score on. Neither is trained on, whichever is scored.

        Raises:
            InputError: If the trainer holds nothing out.
        """
        raise InputError("this trainer declares no held-out data, so there is nothing to choose values on")

    def stops(self, settings: BaseModel, every: int) -> Mapping[int, Mapping[str, Any]]:  # noqa: ARG002
        """Returns the settings, by dotted key, with which the last stage stops after each multiple of ``every`` epochs.

        By epoch, the whole stage last with no settings. Without stops a search prunes nothing.
        """
        return {}

    def matched(self, settings: BaseModel, other: BaseModel) -> BaseModel:  # noqa: ARG002
        """Returns settings that train as another row does (its stages, steps, samplers), with their own losses alone.

        What a row gains beyond this control is not its longer training's. A trainer that knows no such control leaves
        this out, and tables of it cannot ask for ``controls: matched``.

        Args:
            settings: Those of the row that trains less.
            other: Those of the row that it is compared with.

        Raises:
            UntrainableError: If there is no such training, with the reason as a sentence's rest ("it trains ...").
        """
        raise UntrainableError("this recipe's trainer makes no matched controls")

    def params(self, settings: BaseModel) -> Mapping[str, Any]:  # noqa: ARG002
        """Returns the few settings that a person compares runs by in the tracker, besides the factors."""
        return {}

    def costs(self, stages: Sequence[Mapping[str, Any]], inputs: Inputs) -> Mapping[str, int]:  # noqa: ARG002
        """Returns costs of a run that need no training: ``parameters``, ``multiply_adds`` (one input, test time).

        Args:
            stages: The settings of the run's stages, in order.
            inputs: What they read.
        """
        return {}

    def load(self, settings: BaseModel, folders: Sequence[Path]) -> Any:  # noqa: ARG002
        """Returns what a finished run left, ready to use; by default the folder of its last stage.

        Args:
            settings: Those of the row.
            folders: Those of the run's stages, in order.
        """
        return folders[-1]

    def cost_key(self, stages: Sequence[Mapping[str, Any]], inputs: Inputs) -> Any:  # noqa: ARG002
        """Returns plain data that ``costs`` depends on, so that they are counted once; None for nothing to count."""
        return None


@dataclass(frozen=True)
class InputRequest:
    """What ``Trainer.inputs`` is asked for."""

    settings: Sequence[BaseModel]
    """Those of all rows of the table."""
    root: Path | None
    """The folder that was found; None: make the synthetic data, or read what the settings name."""
    synthetic: BaseModel | None
    """The profile's ``synthetic:`` block."""
    store: Path
    """The store's folder on this machine: its ``cache`` and ``data`` are for trainers to keep things in."""
    training_only: bool = False
    """Whether only training data may be looked at, for a search."""
    progress: Callable[[str, int, int], None] = lambda _what, _done, _all: None
    """Called with what is being done, how much is done, and of how much."""
