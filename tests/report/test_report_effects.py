from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_world import TABLE1, table1

from harness.plan.columns import columns_of
from harness.report.effects import comparable_rows, games, interactions, pair_effects, shapley_values

ROWS = {row["id"]: row["factors"] for row in table1()["rows"]}
PAPER = {row: values[1] for row, values in TABLE1.items()}


def value(weights: dict[str, float], results: dict[str, float]) -> float:
    return sum(weight * results[row] for row, weight in weights.items())


def full_factorial(factors: str) -> dict[str, dict[str, bool]]:
    """Rows named by the factors that are on."""
    rows = {}
    for setting in product((False, True), repeat=len(factors)):
        on = dict(zip(factors, setting, strict=True))
        rows["".join(factor for factor in factors if on[factor]) or "-"] = on
    return rows


def test_the_matched_pairs_of_table_1_are_those_that_differ_in_one_factor_alone() -> None:
    found = {(pair.factor, pair.on, pair.off): (pair.leave_one_out, pair.add_one_in) for pair in pair_effects(ROWS)}
    assert found == {
        ("Softmax", "3", "2"): (False, True),
        ("Softmax", "8", "7"): (True, False),
        ("Quadruplet", "3", "1"): (False, True),
        ("Quadruplet", "5", "4"): (False, False),
        ("Quadruplet", "8", "6"): (True, False),
        ("Triplet", "3(T)", "1"): (True, True),
        ("SAC", "6", "4"): (False, False),
        ("SAC", "8", "5"): (True, False),
    }


def test_table_1_holds_two_complete_factorials_and_their_shapley_values_by_hand() -> None:
    first, second = games(ROWS)
    assert set(first.rows.values()) == {"4", "5", "6", "8"}
    assert first.always == ("Softmax", "DIL", "Multi")
    # Quadruplet: ((78.4 - 72.7) + (81.6 - 76.7)) / 2 = 5.3; SAC: ((76.7 - 72.7) + (81.6 - 78.4)) / 2 = 3.6
    assert [value(effect.weights, PAPER) for effect in shapley_values(first)] == pytest.approx([5.3, 3.6])
    # Interaction: 81.6 - 78.4 - 76.7 + 72.7 = -0.8
    assert [value(effect.weights, PAPER) for effect in interactions(first)] == pytest.approx([-0.8])
    # DIL and Multi are always on together, so they play as one: rows 1, 3, 4, 5.
    assert second.players == (("Quadruplet",), ("DIL", "Multi"))
    assert set(second.rows.values()) == {"1", "3", "4", "5"}


def test_shapley_values_and_interactions_find_known_effects() -> None:
    """v = 10 + 4 A + 2 B + 1 C + 3 AB: Shapley A = 4 + 1.5, B = 2 + 1.5, C = 1; interaction AB = 3, others 0."""
    rows = full_factorial("ABC")
    results = {row: 10 + 4 * on["A"] + 2 * on["B"] + on["C"] + 3 * (on["A"] and on["B"]) for row, on in rows.items()}
    (game,) = games(rows)
    assert [value(effect.weights, results) for effect in shapley_values(game)] == pytest.approx([5.5, 3.5, 1.0])
    assert [value(effect.weights, results) for effect in interactions(game)] == pytest.approx([3.0, 0.0, 0.0])


def test_a_three_way_effect_is_shared_by_three_and_halved_between_pairs() -> None:
    """v = 6 ABC: Shapley 6 / 3 each; a pair's interaction index is 6 / 2, the mean without and with the third."""
    rows = full_factorial("ABC")
    results = {row: 6.0 * all(on.values()) for row, on in rows.items()}
    (game,) = games(rows)
    assert [value(effect.weights, results) for effect in shapley_values(game)] == pytest.approx([2.0, 2.0, 2.0])
    assert [value(effect.weights, results) for effect in interactions(game)] == pytest.approx([3.0, 3.0, 3.0])


@given(st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_shapley_values_add_up_to_the_full_row_minus_the_base_row(count: int, seed: int) -> None:
    rows = full_factorial("ABCDE"[:count])
    results = dict(zip(rows, np.random.default_rng(seed).normal(size=len(rows)), strict=True))
    (game,) = games(rows)
    effects = shapley_values(game)
    assert sum(value(effect.weights, results) for effect in effects) == pytest.approx(
        results["ABCDE"[:count]] - results["-"]
    )
    for effect in (*effects, *interactions(game)):
        assert sum(effect.weights.values()) == pytest.approx(0.0)


def test_a_factorial_with_a_hole_gives_the_largest_whole_ones_instead() -> None:
    rows = full_factorial("ABC")
    del rows["ABC"]
    assert [len(game.players) for game in games(rows)] == [2, 2, 2]
    assert games({"1": {"A": True}, "2": {"A": False}}) == ()
    assert games({}) == ()


def test_rows_that_differ_beside_their_factors_are_kept_apart() -> None:
    def row(name: str, on: bool, backbone: str, weight: float) -> dict[str, object]:
        recipe = {"model": {"backbone": backbone}, "losses": {"sac": {"weight": weight}}}
        return {"id": name, "factors": {"SAC": on}, "recipe": recipe}

    shallow, better = row("50", False, "resnet50", 0.0), row("50+SAC", True, "resnet50", 1.0)
    deep = row("101", False, "resnet101", 0.0)
    assert comparable_rows([shallow, better, deep]) == (("50", "50+SAC"), ("101",))
    assert comparable_rows([shallow, better]) == (("50", "50+SAC"),)
    assert comparable_rows([{"id": "1", "factors": {"A": True}}, {"id": "2", "factors": {"A": False}}]) == (("1", "2"),)


def test_levels_of_a_factor_are_compared_with_each_other_and_play_against_their_reference() -> None:
    levels = {"W": (False, "low", "high")}
    rows = {
        "1": {"A": False, "W": False},
        "2": {"A": True, "W": False},
        "3": {"A": False, "W": "high"},
        "4": {"A": True, "W": "high"},
        "5": {"A": True, "W": "low"},
    }
    pairs = {(pair.on, pair.off): pair for pair in pair_effects(rows, levels)}
    assert {both: pair.change for both, pair in pairs.items()} == {
        ("2", "1"): "A",
        ("4", "3"): "A",
        ("3", "1"): "W=high",
        ("5", "2"): "W=low",
        ("4", "2"): "W=high",
        ("4", "5"): "W=high vs low",
    }
    # A row at another level does not extend one: between 5 and 4 nothing is left out and nothing added.
    assert (pairs["4", "5"].leave_one_out, pairs["4", "5"].add_one_in) == (False, False)
    assert (pairs["4", "2"].leave_one_out, pairs["3", "1"].add_one_in) == (True, True)
    (game,) = games(dict(zip(rows, columns_of(list(rows.values()), levels), strict=True)))
    assert game.players == (("A",), ("W=high",))
    assert sorted(game.rows.values()) == ["1", "2", "3", "4"]
