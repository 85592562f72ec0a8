"""Triplet and quadruplet losses: hand values, oracles, gradients, precision, and batches that have no loss."""

import math
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor

from harness.reid.losses import BatchError, check_batch, l2_normalize, metric, quadruplet_loss, triplet_loss

LABELS = torch.tensor([0, 0, 1, 1, 2, 2])
POINTS = torch.tensor([[0.0], [3.0], [4.0], [6.0], [10.0], [11.0]])
"""On a line: identity 0 at 0 and 3, identity 1 at 4 and 6, identity 2 at 10 and 11."""


def random_batch(seed: int, identities: int = 4, images: int = 3, size: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(identities).repeat_interleave(images)
    labels = labels[torch.randperm(len(labels), generator=generator)]
    return torch.randn(len(labels), size, generator=generator, dtype=torch.float64), labels


def oracle(points: Tensor, labels: Tensor, epsilon1: float, epsilon2: float | None) -> float:
    """Equations 4 and 5 read aloud, one quadruplet at a time.

    Over all admissible (j, k, h) the hardest is the one with the farthest j, then the nearest k, then the h nearest to
    that k: the extremes of three lists.
    """
    B = len(labels)

    def d(a: int, b: int) -> float:
        return math.dist(points[a].tolist(), points[b].tolist())

    y = labels.tolist()
    total = 0.0
    for i in range(B):
        admissible = [
            (d(i, j), -d(i, k), -d(k, h))
            for j, k, h in product(range(B), repeat=3)
            if j != i and y[j] == y[i] and y[k] != y[i] and (epsilon2 is None or y[h] not in (y[i], y[k]))
        ]
        to_j, minus_to_k, minus_k_to_h = max(admissible)
        total += max(0.0, to_j + minus_to_k + epsilon1)
        if epsilon2 is not None:
            total += max(0.0, to_j + minus_k_to_h + epsilon2)
    return total / B


def test_triplet_loss_of_points_on_a_line() -> None:
    # anchor   d(i,j)  d(i,k)            d(i,j) - d(i,k) + 0.5
    # 0 (0)    3       4  (to 4)         -0.5 -> 0
    # 1 (3)    3       1  (to 4)          2.5
    # 2 (4)    2       1  (to 3)          1.5
    # 3 (6)    2       3  (to 3)         -0.5 -> 0
    # 4 (10)   1       4  (to 6)         -2.5 -> 0
    # 5 (11)   1       5  (to 6)         -3.5 -> 0
    assert triplet_loss(POINTS, LABELS, epsilon=0.5).item() == pytest.approx((2.5 + 1.5) / 6)


def test_quadruplet_loss_of_points_on_a_line() -> None:
    # anchor   k       h: nearest to k, of neither identity   d(k,h)   d(i,j) - d(k,h) + 4
    # 0 (0)    4       10                                     6        3 - 6 + 4 = 1
    # 1 (3)    4       10                                     6        3 - 6 + 4 = 1
    # 2 (4)    3       10                                     7        2 - 7 + 4 = -1 -> 0
    # 3 (6)    3       10                                     7        2 - 7 + 4 = -1 -> 0
    # 4 (10)   6       3                                      3        1 - 3 + 4 = 2
    # 5 (11)   6       3                                      3        1 - 3 + 4 = 2
    expected = (2.5 + 1.5) / 6 + (1 + 1 + 2 + 2) / 6
    assert quadruplet_loss(POINTS, LABELS, epsilon1=0.5, epsilon2=4.0).item() == pytest.approx(expected)


@given(seed=st.integers(0, 10_000), identities=st.integers(3, 4), images=st.integers(2, 3), epsilon=st.floats(0.0, 3.0))
def test_both_losses_agree_with_the_search_over_all_quadruplets(
    seed: int, identities: int, images: int, epsilon: float
) -> None:
    points, labels = random_batch(seed, identities, images)
    assert triplet_loss(points, labels, epsilon=epsilon).item() == pytest.approx(oracle(points, labels, epsilon, None))
    quadruplet = quadruplet_loss(points, labels, epsilon1=epsilon, epsilon2=epsilon / 2)
    assert quadruplet.item() == pytest.approx(oracle(points, labels, epsilon, epsilon / 2))


def test_unequal_numbers_of_images_an_identity_are_searched_alike() -> None:
    labels = torch.tensor([7, 7, 7, 3, 3, 9, 9, 9, 9])
    points = torch.randn(9, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    loss = quadruplet_loss(points, labels, epsilon1=0.5, epsilon2=0.2)
    assert loss.item() == pytest.approx(oracle(points, labels, 0.5, 0.2))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("epsilon", [0.1, 0.5, 2.0])
def test_triplet_loss_agrees_with_pytorch_metric_learning(seed: int, epsilon: float) -> None:
    points, labels = random_batch(seed, identities=6, images=4, size=16)
    # Its distances are normalised by default, and its reducer would leave out the triplets whose loss is zero.
    distance = LpDistance(normalize_embeddings=False, p=2, power=1)
    theirs = TripletMarginLoss(margin=epsilon, reducer=MeanReducer(), distance=distance)
    expected = theirs(points, labels, BatchHardMiner(distance=distance)(points, labels))
    assert triplet_loss(points, labels, epsilon=epsilon).item() == pytest.approx(expected.item(), rel=1e-6)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_the_order_of_the_batch_does_not_matter(seed: int) -> None:
    points, labels = random_batch(seed)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed + 1))
    for loss in (
        lambda p, y: triplet_loss(p, y, epsilon=0.5),
        lambda p, y: quadruplet_loss(p, y, epsilon1=0.5, epsilon2=0.2),
    ):
        assert loss(points[order], labels[order]).item() == pytest.approx(loss(points, labels).item(), rel=1e-12)


@given(seed=st.integers(0, 10_000), shift=st.floats(-50, 50))
@settings(max_examples=20, deadline=None)
def test_names_of_identities_and_the_origin_do_not_matter(seed: int, shift: float) -> None:
    points, labels = random_batch(seed)
    expected = quadruplet_loss(points, labels, epsilon1=0.5, epsilon2=0.2).item()
    moved = quadruplet_loss(points + shift, 100 - 7 * labels, epsilon1=0.5, epsilon2=0.2).item()
    assert moved == pytest.approx(expected, rel=1e-9)


def test_larger_margins_never_lower_the_loss() -> None:
    points, labels = random_batch(3)
    losses = [quadruplet_loss(points, labels, epsilon1=e, epsilon2=e).item() for e in (0.0, 0.2, 0.5, 1.0)]
    assert losses == sorted(losses)


@pytest.mark.parametrize("normalized", [False, True])
def test_gradients_equal_finite_differences(normalized: bool) -> None:
    points, labels = random_batch(11)
    points.requires_grad_()
    prepare = l2_normalize if normalized else torch.clone
    assert torch.autograd.gradcheck(lambda p: triplet_loss(prepare(p), labels, epsilon=0.5), points)
    assert torch.autograd.gradcheck(lambda p: quadruplet_loss(prepare(p), labels, epsilon1=0.5, epsilon2=0.2), points)


def test_coincident_embeddings_give_the_margins_and_no_gradient() -> None:
    points = torch.ones(6, 8, requires_grad=True)
    loss = quadruplet_loss(points, LABELS, epsilon1=0.5, epsilon2=0.2)  # all distances are 0
    loss.backward()
    assert loss.item() == pytest.approx(0.7)
    assert torch.equal(points.grad, torch.zeros(6, 8))


def test_some_coincident_embeddings_leave_all_gradients_finite() -> None:
    points, labels = random_batch(5)
    points[labels == 0] = points[labels == 0][:1]
    points[labels == 1] = points[labels == 2]
    points.requires_grad_()
    quadruplet_loss(points, labels, epsilon1=0.5, epsilon2=0.2).backward()
    assert torch.isfinite(points.grad).all()
    assert points.grad.any()


def test_zero_embeddings_stay_finite_when_normalised() -> None:
    points = torch.zeros(6, 8, requires_grad=True)
    quadruplet_loss(l2_normalize(points), LABELS, epsilon1=0.5, epsilon2=0.2).backward()
    assert torch.isfinite(points.grad).all()


def test_near_duplicates_far_from_the_origin_keep_their_digits_in_float32() -> None:
    # Distances of about 0.01 around a point of length 1000: the textbook formula in float32 would see noise alone.
    generator = torch.Generator().manual_seed(0)
    points = (torch.full((6, 100), 100.0) + 0.001 * torch.randn(6, 100, generator=generator)).requires_grad_()
    loss = quadruplet_loss(points, LABELS, epsilon1=0.02, epsilon2=0.01)
    exact = quadruplet_loss(points.detach().double(), LABELS, epsilon1=0.02, epsilon2=0.01)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), rel=1e-5)


def test_autocast_changes_nothing() -> None:
    points, labels = random_batch(7, size=64)
    points = points.float().requires_grad_()
    plain = quadruplet_loss(points, labels, epsilon1=0.5, epsilon2=0.2)
    (gradient,) = torch.autograd.grad(plain, points)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = quadruplet_loss(points, labels, epsilon1=0.5, epsilon2=0.2)
    (cast_gradient,) = torch.autograd.grad(cast, points)
    assert torch.equal(plain, cast)
    assert torch.equal(gradient, cast_gradient)


def test_bfloat16_embeddings_are_measured_in_float32() -> None:
    points, labels = random_batch(7, size=64)
    coarse = points.bfloat16().requires_grad_()
    loss = quadruplet_loss(coarse, labels, epsilon1=0.5, epsilon2=0.2)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(
        quadruplet_loss(coarse.detach().double(), labels, epsilon1=0.5, epsilon2=0.2).item(), rel=1e-6
    )
    assert coarse.grad.dtype == torch.bfloat16


def test_an_anchor_without_positive_is_named() -> None:
    with pytest.raises(BatchError, match=r"anchor 2 \(identity 8\) has no positive.*among 5") as caught:
        triplet_loss(torch.randn(5, 3), torch.tensor([4, 4, 8, 6, 6]), epsilon=0.5)
    assert (caught.value.anchor, caught.value.identity) == (2, 8)


def test_a_batch_of_one_identity_has_no_negative() -> None:
    with pytest.raises(BatchError, match=r"anchor 0 \(identity 4\).*holds 1 identity \(4\).*triplet loss expects 2"):
        triplet_loss(torch.randn(3, 3), torch.tensor([4, 4, 4]), epsilon=0.5)


def test_two_identities_do_for_triplets_and_not_for_quadruplets() -> None:
    points, labels = torch.randn(4, 3), torch.tensor([1, 1, 5, 5])
    assert torch.isfinite(triplet_loss(points, labels, epsilon=0.5))
    with pytest.raises(BatchError, match=r"holds 2 identities \(1, 5\); the quadruplet loss expects 3 or more"):
        quadruplet_loss(points, labels, epsilon1=0.5, epsilon2=0.2)


def test_check_batch_asks_nothing_for_losses_without_partners() -> None:
    check_batch(torch.tensor([1, 2, 3]), ["softmax", "sac", "mine"])
    check_batch(torch.tensor([1, 1, 2, 2]), ["softmax", "triplet"])
    with pytest.raises(BatchError, match="quadruplet"):
        check_batch(torch.tensor([1, 1, 2, 2]), ["triplet", "quadruplet"])
    with pytest.raises(ValueError, match="empty"):
        check_batch(torch.tensor([]), ["triplet"])


@pytest.mark.parametrize("labels", [[4, 4, 8, 6, 6], [4, 4, 4, 4, 4], [4, 4, 6, 6, 6]])
def test_a_bad_batch_that_nobody_checked_is_nan_and_not_zero(
    labels: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metric, "check_batch", lambda labels, losses: None)  # as for labels on an accelerator
    assert torch.isnan(quadruplet_loss(torch.randn(5, 3), torch.tensor(labels), epsilon1=0.5, epsilon2=0.2))


@pytest.mark.parametrize("labels", [torch.zeros(6, 1), torch.zeros(5)])
def test_labels_of_another_shape_are_refused(labels: Tensor) -> None:
    with pytest.raises(ValueError, match=r"embeddings \(B, D\) and labels \(B,\)"):
        triplet_loss(torch.randn(6, 3), labels, epsilon=0.5)
