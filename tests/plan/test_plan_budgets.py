"""What rows are not trained alike in."""

import doctest

import pytest
from plan_tables import planned, table1

import harness.plan.budgets as budgets_module
from harness.plan import StageBudget, also_differs, budgets_of


def test_the_examples_hold() -> None:
    assert doctest.testmod(budgets_module).failed == 0


@pytest.mark.parametrize(
    ("first", "second", "phrase"),
    [
        ("3", "1", "also 6 more epochs, stage metric and another sampler"),
        ("1", "3", "also 6 fewer epochs, no stage metric and another sampler"),
        ("8", "6", "also 6 more epochs, stage metric and another sampler"),
        ("3", "2", "also 4 more epochs, stage classify and another sampler"),
        ("1", "2", "also 2 fewer epochs, stage classify in place of metric and another sampler"),
        ("8", "5", ""),
        ("3", "3(T)", ""),
        ("4", "1", ""),
    ],
)
def test_table_1s_rows_are_not_all_trained_alike(first: str, second: str, phrase: str) -> None:
    """Stage classify trains 4 epochs with shuffled batches, stage metric 6 with batches by identity."""
    found = budgets_of(planned(table1(seeds=(0, 1))))
    assert also_differs(found[first], found[second]) == phrase


def test_numbers_are_summed_over_stages_and_an_evaluation_is_no_training() -> None:
    one = [StageBudget("a", 0, {"steps": 100}), StageBudget("b", 0, {"steps": 50, "batch_size": "32"})]
    other = [StageBudget("a", 0, {"steps": 100, "batch_size": "64"}), StageBudget("evaluate")]
    assert also_differs(one, other) == "also 50 more steps, stage b and another batch size"


def test_rows_of_unknown_training_are_not_said_to_differ() -> None:
    assert also_differs((), ()) == ""
