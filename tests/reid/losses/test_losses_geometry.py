"""Distances and normalisation: precision, and gradients where vectors vanish or coincide."""

import doctest

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import harness.reid.losses.attention
import harness.reid.losses.geometry
import harness.reid.losses.softmax
from harness.reid.losses import l2_normalize, pairwise_distances, softmax_loss


@pytest.mark.parametrize(
    "module",
    [harness.reid.losses.attention, harness.reid.losses.geometry, harness.reid.losses.softmax],
    ids=lambda m: m.__name__,
)
def test_examples_of_the_docstrings_hold(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted > 0
    assert result.failed == 0


@given(seed=st.integers(0, 10_000), count=st.integers(2, 12), size=st.integers(1, 20))
def test_distances_agree_with_differences(seed: int, count: int, size: int) -> None:
    points = torch.randn(count, size, generator=torch.Generator().manual_seed(seed))
    expected = (points[:, None].double() - points[None, :].double()).norm(dim=2)
    distances = pairwise_distances(points)
    assert distances.dtype == torch.float32
    assert torch.equal(distances.diagonal(), torch.zeros(count))
    torch.testing.assert_close(distances.double(), expected, rtol=1e-6, atol=1e-7)


def test_small_distances_of_long_vectors_keep_their_digits() -> None:
    points = 100 + 0.001 * torch.randn(10, 1024, generator=torch.Generator().manual_seed(0))  # length 3200, 0.045 apart
    expected = (points[:, None].double() - points[None, :].double()).norm(dim=2)
    torch.testing.assert_close(pairwise_distances(points).double(), expected, rtol=1e-4, atol=0.0)


def test_gradients_of_distances_equal_finite_differences() -> None:
    points = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2), requires_grad=True)
    assert torch.autograd.gradcheck(pairwise_distances, points)


def test_coincident_points_have_distance_zero_and_gradient_zero() -> None:
    points = torch.randn(1, 256, generator=torch.Generator().manual_seed(3)).repeat(7, 1).requires_grad_()
    distances = pairwise_distances(points)
    distances.sum().backward()
    assert torch.equal(distances, torch.zeros(7, 7))
    assert torch.equal(points.grad, torch.zeros(7, 256))


def test_distances_ignore_autocast() -> None:
    points = torch.randn(8, 64, generator=torch.Generator().manual_seed(4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = pairwise_distances(points)
    assert torch.equal(cast, pairwise_distances(points))


def test_normalised_rows_have_unit_length_and_exact_gradients() -> None:
    rows = torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(5), requires_grad=True)
    torch.testing.assert_close(l2_normalize(rows).norm(dim=1), torch.ones(4, dtype=torch.float64))
    assert torch.autograd.gradcheck(l2_normalize, rows)


def test_a_zero_row_stays_zero_and_its_gradient_is_not_blown_up() -> None:
    rows = torch.zeros(2, 3, requires_grad=True)
    (l2_normalize(rows) * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert rows.grad.tolist() == [[1.0, 2.0, 3.0]] * 2


def test_softmax_loss_with_smoothing_by_hand() -> None:
    # Two classes, logits (log 3, 0): q = (3/4, 1/4). Smoothing 0.2: p = (0.9, 0.1).
    logits = torch.tensor([[3.0, 1.0]]).log()
    expected = -(0.9 * torch.tensor(0.75).log() + 0.1 * torch.tensor(0.25).log())
    torch.testing.assert_close(softmax_loss(logits, torch.tensor([0]), label_smoothing=0.2), expected)


def test_softmax_loss_of_coarse_logits_is_computed_in_float32() -> None:
    logits = torch.randn(6, 9, generator=torch.Generator().manual_seed(6)).bfloat16()
    labels = torch.arange(6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = softmax_loss(logits, labels)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), softmax_loss(logits.double(), labels), rtol=1e-6, atol=0.0)


def test_gradients_of_the_softmax_loss_equal_finite_differences() -> None:
    logits = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(7), requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: softmax_loss(x, torch.tensor([0, 3, 4, 4]), label_smoothing=0.1), logits)
