"""The sum of a stage's losses: eq. 6, what is off, and the user's own losses."""

import doctest
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

import harness.plugins
from harness.errors import InputError
from harness.plugins import load_object
from harness.reid.losses import (
    compute_losses,
    l2_normalize,
    load_custom_losses,
    quadruplet_loss,
    self_attention_constraint,
    softmax_loss,
    triplet_loss,
)
from harness.reid.models import Output, build_network

LABELS = torch.tensor([0, 0, 1, 1, 2, 2])
SOFTMAX = {"weight": 1.0, "label_smoothing": 0.0}
QUADRUPLET = {"weight": 1.0, "epsilon1": 0.5, "epsilon2": 0.2}
TRIPLET = {"weight": 1.0, "epsilon": 0.5}
SAC = {"weight": 1.0}


def output(classes: int | None = 3) -> Output:
    generator = torch.Generator().manual_seed(0)

    def values(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).requires_grad_()

    logits = None if classes is None else values(6, classes)
    return Output(values(6, 4), logits, (values(6, 2, 4, 2), values(6, 4, 4, 2), values(6, 2, 4, 2)))


def test_the_final_loss_is_the_sum_of_three_with_weight_one() -> None:
    given = output()
    total, terms = compute_losses(given, LABELS, {"softmax": SOFTMAX, "quadruplet": QUADRUPLET, "sac": SAC})
    assert terms["softmax"] == softmax_loss(given.logits, LABELS)
    assert terms["quadruplet"] == quadruplet_loss(given.embedding, LABELS, epsilon1=0.5, epsilon2=0.2)
    assert terms["sac"] == self_attention_constraint(given.maps)
    torch.testing.assert_close(total, terms["softmax"] + terms["quadruplet"] + terms["sac"])


def test_weights_scale_the_sum_and_not_the_terms() -> None:
    total, terms = compute_losses(output(), LABELS, {"softmax": SOFTMAX | {"weight": 2.0}, "sac": {"weight": 0.5}})
    torch.testing.assert_close(total, 2.0 * terms["softmax"] + 0.5 * terms["sac"])


def test_a_loss_that_is_off_leaves_no_term_and_no_gradient() -> None:
    given = output()
    total, terms = compute_losses(given, LABELS, {"triplet": TRIPLET})
    total.backward()
    assert list(terms) == ["triplet"]
    assert given.embedding.grad is not None
    assert given.logits.grad is None
    assert all(features.grad is None for features in given.maps)


def test_only_metric_losses_see_normalised_embeddings() -> None:
    given = output()
    active = {"softmax": SOFTMAX, "triplet": TRIPLET, "quadruplet": QUADRUPLET}
    _, terms = compute_losses(given, LABELS, active, normalize_embeddings=True)
    unit = l2_normalize(given.embedding)
    assert terms["softmax"] == softmax_loss(given.logits, LABELS)
    assert terms["triplet"] == triplet_loss(unit, LABELS, epsilon=0.5)
    assert terms["quadruplet"] == quadruplet_loss(unit, LABELS, epsilon1=0.5, epsilon2=0.2)


def test_autocast_around_the_losses_changes_nothing() -> None:
    given = output()
    active = {"softmax": SOFTMAX, "quadruplet": QUADRUPLET, "sac": SAC}
    plain, _ = compute_losses(given, LABELS, active, normalize_embeddings=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast, _ = compute_losses(given, LABELS, active, normalize_embeddings=True)
    assert torch.equal(plain, cast)


def test_softmax_without_a_classifier_and_no_loss_at_all_are_errors() -> None:
    with pytest.raises(ValueError, match="needs a classifier"):
        compute_losses(output(classes=None), LABELS, {"softmax": SOFTMAX})
    with pytest.raises(ValueError, match="no loss is active"):
        compute_losses(output(), LABELS, {})
    with pytest.raises(ValueError, match='"centre" is neither'):
        compute_losses(output(), LABELS, {"centre": {"weight": 1.0}})


@pytest.fixture
def user_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file of the user's own beside the declaration; gives the name of its module."""
    (tmp_path / "users_losses.py").write_text(
        "def spread(output, labels, *, target=1.0):\n"
        "    return (output.embedding.norm(dim=1) - target).square().mean()\n"
        "def rows(output, labels):\n"
        "    return output.embedding.norm(dim=1)\n"
        "def number(output, labels):\n"
        "    return 1.0\n"
        "MARGIN = 0.5\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    monkeypatch.delitem(__import__("sys").modules, "users_losses", raising=False)
    return "users_losses"


def test_a_loss_of_the_users_own_joins_the_sum_with_its_options(user_module: str) -> None:
    given = output()
    active = {
        "softmax": SOFTMAX,
        "mine": {
            "implementation": f"{user_module}:spread",
            "weight": 0.1,
            "supervised": True,
            "options": {"target": 2},
        },
    }
    total, terms = compute_losses(given, LABELS, active, custom=load_custom_losses(active))
    torch.testing.assert_close(terms["mine"], (given.embedding.norm(dim=1) - 2).square().mean())
    torch.testing.assert_close(total, terms["softmax"] + 0.1 * terms["mine"])


@pytest.mark.parametrize(("name", "found"), [("rows", r"a tensor of shape \(6,\)"), ("number", "float")])
def test_a_loss_that_gives_no_scalar_is_named(user_module: str, name: str, found: str) -> None:
    active = {"mine": {"implementation": f"{user_module}:{name}", "weight": 1.0}}
    with pytest.raises(InputError, match=f'loss "mine" gave {found}; expected a scalar tensor'):
        compute_losses(output(), LABELS, active, custom=load_custom_losses(active))


def test_an_implementation_that_is_no_function_is_refused(user_module: str) -> None:
    with pytest.raises(InputError, match="MARGIN is not a function"):
        load_custom_losses({"mine": {"implementation": f"{user_module}:MARGIN", "weight": 1.0}})


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("users_losses.spread", "expected package.module:name"),
        ("users_losses:", "expected package.module:name"),
        ("users_loses:spread", 'no module "users_loses" in '),
        ("users_losses:spraed", 'has no "spraed"; did you mean "spread"'),
        ("broken:loss", "importing broken failed: ZeroDivisionError"),
        ("needy:loss", "importing needy failed: No module named 'absent_dependency'"),
    ],
)
def test_a_reference_that_leads_nowhere_says_why(user_module: str, reference: str, message: str) -> None:
    Path("broken.py").write_text("1 / 0\n")
    Path("needy.py").write_text("import absent_dependency\n")
    with pytest.raises(InputError, match=message) as caught:
        load_object(reference)
    assert f'"{reference}"' in str(caught.value)


def test_a_reference_reaches_into_classes() -> None:
    assert doctest.testmod(harness.plugins).failed == 0
    assert load_object("pathlib:Path.exists") is Path.exists


@pytest.mark.parametrize(("precision", "steps"), [(torch.float32, 30), (torch.bfloat16, 12)])
def test_the_full_network_learns_a_batch_by_the_final_loss(precision: torch.dtype, steps: int) -> None:
    network = build_network(
        backbone="test_resnet",
        weights="none",
        output_stride=8,
        stage6=True,
        stage6_dilation=2,
        multi_level=True,
        embedding_dim=16,
        classes=3,
        seed=0,
    )
    images = torch.randn(6, 3, 32, 16, generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    active = {"softmax": SOFTMAX, "quadruplet": QUADRUPLET, "sac": SAC}
    history: list[dict[str, float]] = []
    for _ in range(steps):  # a CPU takes a quarter of a second for one in bfloat16
        with torch.autocast("cpu", dtype=precision, enabled=precision != torch.float32):
            given = network(images)
        total, terms = compute_losses(given, LABELS, active)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        history.append({name: term.item() for name, term in terms.items()})
    assert history[0]["softmax"] == pytest.approx(math.log(3), abs=0.01)  # an even guess among three
    assert history[-1]["softmax"] < 0.1
    assert history[-1]["quadruplet"] < 0.1
    assert history[-1]["sac"] < history[0]["sac"]
