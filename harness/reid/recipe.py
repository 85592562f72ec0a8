"""The settings of a recipe: every value that decides what is trained and how it is scored.

Pure data (pydantic), for the code that cuts a recipe into stages (``stages``) and for the stages themselves
(``train``). Nothing here reads files or imports torch. Strict: a value of the wrong type is refused, never
converted, and an unknown key is an error.
"""

from typing import Annotated, Literal, cast

from pydantic import ConfigDict, Field, field_validator, model_validator

from harness.errors import InputError, did_you_mean
from harness.plugins import load_object
from harness.reid.layout import Declared, LayoutSpec
from harness.reid.models.sources import plain_resnet
from harness.reid.objectives import BUILT_IN_LOSSES, UNSUPERVISED, LossesSpec
from harness.reid.optimisation import OptimizerSpec, ScheduleSpec
from harness.reid.spec import Fraction, PositiveInt, Spec, refusal

Pixels = Annotated[int, Field(gt=0, le=10_000)]


class HeldOut(Spec):
    """A share of the *training* identities set aside to choose values on; the test images stay untouched."""

    share: Annotated[float, Field(gt=0.0, lt=1.0)]
    seed: int = 0
    part: Literal["choose", "confirm"] | None = None
    """Of what is held out, the half that is scored on; None: all of it. None of it is trained on in any case."""


class DataSpec(Spec):
    """Which data set, at which size. Where it lies on disk is not part of a recipe."""

    dataset: Declared | None = None
    """A known data set by name, a declared layout, or ``package.module:name`` of a user's reader."""
    train: Declared | None = None
    """Another one to train on; None: ``dataset``."""
    test: Declared | None = None
    """Another one to test on; None: ``dataset``."""
    height_px: Pixels
    width_px: Pixels
    held_out: HeldOut | None = None

    @field_validator("dataset", "train", "test")
    @classmethod
    def _is_known(cls, value: str | LayoutSpec | None) -> str | LayoutSpec | None:
        if value is None or (isinstance(value, str) and ":" in value):
            return value
        try:
            # Loaded by name: which data sets are known is no part of a stage's code.
            load_object("harness.reid.data.known:forms_of")(value)
        except InputError as error:
            raise refusal("" if isinstance(value, str) else "name", str(error)) from None
        return value

    @model_validator(mode="after")
    def _sets_are_named(self) -> "DataSpec":
        if self.dataset is None and (self.train is None or self.test is None):
            raise refusal("dataset", "found none; expected the name of a data set, or train and test")
        return self

    @property
    def trained_on(self) -> str | LayoutSpec:
        """The data set to train on."""
        return cast(str | LayoutSpec, self.dataset if self.train is None else self.train)

    @property
    def tested_on(self) -> str | LayoutSpec:
        """The data set to test on."""
        return cast(str | LayoutSpec, self.dataset if self.test is None else self.test)


class AugmentSpec(Spec):
    """Augmentation of a training batch; see ``harness.reid.data.augment``."""

    flip: Fraction = 0.5
    """Probability of a horizontal flip."""
    pad_px: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Zero padding on every side before a random crop back to size; 0 turns both off."""
    erase: Fraction = 0.0
    """Probability of random erasing (Zhong et al. 2017)."""
    mean: list[float] = [0.485, 0.456, 0.406]
    std: list[Annotated[float, Field(gt=0.0)]] = [0.229, 0.224, 0.225]

    @field_validator("mean", "std")
    @classmethod
    def _three_channels(cls, value: list[float]) -> list[float]:
        if len(value) != 3:
            raise ValueError(f"expected 3 values, one a channel (R, G, B), found {len(value)}")
        return value


class ModelSpec(Spec):
    """The network; see ``harness.reid.models``."""

    backbone: str
    """A timm network by name, or ``package.module:function`` of a user's network."""
    options: dict[str, float | int | bool | str] = {}
    """Further arguments of timm's network (``drop_path_rate: 0.1``) or of the user's function."""
    weights: str = "imagenet"
    """``imagenet`` (timm's weights for the backbone), ``none``, or the path of a file."""
    preprocessing: Literal["recipe", "timm"] = "recipe"
    """Whose mean and standard deviation images are normalised with: ``augment.mean`` and ``std``, or the backbone's."""
    output_stride: Literal[8, 16, 32] = 32
    """32: the strided network. 8: dilated from stage 4 on (DIL)."""
    stage6: bool = False
    """One more block behind stage 5, half its channels (part of DIL)."""
    stage6_dilation: PositiveInt = 2
    multi_level: bool = False
    """Concatenate the pooled maps of stages 4, 5 (and 6) instead of using the last stage alone (Multi)."""
    embedding_dim: Annotated[int, Field(ge=0, le=1_000_000)] = 1024
    """Size of the feature behind pooling; 0: no fully connected layer, the pooled maps are the feature."""
    pooling: Literal["average", "max", "gem"] = "average"
    """Over the positions of a map; ``gem``: the generalised mean with the exponent 3 (Radenovic et al. 2018)."""
    checkpoint_activations: bool = False
    """Compute activations again in the backward pass instead of keeping them: less memory, more time, bit-identical
    results.

    Changes no result, so it is in no fingerprint; one row that asks for it turns it on for a whole run.
    """


class ShuffledSampler(Spec):
    """Every training image once an epoch, in a random order; the last, smaller batch is dropped."""

    kind: Literal["shuffled"]
    batch_size: PositiveInt


class IdentitySampler(Spec):
    """Batches of ``identities`` x ``images`` (P x K)."""

    kind: Literal["identities"]
    identities: PositiveInt
    images: Annotated[int, Field(ge=2, le=1_000_000)]


class StageSpec(Spec):
    """One training stage: which of the losses it may use, and how it optimises them."""

    losses: list[str]
    """Names among ``BUILT_IN_LOSSES`` and the custom losses. Those that a row turns on are used."""
    needs_one_of: list[str] = []
    """The stage is skipped unless the row turns one of these on; empty: any supervised loss of the stage will do."""
    epochs: PositiveInt
    stop_after: PositiveInt | None = None
    """End after this many epochs of a schedule that is laid out for all of them; None: with the last."""
    sampler: Annotated[ShuffledSampler | IdentitySampler, Field(discriminator="kind")]
    optimizer: OptimizerSpec
    schedule: ScheduleSpec = ScheduleSpec()

    @property
    def last_epoch(self) -> int:
        """How many epochs are trained."""
        return self.epochs if self.stop_after is None else self.stop_after


class ArithmeticSpec(Spec):
    """Settings of the arithmetic, which change the result in its last bits."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """Autocast of the network's forward pass; losses and distances are float32 always."""
    tf32: bool = False
    deterministic: bool = False
    """Deterministic algorithms on CUDA (a CPU is deterministic anyway)."""
    compile: bool = False
    """Training through ``torch.compile``, which fuses operations and so rounds elsewhere."""


class RerankSpec(Spec):
    """k-reciprocal re-ranking (Zhong et al. 2017)."""

    enabled: bool = False
    k1: PositiveInt = 20
    k2: PositiveInt = 6
    lambda_: Annotated[float, Field(ge=0.0, le=1.0, alias="lambda")] = 0.3

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)


class OwnMetricSpec(Spec):
    """A metric of the user's own; see ``harness.reid.own_metrics`` for what its function is called with."""

    implementation: str
    title: str = ""
    """In tables; default: the metric's key."""
    better: Literal["higher", "lower"] = "higher"
    unit: Literal["percent", "plain"] = "plain"
    options: dict[str, float | int | bool | str] = {}


class EvaluationSpec(Spec):
    """How a trained network is scored: ``market`` (retrieval) or ``classification`` (error rate)."""

    protocol: Literal["market", "classification"]
    metric: Literal["euclidean", "cosine"] = "euclidean"
    ap: Literal["step", "trapezoid"] = "step"
    epoch: Literal["last"] = "last"
    """Which epoch's weights are scored. Only the last: choosing the best one would choose it on the test images."""
    rerank: RerankSpec = RerankSpec()
    metrics: dict[str, OwnMetricSpec] = {}
    """By key, beside those of the protocol."""


class Recipe(Spec):
    """Everything that decides a row's result, apart from its seed and the data's contents."""

    data: DataSpec
    augment: AugmentSpec = AugmentSpec()
    model: ModelSpec
    losses: LossesSpec = LossesSpec()
    stages: dict[str, StageSpec]
    arithmetic: ArithmeticSpec = ArithmeticSpec()
    evaluation: EvaluationSpec

    @model_validator(mode="after")
    def _stages_name_known_losses(self) -> "Recipe":
        for name in self.losses.custom:
            if name in BUILT_IN_LOSSES:
                raise refusal(f"losses.custom.{name}", f'"{name}" is the name of a built-in loss; choose another')
        if not self.stages:
            raise refusal("stages", "found no stage, expected at least one")
        known = (*BUILT_IN_LOSSES, *self.losses.custom)
        for name, stage in self.stages.items():
            for loss in stage.losses:
                if loss not in known:
                    raise refusal(f"stages.{name}.losses", f'"{loss}" is not a loss; {did_you_mean(loss, known)}')
            if len(set(stage.losses)) < len(stage.losses):
                raise refusal(f"stages.{name}.losses", "a loss is named twice")
            for loss in stage.needs_one_of:
                if loss not in stage.losses:
                    message = did_you_mean(loss, stage.losses)
                    raise refusal(f"stages.{name}.needs_one_of", f'"{loss}" is not a loss of this stage; {message}')
            if stage.last_epoch > stage.epochs:
                message = f"found {stage.stop_after}, expected at most the stage's {stage.epochs} epochs"
                raise refusal(f"stages.{name}.stop_after", message)
        return self

    @model_validator(mode="after")
    def _losses_that_are_on_have_a_stage(self) -> "Recipe":
        for name in self.losses.active():
            if not any(name in stage.losses for stage in self.stages.values()):
                key = f"losses.{name}.weight" if name in BUILT_IN_LOSSES else f"losses.custom.{name}.weight"
                places = " or ".join(f"stages.{stage}.losses" for stage in self.stages)
                raise refusal(key, f"the loss is on but no stage uses it; add {name} to {places}")
        return self

    @model_validator(mode="after")
    def _compiling_decides_what_to_recompute(self) -> "Recipe":
        if self.arithmetic.compile and self.model.checkpoint_activations:
            message = (
                "found true with arithmetic.compile true; the compiler itself chooses what to recompute: turn one off"
            )
            raise refusal("model.checkpoint_activations", message)
        return self

    @model_validator(mode="after")
    def _attention_maps_are_of_one_size(self) -> "Recipe":
        one_size = self.model.output_stride < 32 and self.model.stage6
        constrained = any("sac" in self.active_losses(stage) for stage in self.stages)
        if constrained and not one_size and plain_resnet(self.model.backbone):  # others: when their maps are known
            wanted = "maps of one size from stages 4, 5 and 6: model.output_stride 8 or 16 and model.stage6 true"
            stage6 = str(self.model.stage6).lower()
            found = f"model.output_stride {self.model.output_stride} and model.stage6 {stage6}"
            raise refusal("losses.sac.weight", f"the self-attention constraint needs {wanted}; found {found}")
        return self

    def active_losses(self, stage: str) -> dict[str, Spec]:
        """The losses of ``stage`` whose weight is above 0, by name, in the stage's order."""
        active = self.losses.active()
        return {name: active[name] for name in self.stages[stage].losses if name in active}

    def trained_stages(self) -> tuple[str, ...]:
        """The stages that this recipe trains, in order.

        A stage is skipped unless one of its ``needs_one_of`` losses is on; where it names none, unless one of its
        supervised losses is on (all but ``sac``, ``center`` and custom losses that say ``supervised: false``).
        """
        trained = []
        for name, stage in self.stages.items():
            active = self.active_losses(name)
            supervised = [key for key in active if key not in UNSUPERVISED and getattr(active[key], "supervised", True)]
            if any(loss in active for loss in stage.needs_one_of) if stage.needs_one_of else supervised:
                trained.append(name)
        return tuple(trained)
