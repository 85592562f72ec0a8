"""Optional declarations of a trainer besides its settings, metrics and stages; everything here has a default.

Override what your trainer has: its own data, held-out data for searches, matched controls, costs that are known
without training, a way to load what was trained.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel

from harness.errors import InputError
from harness.inputs import Found, InputRequest, Inputs

Part = Literal["choose", "confirm"]
"""Parts of a search's held-out data: trials are scored on one, the chosen point is measured on the other."""

PARTS: tuple[Part, ...] = get_args(Part)


class UntrainableError(InputError):
    """Raised by ``Trainer.stages`` for settings that train nothing; the row is refused."""


class TrainerDefaults:
    """The optional part of :class:`harness.trainer.Trainer`."""

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
            named: The folders that the user named for single data sets, by name; they are looked for nowhere else.
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

    def inputs(self, request: InputRequest) -> Inputs:  # noqa: ARG002
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
