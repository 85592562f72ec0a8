"""Losses at the edges of float32: values and gradients at 1e20 and 1e-25 are those of float64."""

import pytest
import torch
from torch import Tensor

from harness.reid.losses import (
    attention_maps,
    l2_normalize,
    pairwise_distances,
    quadruplet_loss,
    self_attention_constraint,
    softmax_loss,
    triplet_loss,
)
from harness.reid.losses.geometry import power_of_two_scale

LABELS = torch.arange(12) // 3
EDGES = [1e-37, 1e-25, 1e-20, 1.0, 1e20, 1e30]


def draw(scale: float, *shape: int, seed: int = 0) -> Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def distances(scale: float) -> list[Tensor]:
    return [draw(scale, 12, 24)]


def maps(scale: float) -> list[Tensor]:
    """Of stages 4, 5 and 6; one edge may differ from another's."""
    return [draw(scale, 2, 3, 4, 2), draw(1.0, 2, 6, 4, 2, seed=1), draw(scale, 2, 3, 4, 2, seed=2)]


def plain_sac(*features: Tensor) -> Tensor:
    """Equations 1 and 2 as they are written."""
    attention = [each.square().mean(dim=1).flatten(1) for each in features]
    attention = [each / each.norm(dim=1, keepdim=True) for each in attention]
    return torch.stack([(attention[-1] - each).square().sum(dim=1).mean() for each in attention[:-1]]).sum()


def plain_quadruplet(embeddings: Tensor, epsilon1: float, epsilon2: float) -> Tensor:
    """Equation 5 from all differences."""
    apart = (embeddings[:, None] - embeddings[None]).square().sum(2)
    d = torch.where(apart > 0, torch.where(apart > 0, apart, 1.0).sqrt(), 0.0)
    total = torch.zeros((), dtype=embeddings.dtype)
    for i in range(len(LABELS)):
        others = LABELS[i] != LABELS
        to_positive = d[i][~others].max()
        k = int(d[i].masked_fill(~others, torch.inf).argmin())
        third = d[k][others & (LABELS[k] != LABELS)].min()
        total = total + (to_positive - d[i, k] + epsilon1).relu() + (to_positive - third + epsilon2).relu()
    return total / len(LABELS)


CASES = {
    "sac": (maps, lambda scale: self_attention_constraint_of, lambda scale: plain_sac),
    "normalised": (
        distances,
        lambda scale: lambda rows: l2_normalize(rows)[:, 0].sum(),
        lambda scale: lambda rows: (rows / rows.norm(dim=1, keepdim=True))[:, 0].sum(),
    ),
    "quadruplet": (
        distances,
        lambda scale: lambda rows: quadruplet_loss(rows, LABELS, epsilon1=0.5 * scale, epsilon2=0.2 * scale),
        lambda scale: lambda rows: plain_quadruplet(rows, 0.5 * scale, 0.2 * scale),
    ),
    "triplet": (
        distances,
        lambda scale: lambda rows: triplet_loss(rows, LABELS, epsilon=0.5 * scale),
        lambda scale: lambda rows: plain_quadruplet(rows, 0.5 * scale, -torch.inf),
    ),
    "normalised quadruplet": (
        distances,
        lambda scale: lambda rows: quadruplet_loss(l2_normalize(rows), LABELS, epsilon1=0.5, epsilon2=0.2),
        lambda scale: lambda rows: plain_quadruplet(rows / rows.norm(dim=1, keepdim=True), 0.5, 0.2),
    ),
    "distances": (
        distances,
        lambda scale: lambda rows: pairwise_distances(rows)[0].sum(),
        lambda scale: lambda rows: (rows[:1] - rows[1:]).norm(dim=1).sum(),
    ),
}


def self_attention_constraint_of(*features: Tensor) -> Tensor:
    return self_attention_constraint(features)


@pytest.mark.parametrize("scale", EDGES)
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_are_those_of_float64(case: str, scale: float) -> None:
    inputs, ours, plain = CASES[case]
    coarse = [each.requires_grad_() for each in inputs(scale)]
    fine = [each.detach().double().requires_grad_() for each in coarse]
    found, expected = ours(scale)(*coarse), plain(scale)(*fine)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=0.0)
    for left, right in zip(torch.autograd.grad(found, coarse), torch.autograd.grad(expected, fine), strict=True):
        assert right.any()
        largest = right.abs().max().item()
        torch.testing.assert_close(left.double() / largest, right / largest, rtol=0.0, atol=1e-5)


@pytest.mark.parametrize("scale", EDGES)
def test_attention_does_not_depend_on_scale(scale: float) -> None:
    exact = 2.0 ** round(torch.tensor(scale).log2().item())
    assert torch.equal(attention_maps(exact * draw(1.0, 2, 3, 4, 2)), attention_maps(draw(1.0, 2, 3, 4, 2)))


def test_a_map_of_numbers_below_the_normal_ones_counts_as_dead_and_gives_finite_gradients() -> None:
    features = [draw(1e-41, 2, 3, 4, 2).requires_grad_(), draw(1.0, 2, 3, 4, 2, seed=1).requires_grad_()]
    loss = self_attention_constraint(features)
    assert loss.item() == pytest.approx(1.0)  # |att - 0|^2
    assert all(torch.isfinite(each).all() for each in torch.autograd.grad(loss, features))


def test_the_softmax_loss_of_huge_logits_is_their_difference() -> None:
    logits = torch.tensor([[1e20, -1e20, 0.0], [1e-25, 0.0, 0.0]], requires_grad=True)
    loss = softmax_loss(logits, torch.tensor([1, 0]))  # (2e20 + log 3) / 2
    assert loss.item() == pytest.approx(1e20)
    (gradient,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(gradient, torch.tensor([[1.0, -1.0, 0.0], [-2 / 3, 1 / 3, 1 / 3]]) / 2)


def test_an_offset_that_all_embeddings_share_costs_no_digits() -> None:
    for spread in (3e-3, 1e-3, 1e-4, 1e-6):
        rows = 1 + draw(spread, 12, 2048)
        expected = (rows[:, None].double() - rows[None].double()).norm(dim=2)
        torch.testing.assert_close(pairwise_distances(rows).double(), expected, rtol=1e-6, atol=0.0)


def test_neighbouring_float32_numbers_are_apart() -> None:
    rows = torch.full((4, 4096), 1000.0)
    rows[1, 7] = torch.nextafter(rows[1, 7], torch.tensor(torch.inf))
    assert pairwise_distances(rows)[0].tolist() == [0.0, pytest.approx(2.0**-14), 0.0, 0.0]


@pytest.mark.parametrize("value", [3e38, 1.7e38, 1.0, 2.0**-126, 1.5e-38])
def test_scaling_is_exact(value: float) -> None:
    row = torch.tensor([[value, -value / 3]])
    scale = power_of_two_scale(row, dim=1)
    assert torch.frexp(scale).mantissa.item() == 0.5
    assert 1.0 <= (row / scale).abs().max().item() < 2.0
    assert torch.equal(row / scale * scale, row)
