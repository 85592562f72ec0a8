"""The stage's optimiser: which parameters decay, and at which rate they learn."""

import pytest
import torch
from torch import nn

from harness.reid.models import build_network
from harness.reid.recipe import OptimizerSpec
from harness.reid.train.loop import make_optimizer


def small_network() -> nn.Module:
    return build_network(
        backbone="test_resnet",
        weights="none",
        output_stride=32,
        stage6=False,
        stage6_dilation=1,
        multi_level=False,
        embedding_dim=8,
        classes=4,
        seed=0,
    )


def test_by_default_all_parameters_decay_in_two_groups() -> None:
    groups = make_optimizer(small_network(), OptimizerSpec(lr=0.1, new_layers_multiplier=2.0)).param_groups
    assert [(group["lr"], group["weight_decay"]) for group in groups] == [(0.1, 5e-4), (0.2, 5e-4)]


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
def test_biases_and_normalisations_may_be_spared_and_then_do_not_shrink(kind) -> None:
    """Without gradients a step is decay alone: a tenth of 0.1 of each weight for SGD and AdamW."""
    network = small_network()
    optimizer = make_optimizer(network, OptimizerSpec(kind=kind, lr=0.1, weight_decay=0.1, decay_all=False))
    grouped = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert {id(parameter) for parameter in grouped} == {id(parameter) for parameter in network.parameters()}
    assert len(grouped) == len(list(network.parameters()))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1.0)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in network.named_parameters():
        assert bool((parameter == 1.0).all()) == (parameter.ndim <= 1), name
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert all(bool((layer.weight == 1.0).all()) for layer in norms)
