"""Circle, contrastive, center, ArcFace and CosFace against their papers' equations, sample by sample."""

import doctest
import math
import sys
from itertools import combinations
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import harness.reid.losses.center
from harness.errors import InputError
from harness.reid.losses import BatchError, build_modules, check_batch, compute_losses
from harness.reid.models import Output

LABELS = torch.tensor([0, 0, 1, 1, 2, 2])
SETTINGS: dict[str, dict[str, Any]] = {
    "circle": {"weight": 1.0, "margin": 0.25, "gamma": 8.0},
    "contrastive": {"weight": 1.0, "pos_margin": 0.2, "neg_margin": 2.5},
    "center": {"weight": 1.0, "alpha": 0.5},
    "arcface": {"weight": 1.0, "margin_degrees": 28.6, "scale": 4.0},
    "cosface": {"weight": 1.0, "margin": 0.35, "scale": 4.0},
}


def embeddings() -> Tensor:
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()


def module(name: str, **changed: Any) -> nn.Module:
    settings = {name: SETTINGS[name] | changed}
    return build_modules(settings, classes=3, width=4, generator=lambda _: torch.Generator().manual_seed(1))[name]


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(harness.reid.losses.center).failed == 0


def cosine(a: Tensor, b: Tensor) -> float:
    return float(a @ b / a.norm() / b.norm())


def test_circle_is_its_papers_equation_for_each_anchor() -> None:
    """log(1 + sum exp(g a_n (s_n - m)) * sum exp(-g a_p (s_p - 1 + m))), a_p = [1 + m - s_p]+, a_n = [s_n + m]+."""
    vectors, g, m, losses = embeddings().detach(), 8.0, 0.25, []
    for anchor in range(6):
        others = [(cosine(vectors[anchor], vectors[j]), LABELS[j] == LABELS[anchor]) for j in range(6) if j != anchor]
        positive = sum(math.exp(-g * max(0, 1 + m - s) * (s - 1 + m)) for s, same in others if same)
        negative = sum(math.exp(g * max(0, s + m) * (s - m)) for s, same in others if not same)
        losses.append(math.log(1 + positive * negative))
    assert module("circle")(vectors, LABELS).item() == pytest.approx(sum(losses) / 6, rel=1e-5)


def test_contrastive_is_a_mean_over_the_pairs_on_the_wrong_side_of_their_margin() -> None:
    vectors = embeddings().detach()
    near: list[float] = []
    far: list[float] = []
    for i, j in combinations(range(6), 2):
        distance = float((vectors[i] - vectors[j]).norm())
        same = LABELS[i] == LABELS[j]
        (near if same else far).append(max(0, distance - 0.2 if same else 2.5 - distance))
    expected = sum(sum(pairs) / sum(pair > 0 for pair in pairs) for pairs in (near, far))
    assert 0.0 in far  # a pair that is far enough does not count
    assert module("contrastive")(vectors, LABELS).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["arcface", "cosface"])
def test_margin_softmax_is_its_papers_equation_for_each_sample(name: str) -> None:
    """-log of the softmax over s cos(theta_j), with cos(theta_y + m) or cos(theta_y) - m for the own class."""
    loss, vectors, terms = module(name), embeddings().detach(), []
    for vector, label in zip(vectors, LABELS.tolist(), strict=True):
        logits = [cosine(vector, centre) for centre in loss.W.detach().T]
        own = logits[label]
        logits[label] = math.cos(math.acos(own) + math.radians(28.6)) if name == "arcface" else own - 0.35
        assert math.acos(own) <= math.pi - math.radians(28.6)  # beyond it ArcFace goes on along a line
        terms.append(math.log(sum(math.exp(4.0 * logit) for logit in logits)) - 4.0 * logits[label])
    assert loss(vectors, LABELS).item() == pytest.approx(sum(terms) / 6, rel=1e-5)


def test_centres_move_to_their_samples_by_the_papers_rule_and_only_in_training() -> None:
    loss, vectors = module("center"), embeddings().detach()
    before = torch.arange(12.0).reshape(3, 4)
    loss.centers.copy_(before)
    expected = sum(float((v - before[y]).square().sum()) for v, y in zip(vectors, LABELS, strict=True)) / 12
    assert loss.eval()(vectors, LABELS).item() == pytest.approx(expected)
    assert torch.equal(loss.centers, before)
    assert loss.train()(vectors[:3], LABELS[:3]).item() > 0
    torch.testing.assert_close(loss.centers[0], before[0] - 0.5 * (2 * before[0] - vectors[0] - vectors[1]) / 3)
    torch.testing.assert_close(loss.centers[1], before[1] - 0.5 * (before[1] - vectors[2]) / 2)
    assert torch.equal(loss.centers[2], before[2])  # not in the batch


@pytest.mark.parametrize("name", [name for name in SETTINGS if name != "circle"])
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    loss = module(name).eval().double()
    vectors = embeddings().detach().double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, LABELS), (vectors,))


def test_circles_gradient_holds_its_weights_fixed() -> None:
    """Eq. 5: a_p and a_n are constants of the gradient. At one positive and one negative it has a closed form."""
    angles = torch.tensor([0.0, 0.6, 1.1], dtype=torch.float64)
    vectors = torch.stack([angles.cos(), angles.sin()], dim=1).requires_grad_()
    labels = torch.tensor([0, 0, 1])

    def frozen(x: Tensor) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        unit, fixed = x / x.norm(dim=1, keepdim=True), (vectors / vectors.norm(dim=1, keepdim=True)).detach()
        s, c = unit @ unit.T, fixed @ fixed.T
        for anchor, positive in ((0, 1), (1, 0)):
            pull = -8.0 * (1.25 - c[anchor, positive]).clamp(min=0) * (s[anchor, positive] - 0.75)
            push = 8.0 * (c[anchor, 2] + 0.25).clamp(min=0) * (s[anchor, 2] - 0.25)
            total = total + torch.log1p(torch.exp(pull + push))
        return total / 3  # the third anchor has no positive

    (expected,) = torch.autograd.grad(frozen(vectors), vectors)
    (found,) = torch.autograd.grad(module("circle")(vectors, labels), vectors)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", SETTINGS)
def test_each_joins_the_sum_under_its_name_with_gradients_for_what_learns(name: str) -> None:
    given = Output(embeddings(), None, ())
    settings = {name: SETTINGS[name] | {"weight": 0.5}}
    modules = nn.ModuleDict({name: module(name)})
    total, terms = compute_losses(given, LABELS, settings, modules=modules)
    torch.testing.assert_close(total, 0.5 * terms[name])
    total.backward()
    assert given.embedding.grad is not None
    assert bool(given.embedding.grad.isfinite().all())
    assert all(parameter.grad is not None for parameter in modules.parameters())
    assert len(list(modules.parameters())) == (name in {"arcface", "cosface"})


def test_distance_losses_see_normalised_embeddings_where_asked() -> None:
    modules = nn.ModuleDict({"contrastive": module("contrastive")})
    settings = {"contrastive": SETTINGS["contrastive"]}
    longer = Output(embeddings().detach() * 7.0, None, ())
    plain = Output(embeddings().detach(), None, ())
    values = [
        compute_losses(one, LABELS, settings, normalize_embeddings=True, modules=modules)[0] for one in (plain, longer)
    ]
    torch.testing.assert_close(*values)


@pytest.mark.parametrize("name", ["circle", "contrastive"])
def test_a_pair_loss_refuses_a_batch_without_positives(name: str) -> None:
    with pytest.raises(BatchError, match="has no positive"):
        check_batch(torch.tensor([0, 1, 1]), [name])


def test_a_worker_without_the_library_says_which_extra_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "harness.reid.losses.library", raising=False)
    monkeypatch.setitem(sys.modules, "pytorch_metric_learning", None)
    with pytest.raises(InputError, match="the extra losses"):
        module("circle")
