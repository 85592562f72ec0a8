"""The vocabulary of a recipe: which stages train, and what is refused whatever wrote it."""

import pickle
from typing import Any

import pytest
from pydantic import ValidationError

from harness.reid.recipe import Recipe


def recipe(losses: dict[str, Any], needs: list[str] | None = None, **model: Any) -> Recipe:
    stage = {
        "losses": ["softmax", "triplet", "sac", *losses.get("custom", {})],
        "needs_one_of": needs or [],
        "epochs": 1,
        "sampler": {"kind": "shuffled", "batch_size": 4},
        "optimizer": {"lr": 0.1},
    }
    return Recipe.model_validate(
        {
            "data": {"dataset": "market1501", "height_px": 64, "width_px": 32},
            "model": {"backbone": "resnet18", **model},
            "losses": losses,
            "stages": {"only": stage},
            "evaluation": {"protocol": "market"},
        }
    )


ON = {"weight": 1.0}
OWN = {"implementation": "my:loss", "weight": 1.0}


@pytest.mark.parametrize(
    ("losses", "needs", "trained"),
    [
        ({}, None, False),
        ({"softmax": ON}, None, True),
        ({"triplet": ON}, None, True),
        ({"softmax": ON}, ["triplet"], False),
        ({"softmax": ON, "triplet": ON}, ["triplet"], True),
        ({"custom": {"own": OWN}}, None, True),
        ({"custom": {"own": {**OWN, "supervised": False}}}, None, False),
        ({"custom": {"own": {**OWN, "supervised": False}}}, ["own"], True),
        ({"custom": {"own": {**OWN, "weight": 0.0}}}, ["own"], False),
    ],
)
def test_a_stage_trains_if_a_loss_that_it_needs_or_any_supervised_one_is_on(losses, needs, trained):
    assert recipe(losses, needs).trained_stages() == (("only",) if trained else ())


def test_the_self_attention_constraint_alone_trains_nothing():
    assert recipe({"sac": ON}, output_stride=8, stage6=True).trained_stages() == ()


@pytest.mark.parametrize(("output_stride", "stage6", "valid"), [(8, True, True), (16, True, True), (8, False, False)])
def test_the_self_attention_constraint_needs_maps_of_one_size(output_stride, stage6, valid):
    if valid:
        assert recipe({"sac": ON}, output_stride=output_stride, stage6=stage6).losses.sac.weight == 1.0
    else:
        with pytest.raises(ValidationError, match="needs maps of one size from stages 4, 5 and 6"):
            recipe({"sac": ON}, output_stride=output_stride, stage6=stage6)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "1.0", True, -1])
def test_a_weight_is_a_finite_number_and_nothing_else(value):
    with pytest.raises(ValidationError):
        recipe({"softmax": {"weight": value}})


def test_a_recipe_crosses_processes_whole():
    one = recipe({"softmax": ON})
    assert pickle.loads(pickle.dumps(one)) == one
    assert Recipe.model_validate(one.model_dump()) == one
