"""The vocabulary of losses: which there are, their parameters, and what each asks of a stage. Pure data."""

from typing import Annotated

from pydantic import Field, model_validator

from harness.reid.spec import NonNegative, Positive, Spec, refusal


class SoftmaxSpec(Spec):
    """Cross-entropy over the training identities (eq. 3)."""

    weight: NonNegative = 0.0
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0


class TripletSpec(Spec):
    """Batch-hard triplet loss (eq. 4)."""

    weight: NonNegative = 0.0
    epsilon: NonNegative = 0.5


class QuadrupletSpec(Spec):
    """Quadruplet-hard loss (eq. 5)."""

    weight: NonNegative = 0.0
    epsilon1: NonNegative = 0.5
    epsilon2: NonNegative = 0.2


class SacSpec(Spec):
    """Self-attention constraint (eq. 1 and 2)."""

    weight: NonNegative = 0.0


class CircleSpec(Spec):
    """Circle loss on cosines (Sun et al. 2020, eq. 6 to 10); the defaults are that paper's for re-ID."""

    weight: NonNegative = 0.0
    margin: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.25
    """The relaxation m: positives are pulled towards 1 - m, negatives pushed towards m."""
    gamma: Positive = 128.0


class ContrastiveSpec(Spec):
    """Contrastive loss on distances: positives nearer than ``pos_margin``, negatives farther than ``neg_margin``.

    After Hadsell et al. 2006, in pytorch-metric-learning's form: hinges on distances, not on their squares.
    """

    weight: NonNegative = 0.0
    pos_margin: NonNegative = 0.0
    neg_margin: Positive = 1.0

    @model_validator(mode="after")
    def _positives_come_nearer_than_negatives(self) -> "ContrastiveSpec":
        if self.pos_margin > self.neg_margin:
            found = f"found {self.pos_margin:g}, expected at most neg_margin, {self.neg_margin:g}"
            raise refusal("pos_margin", found)
        return self


class CenterSpec(Spec):
    """Center loss (Wen et al. 2016, eq. 2 to 4), beside a loss that keeps identities apart."""

    weight: NonNegative = 0.0
    alpha: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """The rate at which centres move to the mean of their samples; the optimiser's rate does not touch them."""


class ArcFaceSpec(Spec):
    """ArcFace, an additive angular margin (Deng et al. 2019, eq. 3), with a centre for each training identity."""

    weight: NonNegative = 0.0
    margin_degrees: Annotated[float, Field(ge=0.0, lt=90.0)] = 28.6
    """0.5 radians, as in the paper."""
    scale: Positive = 64.0


class CosFaceSpec(Spec):
    """CosFace, an additive margin on the cosine (Wang et al. 2018, eq. 4), with a centre for each training identity."""

    weight: NonNegative = 0.0
    margin: Annotated[float, Field(ge=0.0, le=1.0)] = 0.35
    scale: Positive = 64.0


class CustomLossSpec(Spec):
    """A user's own loss: ``implementation`` names ``package.module:function``, as ``docs/tables.md`` shows."""

    implementation: str
    weight: NonNegative = 0.0
    supervised: bool = True
    """Whether a stage with this loss alone is worth training."""
    options: dict[str, float | int | bool | str] = {}


class LossesSpec(Spec):
    """All losses with their weights; weight 0 means off, and an off loss leaves no trace in a stage."""

    softmax: SoftmaxSpec = SoftmaxSpec()
    triplet: TripletSpec = TripletSpec()
    quadruplet: QuadrupletSpec = QuadrupletSpec()
    sac: SacSpec = SacSpec()
    circle: CircleSpec = CircleSpec()
    contrastive: ContrastiveSpec = ContrastiveSpec()
    center: CenterSpec = CenterSpec()
    arcface: ArcFaceSpec = ArcFaceSpec()
    cosface: CosFaceSpec = CosFaceSpec()
    custom: dict[str, CustomLossSpec] = {}
    normalize_embeddings: bool = False
    """Whether the losses on distances (triplet, quadruplet, contrastive, center) see l2-normalised embeddings."""

    def named(self) -> dict[str, Spec]:
        """Every loss by name, the user's own last."""
        return {name: getattr(self, name) for name in BUILT_IN_LOSSES} | dict(self.custom)

    def active(self) -> dict[str, Spec]:
        """Those whose weight is above 0."""
        return {name: loss for name, loss in self.named().items() if getattr(loss, "weight", 0.0) > 0.0}


BUILT_IN_LOSSES = tuple(name for name in LossesSpec.model_fields if name not in {"custom", "normalize_embeddings"})
LIBRARY_LOSSES = frozenset({"circle", "contrastive", "arcface", "cosface"})
"""Those that pytorch-metric-learning computes, an extra of this package."""
UNSUPERVISED = frozenset({"sac", "center"})
"""Those that alone keep no identities apart: a stage is not trained for them."""
BY_CLASS = frozenset({"center", "arcface", "cosface"})
"""Those that keep something for each training identity, of the embedding's size."""
IDENTITIES_NEEDED = {"triplet": 2, "quadruplet": 3, "circle": 2, "contrastive": 2}
"""Those that need two images or more of every identity in a batch, with the fewest identities of a batch."""
ON_DISTANCES = frozenset({"triplet", "quadruplet", "contrastive", "center"})
"""Those that ``normalize_embeddings`` concerns."""
