"""The network of section 3.1: backbone, stage 6, pooled levels, embedding and classifier.

A part that is off does not exist: it has no parameters and no place in the state dict. Initial values depend on nothing
but the seed and the name of the part, so that rows which share a part start it from the same values.
"""

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn

from harness.errors import InputError
from harness.reid.models.backbone import Backbone, build_backbone, build_stage6, channels_of, levels_of
from harness.reid.models.levels import Levels, Options
from harness.reid.models.output import Output
from harness.reid.models.recompute import recomputed
from harness.reid.models.weights import load_weights

_CLASSIFIER_STD = 0.001
_GEM_EXPONENT = 3.0
_GEM_LEAST = 1e-6
"""The root's gradient is infinite at 0, where a map is silent."""


class Network(nn.Module):
    """Images to features: the maps of stages 4, 5 (and 6), pooled over space, through one linear layer.

    Of a backbone that is no ResNet, its last two levels are what stages 4 and 5 are here.

    Built by :func:`build_network`. With ``multi_level`` every level is pooled and the vectors are concatenated, which
    equals pooling the concatenated maps and also works where the levels differ in size (Multi without DIL). Otherwise
    the last level alone is used. No normalisation or activation follows the embedding (the paper names a fully
    connected layer only), and the classifier serves the softmax loss.

    Attributes:
        recompute: Whether training keeps only the input of each residual block and computes the rest again in the
            backward pass (activation checkpointing): less memory and more work, bit-identical results. Of another
            backbone, timm's own checkpoints are used if it has no batch normalisation, and only stage 6 is computed
            again if not.
    """

    def __init__(
        self,
        backbone: Backbone,
        stage6: nn.Sequential | None,
        embedding: nn.Linear | None,
        classifier: nn.Linear | None,
        *,
        multi_level: bool,
        pooling: str = "average",
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.stage6 = stage6
        self.embedding = embedding
        self.classifier = classifier
        self.multi_level = multi_level
        self.pooling = pooling
        self._recompute = False

    @property
    def recompute(self) -> bool:
        """Whether activations are computed again in the backward pass; see the class."""
        return self._recompute

    @recompute.setter
    def recompute(self, recompute: bool) -> None:
        self._recompute = recompute
        if isinstance(self.backbone, Levels):
            self.backbone.set_recompute(recompute)

    def forward(self, images: Tensor) -> Output:
        """The :class:`Output` for ``images`` (B, 3, H, W).

        Pooling and what follows keep float32 under autocast: they cost next to nothing, and distances need the digits.
        """
        of_levels = levels_of(self.backbone, images, self._through)
        if self.stage6 is not None:
            of_levels.append(self._through(self.stage6, of_levels[-1]))
        maps = tuple(of_levels)
        with _full_precision(images.device):
            levels = maps if self.multi_level else maps[-1:]
            embedding = torch.cat([pooled(level, self.pooling) for level in levels], dim=1)
            if self.embedding is not None:
                embedding = self.embedding(embedding)
            logits = None if self.classifier is None else self.classifier(embedding)
        return Output(embedding, logits, maps)

    def _through(self, stage: nn.Sequential, features: Tensor) -> Tensor:
        recompute = self.recompute and torch.is_grad_enabled()
        for block in stage:
            features = recomputed(block, features) if recompute else block(features)
        return features


def _full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Autocast off; on the meta device, where only shapes are computed, there is none."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def pooled(features: Tensor, kind: str) -> Tensor:
    """A map (B, C, H, W) pooled over its positions, (B, C), in float32 at least.

    Args:
        features: The map; for ``gem`` not negative, as it is behind a ReLU.
        kind: ``average``, ``max``, or ``gem``: the generalised mean with the exponent 3, (mean(x^3))^(1/3)
            (Radenovic, Tolias and Chum 2018, equation 3; there the exponent is learned, from 3 on).

    >>> levels = torch.tensor([[[[1.0, 2.0], [3.0, 0.0]]]])  # 1 + 8 + 27 = 36; (36 / 4) ** (1 / 3) = 2.0801
    >>> [round(float(pooled(levels, kind)), 4) for kind in ("average", "max", "gem")]
    [1.5, 3.0, 2.0801]
    """
    precise = torch.promote_types(features.dtype, torch.float32)
    if kind == "max":
        return features.amax((2, 3)).to(precise)
    if kind == "gem":
        return features.to(precise).clamp(min=_GEM_LEAST).pow(_GEM_EXPONENT).mean((2, 3)).pow(1 / _GEM_EXPONENT)
    return features.mean((2, 3), dtype=precise)


def build_network(
    *,
    backbone: str,
    weights: str,
    output_stride: int,
    stage6: bool,
    stage6_dilation: int,
    multi_level: bool,
    embedding_dim: int,
    classes: int | None,
    seed: int,
    height_px: int = 256,
    width_px: int = 128,
    pooling: str = "average",
    options: Options | None = None,
) -> Network:
    """A network on the CPU, in training mode. The global random state is left as it was.

    Initial values: backbone and stage 6 as timm does (He, every residual block the identity at first); the embedding
    He for a linear layer, so that it keeps the features' scale; the classifier normal with a standard deviation of
    0.001, so that training starts from an even guess; biases zero. The last two are choices: the paper gives none.

    Args:
        backbone: A timm network, with or without the tag of its weights, or ``package.module:function``.
        weights: ``imagenet``, ``none``, or the path of a file; see :func:`harness.reid.models.weights.load_weights`.
        output_stride: 32, or 16 or 8 to dilate the last one or two stages instead of striding (DIL: 8).
        stage6: Whether one more stage follows stage 5, of the same structure with half its channels.
        stage6_dilation: Dilation of its 3 x 3 convolutions.
        multi_level: Whether stages 4, 5 (and 6) all feed the feature (Multi), or the last one alone.
        embedding_dim: Size of the feature; 0: no linear layer, the pooled maps are the feature.
        classes: Training identities; ``None``: no classifier.
        seed: Decides all random initial values.
        height_px: Of the images, for networks that are built for one size.
        width_px: Of the images.
        pooling: ``average``, ``max`` or ``gem``; see :func:`pooled`.
        options: Further arguments of the backbone.

    Raises:
        InputError: Unknown backbone, impossible stride, or weights that cannot be had or do not fit.
    """
    if output_stride not in (8, 16, 32):
        raise InputError(f"output_stride: found {output_stride}, expected 8, 16 or 32")
    with _random_values(seed, "backbone"):
        stages = build_backbone(
            backbone,
            output_stride,
            options or {},
            (height_px, width_px),
            lambda whole: load_weights(whole, backbone, weights),
        )
    channels = channels_of(stages)
    extra = None
    if stage6:
        with _random_values(seed, "stage6"):
            extra = build_stage6(backbone, stages, stage6_dilation)
        channels.append(channels[-1] // 2)
    features = sum(channels) if multi_level else channels[-1]
    embedding = classifier = None
    if embedding_dim:
        with _random_values(seed, "embedding"):
            embedding = nn.Linear(features, embedding_dim)
            nn.init.kaiming_normal_(embedding.weight, nonlinearity="linear")
            nn.init.zeros_(embedding.bias)
    if classes is not None:
        with _random_values(seed, "classifier"):
            classifier = nn.Linear(embedding_dim or features, classes)
            nn.init.normal_(classifier.weight, std=_CLASSIFIER_STD)
            nn.init.zeros_(classifier.bias)
    return Network(stages, extra, embedding, classifier, multi_level=multi_level, pooling=pooling)


@contextmanager
def _random_values(seed: int, part: str) -> Iterator[None]:
    """Lends layers, which draw from the CPU's global generator, a stream of their own, then restores the generator."""
    digest = hashlib.sha256(f"{seed}/{part}".encode()).digest()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        yield


class ParameterGroups(NamedTuple):
    """A network's parameters by what the backbone's weights can cover."""

    backbone: list[nn.Parameter]
    new: list[nn.Parameter]
    """Stage 6, embedding and classifier: what has to be learned from nothing."""


def parameter_groups(network: Network) -> ParameterGroups:
    """Every parameter once, so that new layers can have a learning rate of their own.

    The grouping follows the architecture, whatever the weights: with ``weights: none`` the backbone is its own group
    still, and a recipe's multiplier keeps its meaning.
    """
    groups = ParameterGroups([], [])
    for name, parameter in network.named_parameters():
        (groups.backbone if name.startswith("backbone.") else groups.new).append(parameter)
    return groups
