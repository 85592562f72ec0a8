"""The stage's optimiser, by name, over the network's parameters and those of its losses."""

from collections.abc import Iterable
from typing import Any

import torch
from timm import optim
from torch import nn

from harness.reid.models.network import Network, parameter_groups
from harness.reid.optimisation import TORCH_OPTIMIZERS, OptimizerSpec

_TORCH: dict[str, Any] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "adamax": torch.optim.Adamax,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
    "adadelta": torch.optim.Adadelta,
}
_FUSED = frozenset({"sgd", "adam", "adamw"})


def make_optimizer(
    network: Network, spec: OptimizerSpec, of_losses: Iterable[nn.Parameter] = ()
) -> torch.optim.Optimizer:
    """The stage's optimiser over two groups of parameters: the backbone's, and those its weights do not cover.

    The second has those of the losses, too. Without ``decay_all`` each is two groups: its biases and the
    normalisations' scales and shifts (parameters of one dimension) do not decay.
    """
    backbone, new = parameter_groups(network)
    groups: list[dict[str, Any]] = []
    for parameters, rate in ((backbone, spec.lr), ([*new, *of_losses], spec.lr * spec.new_layers_multiplier)):
        decaying = [one for one in parameters if spec.decay_all or one.ndim > 1]
        others = [one for one in parameters if not spec.decay_all and one.ndim <= 1]
        groups += [{"params": decaying, "lr": rate}] if decaying else []
        groups += [{"params": others, "lr": rate, "weight_decay": 0.0}] if others else []
    options = {**spec.options(), "weight_decay": spec.weight_decay}
    made: torch.optim.Optimizer
    if spec.kind in TORCH_OPTIMIZERS:
        made = _TORCH[spec.kind](groups, **options, **({"fused": True} if spec.kind in _FUSED else {}))
    else:
        made = optim.create_optimizer_v2(groups, opt=spec.kind, **options)  # type: ignore[attr-defined]
    return made
