"""A training stage's settings as the stage reads them: the fingerprinted mapping of the plan, typed again.

The plan writes into a stage only what can change its result; here each part becomes the recipe's own type, so that a
worker that meets a setting it does not know refuses it instead of ignoring it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from harness.reid.optimisation import OptimizerSpec, ScheduleSpec
from harness.reid.recipe import (
    ArithmeticSpec,
    AugmentSpec,
    EvaluationSpec,
    HeldOut,
    IdentitySampler,
    ShuffledSampler,
)

_SAMPLER: TypeAdapter[ShuffledSampler | IdentitySampler] = TypeAdapter(ShuffledSampler | IdentitySampler)


@dataclass(frozen=True)
class ImageSettings:
    """Which images, at which size."""

    splits: Mapping[str, str]
    """Fingerprints of the splits that the stage was planned with."""
    height_px: int
    width_px: int
    held_out: HeldOut | None
    classes: str | None = None
    """Fingerprint of the training split whose classes are scored, where it is not that of the set tested on."""

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> "ImageSettings":
        """From a stage's ``data`` settings."""
        held_out = data.get("held_out")
        return cls(
            splits=data["splits"],
            height_px=data["height_px"],
            width_px=data["width_px"],
            held_out=None if held_out is None else HeldOut.model_validate(held_out),
            classes=data.get("classes"),
        )


@dataclass(frozen=True)
class TrainSettings:
    """Everything that decides the weights a training stage ends with, apart from its parent's weights."""

    name: str
    seed: int
    images: ImageSettings
    augment: AugmentSpec
    model: Mapping[str, Any]
    """Keyword arguments of ``harness.reid.models.build_network`` other than ``classes``, ``seed`` and ``weights``."""
    weights: str | None
    """The identity of the initial weights; None: those of the parent stage."""
    classifier: bool
    losses: Mapping[str, Mapping[str, Any]]
    """The active losses by name, each with its weight and parameters."""
    normalize_embeddings: bool
    sampler: ShuffledSampler | IdentitySampler
    optimizer: OptimizerSpec
    schedule: ScheduleSpec
    epochs: int
    """The number of epochs of the schedule."""
    stop_after: int | None
    """Epochs to train, where that is fewer; the state is then kept for a stage that trains on."""
    arithmetic: ArithmeticSpec

    @property
    def last_epoch(self) -> int:
        """How many epochs are trained."""
        return self.epochs if self.stop_after is None else self.stop_after

    @classmethod
    def read(cls, settings: Mapping[str, Any]) -> "TrainSettings":
        """From the settings of a stage of kind ``train``."""
        return cls(
            name=settings["name"],
            seed=settings["seed"],
            images=ImageSettings.read(settings["data"]),
            augment=AugmentSpec.model_validate(settings["augment"]),
            model=settings["model"],
            weights=settings.get("weights"),
            classifier=settings["classifier"],
            losses=settings["losses"],
            normalize_embeddings=settings.get("normalize_embeddings", False),
            sampler=_SAMPLER.validate_python(settings["sampler"]),
            optimizer=OptimizerSpec.model_validate(settings["optimizer"]),
            schedule=ScheduleSpec.model_validate(settings["schedule"]),
            epochs=settings["epochs"],
            stop_after=settings.get("stop_after"),
            arithmetic=ArithmeticSpec.model_validate(settings["arithmetic"]),
        )


@dataclass(frozen=True)
class EvaluateSettings:
    """Everything that decides the metrics of an evaluation stage, apart from its parent's weights."""

    images: ImageSettings
    mean: tuple[float, ...]
    std: tuple[float, ...]
    model: Mapping[str, Any]
    evaluation: EvaluationSpec
    arithmetic: ArithmeticSpec

    @classmethod
    def read(cls, settings: Mapping[str, Any]) -> "EvaluateSettings":
        """From the settings of a stage of kind ``evaluate``."""
        return cls(
            images=ImageSettings.read(settings["data"]),
            mean=tuple(settings["mean"]),
            std=tuple(settings["std"]),
            model=settings["model"],
            evaluation=EvaluationSpec.model_validate(settings["evaluation"]),
            arithmetic=ArithmeticSpec.model_validate(settings["arithmetic"]),
        )


@dataclass(frozen=True)
class DataPlace:
    """A data set on this machine."""

    dataset: str | Mapping[str, Any]
    """A known data set's name, the reference of a user's reader, or a layout."""
    root: str
    contents: Mapping[str, str] = field(default_factory=dict)
    """Fingerprints of the splits that were opened when the run was planned."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Images of each split, and classes."""


@dataclass(frozen=True)
class Resources:
    """What a stage may use: device, threads, memory, folders. None of it can change its result."""

    data: Sequence[DataPlace]
    """The data sets of the run's stages."""
    cache: str
    """Folder for decoded images and fingerprint indices."""
    weights: Mapping[str, str]
    """Where initial weights are found (``imagenet``, ``none`` or a path), by what identifies their contents."""
    device: str = "cpu"
    threads: int = 1
    memory_fraction: float = 1.0
    """Share of a GPU's memory that the stage may take, where workers share one."""
    log_every: int = 10
    """Steps between two readings of the losses."""
    checkpoint_minutes: float = 5.0
    """Longest time between two checkpoints within an epoch; there is one after every epoch anyway."""
    device_memory_mb: int = 8000
    """Decoded training images up to this size live on the device; larger sets are streamed."""
    decoded_once: bool = True
    """Keep decoded images on disk; otherwise worker processes decode them every time."""
    checkpoint_activations: bool = False
    """Compute activations again in the backward pass instead of keeping them."""

    @classmethod
    def read(cls, context: Mapping[str, Any]) -> "Resources":
        """From an executor's context; keys of no concern to a stage are passed over."""
        values = {name: context[name] for name in cls.__dataclass_fields__ if name in context}
        return cls(**{**values, "data": tuple(DataPlace(**place) for place in context["data"])})

    def place_of(self, splits: Mapping[str, str]) -> DataPlace:
        """The data set that has splits of these fingerprints.

        Raises:
            ValueError: If none has, which a plan never lets happen.
        """
        for place in self.data:
            if splits.items() <= place.contents.items():
                return place
        raise ValueError(f"no data set of the run has the splits {dict(splits)}")
