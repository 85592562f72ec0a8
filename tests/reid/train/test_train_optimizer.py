"""The stage's optimiser: which parameters decay, and at which rate they learn."""

import io

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from harness.reid.models import build_network
from harness.reid.optimisation import OPTIMIZERS, OptimizerSpec
from harness.reid.train.optimizer import make_optimizer


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


def trained(kind: str, steps: int, state: bytes | None = None) -> tuple[bytes, dict[str, torch.Tensor]]:
    """A network after ``steps`` steps on gradients that follow from its weights, and its and the optimiser's state."""
    network = small_network()
    optimizer = make_optimizer(network, OptimizerSpec(kind=kind, lr=1e-3, decay_all=False))
    if state is not None:
        loaded = torch.load(io.BytesIO(state), weights_only=True)
        network.load_state_dict(loaded["network"])
        optimizer.load_state_dict(loaded["optimizer"])
    for _ in range(steps):
        for parameter in network.parameters():
            parameter.grad = parameter.detach().sin() + 0.1
        optimizer.step()
    kept = io.BytesIO()
    torch.save({"network": network.state_dict(), "optimizer": optimizer.state_dict()}, kept)
    return kept.getvalue(), network.state_dict()


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_every_optimiser_learns_and_resumes_from_its_state_bit_for_bit(kind: str) -> None:
    _, start = trained(kind, 0)
    _, whole = trained(kind, 3)
    state, _ = trained(kind, 1)
    _, resumed = trained(kind, 2, state)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert all(not torch.equal(start[name], whole[name]) for name, _ in small_network().named_parameters())


GIVEN = {"momentum": 0.8, "betas": [0.8, 0.9], "eps": 1e-3, "nesterov": True, "amsgrad": True, "alpha": 0.5}
GIVEN |= {"centered": True}


@pytest.mark.parametrize(("kind", "option"), [(kind, option) for kind, read in OPTIMIZERS.items() for option in read])
def test_every_option_reaches_the_optimiser_that_reads_it(kind: str, option: str) -> None:
    value = [0.8, 0.85, 0.9] if (kind, option) == ("adan", "betas") else GIVEN[option]
    spec = OptimizerSpec.model_validate({"kind": kind, "lr": 1e-3, option: value})
    for group in make_optimizer(small_network(), spec).param_groups:
        found = group[option]
        assert (list(found) if option == "betas" else found) == value


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "lyon"}, '"lyon" is not an optimiser; did you mean "lion"?'),
        ({"kind": "adamw", "nesterov": True}, "adamw has no nesterov, it reads betas, eps, amsgrad"),
        ({"kind": "adan", "betas": [0.9, 0.99]}, "expected 3 values for adan, found 2"),
        ({"nesterov": True, "momentum": 0.0}, "expected a momentum above 0"),
        ({"kind": "lion", "betas": "0.9"}, "valid list"),
    ],
)
def test_a_wrong_option_is_refused_with_what_was_expected(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        OptimizerSpec.model_validate({"lr": 0.1, **values})
    assert message in str(refused.value)
