"""The losses that pytorch-metric-learning computes: the one module that imports it.

An extra of this package (``losses``), loaded by the stages that ask for one. What is not said here
is the library's default.
"""

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from harness.errors import InputError

try:
    from pytorch_metric_learning import distances, losses, reducers
except ModuleNotFoundError as error:
    raise InputError("pytorch-metric-learning is not installed on this machine; add the extra losses") from error

_CENTRE_STD = 0.01
"""Of the class centres' initial values: ArcFace's authors' own; only their direction enters the loss."""


def build(name: str, options: Mapping[str, Any], classes: int, width: int, generator: torch.Generator) -> nn.Module:
    """The loss ``name``, called with embeddings (B, D) in float32 and labels (B,).

    Circle is a mean over the anchors; contrastive a mean over the positive pairs that are too far apart plus one over
    the negative pairs that are too near, on Euclidean distances of what it is given; ArcFace and CosFace are means over
    the batch, each with a parameter ``W`` (D, classes) whose columns are the classes' centres.

    Args:
        name: ``circle``, ``contrastive``, ``arcface`` or ``cosface``.
        options: Its parameters by the recipe's names.
        classes: Training identities.
        width: D.
        generator: For the centres' initial values.
    """

    def centres(weights: Tensor) -> None:
        nn.init.normal_(weights, std=_CENTRE_STD, generator=generator)

    match name:
        case "circle":
            loss = losses.CircleLoss(m=options["margin"], gamma=options["gamma"], reducer=reducers.MeanReducer())
        case "contrastive":
            euclidean = distances.LpDistance(normalize_embeddings=False)
            loss = losses.ContrastiveLoss(**options, distance=euclidean)
        case "arcface":
            margin, scale = options["margin_degrees"], options["scale"]
            loss = losses.ArcFaceLoss(classes, width, margin=margin, scale=scale, weight_init_func=centres)
        case "cosface":
            loss = losses.CosFaceLoss(classes, width, **options, weight_init_func=centres)
        case _:
            raise ValueError(f'pytorch-metric-learning has no loss "{name}" here')
    return cast(nn.Module, loss)
