"""Counts a network's parameters and multiply-adds without allocating or computing anything."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from harness.reid.models.levels import Options
from harness.reid.models.network import build_network
from harness.reid.models.sources import NONE, is_own


@dataclass(frozen=True)
class Cost:
    """The cost of a network for one image."""

    parameters: int
    multiply_adds: int
    """Of convolutions and linear layers; everything else is small beside them and is left out, as is usual."""


def network_cost(
    *,
    backbone: str,
    output_stride: int,
    stage6: bool,
    stage6_dilation: int,
    multi_level: bool,
    embedding_dim: int,
    classes: int | None,
    height_px: int,
    width_px: int,
    pooling: str = "average",
    options: Options | None = None,
) -> Cost:
    """The cost of a forward pass of one image at test time, for the arguments of :func:`build_network`.

    The classifier counts, its parameters and its multiply-adds; ``classes=None`` gives the cost of the feature alone,
    which is all that retrieval computes.

    Raises:
        InputError: As :func:`build_network`.
    """
    # A user's own code need not work without values.
    with torch.device("cpu" if is_own(backbone) else "meta"):
        network = build_network(
            backbone=backbone,
            weights=NONE,
            output_stride=output_stride,
            stage6=stage6,
            stage6_dilation=stage6_dilation,
            multi_level=multi_level,
            embedding_dim=embedding_dim,
            classes=classes,
            seed=0,
            height_px=height_px,
            width_px=width_px,
            pooling=pooling,
            options=options,
        ).eval()
        image = torch.zeros(1, 3, height_px, width_px)
    multiply_adds = 0

    def count(layer: nn.Module, _inputs: Any, output: Tensor) -> None:
        nonlocal multiply_adds
        weight = layer.weight
        assert isinstance(weight, Tensor)
        # A weight's first dimension is the output's channels; the rest is what one output value reads.
        multiply_adds += output.numel() * weight[0].numel()

    for module in network.modules():
        if isinstance(module, _ConvNd | nn.Linear):
            module.register_forward_hook(count)
    with torch.inference_mode():
        network(image)
    return Cost(sum(parameter.numel() for parameter in network.parameters()), multiply_adds)
