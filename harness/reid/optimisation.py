"""The vocabulary of optimisation: optimisers and schedules by name, and which options each reads. Pure data."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from harness.errors import did_you_mean
from harness.reid.spec import Fraction, NonNegative, Positive, PositiveInt, Spec, refusal

TORCH_OPTIMIZERS: dict[str, tuple[str, ...]] = {
    "sgd": ("momentum", "nesterov"),
    "adam": ("betas", "eps", "amsgrad"),
    "adamw": ("betas", "eps", "amsgrad"),
    "adamax": ("betas", "eps"),
    "nadam": ("betas", "eps"),
    "radam": ("betas", "eps"),
    "rmsprop": ("momentum", "eps", "alpha", "centered"),
    "adagrad": ("eps",),
    "adadelta": ("eps",),
}
"""torch's optimisers, each with the options that it reads beside the rate and the decay."""
TIMM_OPTIMIZERS: dict[str, tuple[str, ...]] = {
    "lion": ("betas",),
    "lamb": ("betas", "eps"),
    "lars": ("momentum", "eps", "nesterov"),
    "adan": ("betas", "eps"),
    "adabelief": ("betas", "eps", "amsgrad"),
    "adamp": ("betas", "eps", "nesterov"),
    "adopt": ("betas", "eps"),
    "laprop": ("betas", "eps"),
    "madgrad": ("momentum", "eps"),
    "nadamw": ("betas", "eps"),
    "novograd": ("betas", "eps"),
    "rmsproptf": ("momentum", "eps", "alpha", "centered"),
    "sgdp": ("momentum", "eps", "nesterov"),
    "sgdw": ("momentum", "nesterov"),
}
"""timm's, by timm's own names."""
OPTIMIZERS = {**TORCH_OPTIMIZERS, **TIMM_OPTIMIZERS}
_OPTIONS = ("betas", "eps", "nesterov", "amsgrad", "alpha", "centered")
_BETAS = {"adan": 3}


class OptimizerSpec(Spec):
    """The optimiser of one stage. An option that is not given has its library's default."""

    kind: str = "sgd"
    """One of ``OPTIMIZERS``."""
    lr: Positive
    lr_from_scratch: Positive | None = None
    """Learning rate when no earlier stage was trained (rows that skip stage 1); default: ``lr``."""
    new_layers_multiplier: Positive = 1.0
    """Multiplies the learning rate of layers that the backbone's weights do not cover."""
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    """Of the optimisers that have one; the others pass it over."""
    weight_decay: NonNegative = 5e-4
    decay_all: bool = True
    """Whether biases and the normalisations' scales and shifts decay like the other weights."""
    betas: list[Annotated[float, Field(ge=0.0, lt=1.0)]] | None = None
    eps: Positive | None = None
    nesterov: bool | None = None
    amsgrad: bool | None = None
    alpha: Annotated[float, Field(ge=0.0, lt=1.0)] | None = None
    """RMSprop's smoothing of the squared gradients."""
    centered: bool | None = None

    @model_validator(mode="after")
    def _options_are_those_of_the_optimiser(self) -> "OptimizerSpec":
        if self.kind not in OPTIMIZERS:
            raise refusal("kind", f'"{self.kind}" is not an optimiser; {did_you_mean(self.kind, OPTIMIZERS)}')
        _refuse_unread(self, _OPTIONS, OPTIMIZERS)
        count = _BETAS.get(self.kind, 2)
        if self.betas is not None and len(self.betas) != count:
            raise refusal("betas", f"expected {count} values for {self.kind}, found {len(self.betas)}")
        if self.nesterov and self.kind in TORCH_OPTIMIZERS and self.momentum == 0.0:
            raise refusal("nesterov", "found true with momentum 0; expected a momentum above 0")
        return self

    def options(self) -> dict[str, Any]:
        """Arguments of the optimiser beside the rate and the decay: those that it reads and that are given."""
        given = {name: getattr(self, name) for name in OPTIMIZERS[self.kind]}
        return {name: value for name, value in given.items() if value is not None}

    def settings(self) -> dict[str, Any]:
        """The given options that the optimiser reads, which decide a result."""
        unread = {
            "lr_from_scratch",
            *["momentum"] * ("momentum" not in OPTIMIZERS[self.kind]),
            *["decay_all"] * self.decay_all,
            *(name for name in _OPTIONS if getattr(self, name) is None),
        }
        return self.model_dump(exclude=unread)


SCHEDULES: dict[str, tuple[str, ...]] = {
    "constant": (),
    "step": ("every", "factor"),
    "multistep": ("milestones", "factor"),
    "cosine": ("final",),
    "polynomial": ("power", "final"),
    "one_cycle": ("pct_start", "div_factor", "final_div_factor"),
}
"""Each schedule with the options that it reads beside ``warmup_epochs`` and ``per``."""
_SHAPES = ("milestones", "final", "power", "pct_start", "div_factor", "final_div_factor")


class ScheduleSpec(Spec):
    """The learning rate over a stage; see ``harness.reid.train.schedule`` for each kind's formula."""

    kind: str = "step"
    """One of ``SCHEDULES``."""
    every: PositiveInt = 50
    factor: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
    """The factor of ``step`` and ``multistep``."""
    warmup_epochs: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """The rate rises linearly over these epochs, whatever follows (not before ``one_cycle``, which rises itself)."""
    per: Literal["epoch", "step"] | None = None
    """How often the rate changes; None: at every step for ``one_cycle``, at every epoch for the others."""
    milestones: list[PositiveInt] | None = None
    """Epochs behind which ``multistep`` multiplies."""
    final: Fraction | None = None
    """Share of the rate that ``cosine`` and ``polynomial`` end at; None: 0."""
    power: Positive | None = None
    """Of ``polynomial``; None: 1, a straight line."""
    pct_start: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    """Share of the stage over which ``one_cycle`` rises; None: 0.3."""
    div_factor: Annotated[float, Field(ge=1.0)] | None = None
    """``one_cycle`` starts at the rate divided by this; None: 25."""
    final_div_factor: Annotated[float, Field(ge=1.0)] | None = None
    """``one_cycle`` ends at its start divided by this; None: 10,000."""

    @model_validator(mode="after")
    def _options_are_those_of_the_schedule(self) -> "ScheduleSpec":
        if self.kind not in SCHEDULES:
            raise refusal("kind", f'"{self.kind}" is not a schedule; {did_you_mean(self.kind, SCHEDULES)}')
        _refuse_unread(self, _SHAPES, SCHEDULES)
        if self.kind == "multistep":
            if not self.milestones:
                raise refusal("milestones", "found none, expected the epochs after which the rate falls")
            if sorted(set(self.milestones)) != self.milestones:
                raise refusal("milestones", f"found {self.milestones}, expected epochs in rising order")
        if self.kind == "one_cycle" and self.warmup_epochs:
            found = f"found {self.warmup_epochs}; one_cycle rises itself, over pct_start: expected 0"
            raise refusal("warmup_epochs", found)
        return self

    @property
    def per_step(self) -> bool:
        """Whether the rate changes at every step."""
        return self.kind == "one_cycle" if self.per is None else self.per == "step"

    def settings(self) -> dict[str, Any]:
        """The given options that the schedule reads, which decide a result."""
        read = SCHEDULES[self.kind]
        unread = {name for name in ("every", "factor") if name not in read}
        unread |= {name for name in ("per", *_SHAPES) if getattr(self, name) is None}
        return self.model_dump(exclude=unread)


def _refuse_unread(
    spec: OptimizerSpec | ScheduleSpec, options: tuple[str, ...], kinds: dict[str, tuple[str, ...]]
) -> None:
    """Refuses an option that is given and that the spec's kind does not read."""
    for name in options:
        if getattr(spec, name) is not None and name not in kinds[spec.kind]:
            readers = ", ".join(kind for kind, read in kinds.items() if name in read)
            own = ", ".join(option for option in kinds[spec.kind]) or "no option of its own"
            raise refusal(name, f"{spec.kind} has no {name}, it reads {own}; {name} belongs to {readers}")
