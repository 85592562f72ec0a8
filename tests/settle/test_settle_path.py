"""The way to verdicts: rounds, looks, budgets, and that nothing but results decides it."""

import itertools
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from settle_world import drawn, look_at

from harness.settle import Comparison, Costs, Declared, Path, Run, expected, most_runs, replay

ROWS = ("a", "b", "c", "d")


def declared(*comparisons: Comparison, most: int = 30, **more: object) -> Declared:
    return Declared(comparisons, ROWS, (0, 1, 2), most, **more)  # type: ignore[arg-type]


def compared(better: str, than: str, within: float | None = None) -> Comparison:
    return Comparison(better, than, "score", within)


def scores(means: Mapping[str, float], seed: int = 0) -> dict[str, list[float]]:
    return drawn(means, 40, np.random.default_rng(seed))


def verdicts(path: Path) -> list[tuple[str, str, int]]:
    return [(line.verdict, line.why, line.seeds) for line in path.lines]


def test_a_large_difference_is_decided_early_and_a_small_one_trains_on_alone() -> None:
    comparisons = declared(compared("a", "b"), compared("c", "d"))
    path = replay(comparisons, look_at(scores({"a": 12, "b": 0, "c": 1.2, "d": 0})))
    (large, _, few), (small, _, many) = verdicts(path)
    assert (large, small) == ("better", "better")
    assert few < many
    trained = {row: sum(run[0] == row for run in path.runs) for row in ROWS}
    assert trained == {"a": few, "b": few, "c": many, "d": many}


def test_a_difference_to_the_other_side_is_worse() -> None:
    path = replay(declared(compared("b", "a")), look_at(scores({"a": 12, "b": 0, "c": 0, "d": 0})))
    assert path.lines[0].verdict == "worse"


def test_where_nothing_differs_it_ends_practically_equal_and_not_at_the_last_seed() -> None:
    path = replay(declared(compared("a", "b", 3.0), compared("c", "d", 3.0)), look_at(scores(dict.fromkeys(ROWS, 0))))
    assert [line.verdict for line in path.lines] == ["practically equal"] * 2
    assert all(line.seeds < 27 for line in path.lines)


def test_without_a_margin_nothing_ends_equal() -> None:
    path = replay(declared(compared("a", "b"), most=8), look_at(scores(dict.fromkeys(ROWS, 0))))
    assert verdicts(path) == [("open", "seeds", 8)]


def test_declared_seeds_are_trained_for_all_rows_and_later_ones_only_where_needed() -> None:
    path = replay(declared(compared("a", "b"), most=4), look_at(scores(dict.fromkeys(ROWS, 0))))
    assert set(path.rounds[0].runs) == {(row, seed) for row in ROWS for seed in (0, 1, 2)}
    assert path.rounds[1].runs == (("a", 3), ("b", 3))


def test_before_anything_is_trained_the_declared_seeds_are_needed() -> None:
    path = replay(declared(compared("a", "b")), look_at({}, lambda _: False))
    assert set(path.needs) == {(row, seed) for row in ROWS for seed in (0, 1, 2)}
    assert verdicts(path) == [("open", "missing", 0)]


def test_one_declared_seed_is_brought_to_three_for_the_rows_compared() -> None:
    path = replay(Declared((compared("a", "b"),), ROWS, (7,), 3), look_at({}, lambda _: False))
    assert set(path.needs) == {(row, 7) for row in ROWS} | {(row, seed) for row in "ab" for seed in (8, 9)}


def test_a_run_that_failed_leaves_its_comparison_open_and_the_others_go_on() -> None:
    lost = ("a", 3)
    look = look_at(scores({"a": 0, "b": 0, "c": 2, "d": 0}), lambda run: run != lost)
    path = replay(declared(compared("a", "b"), compared("c", "d")), look, lambda run: run == lost)
    assert verdicts(path)[0] == ("open", "failed", 3)
    assert path.lines[0].lacking == lost
    assert path.lines[1].verdict == "better"
    assert not path.needs


COSTS = Costs({"a": (("shared", 100.0), ("a", 1.0)), "b": (("shared", 100.0), ("b", 1.0)), "c": (("c", 5.0),), "d": ()})


def test_under_a_budget_the_cheapest_comparison_goes_first_and_the_budget_is_kept() -> None:
    look = look_at(scores({"a": 1.5, "b": 0, "c": 1.5, "d": 0}))
    both = (compared("a", "b"), compared("c", "d"))
    path = replay(declared(*both, budget_s=99.0, costs=COSTS), look)
    assert verdicts(path)[0] == ("open", "budget", 3)
    assert path.lines[1].verdict == "better"
    spent = sum(one.seconds for one in path.rounds[1:])
    assert 0 < spent <= 99.0
    assert spent == 5.0 * (path.lines[1].seeds - 3)


def test_a_shared_stage_is_paid_once() -> None:
    path = replay(declared(compared("a", "b"), most=4, costs=COSTS), look_at(scores(dict.fromkeys(ROWS, 0))))
    assert path.rounds[1].seconds == 102.0


@given(st.integers(0, 10**6), st.data())
def test_killed_anywhere_it_goes_the_same_way(seed: int, data: st.DataObject) -> None:
    """Results come in any order and any part of a round; what is asked for next leads to the same path."""
    all_scores = scores({"a": 1.0, "b": 0.0, "c": 2.0, "d": 0.0}, seed)
    table = declared(compared("a", "b", 1.0), compared("c", "d", 1.0), compared("a", "c"), budget_s=900.0, costs=COSTS)
    whole = replay(table, look_at(all_scores))
    there: set[Run] = set()
    for _ in range(200):
        path = replay(table, look_at(all_scores, there.__contains__))
        assert path.rounds == whole.rounds[: len(path.rounds)]
        if not path.needs:
            break
        wanted = sorted(set(path.needs) - there)
        there |= set(data.draw(st.permutations(wanted))[: data.draw(st.integers(1, len(wanted)))])
    assert verdicts(path) == verdicts(whole)
    assert there >= whole.runs - {run for run in whole.runs if run[0] not in "abcd"}


@given(st.integers(0, 10**6), st.integers(3, 12))
def test_more_seeds_later_go_on_with_what_was_seen(seed: int, most: int) -> None:
    all_scores = scores({"a": 0.8, "b": 0.0, "c": 0.0, "d": 0.0}, seed)
    pair = (compared("a", "b", 0.5), compared("c", "d", 0.5))
    few, many = (replay(declared(*pair, most=count), look_at(all_scores)) for count in (most, 30))
    for before, after in zip(few.lines, many.lines, strict=True):
        assert after.looks[: len(before.looks)] == before.looks
        assert before.verdict in ("open", after.verdict)


@pytest.mark.parametrize("within", [None, 1.5])
def test_of_many_tables_without_differences_at_most_five_percent_have_a_wrong_verdict(within: float | None) -> None:
    pairs = [compared(better, than, within) for better in ROWS for than in ROWS if better < than]
    wrong = 0
    for seed in range(400):
        path = replay(declared(*pairs, most=15), look_at(scores(dict.fromkeys(ROWS, 0.0), seed)))
        wrong += any(line.verdict in ("better", "worse") for line in path.lines)
    assert wrong / 400 <= 0.05


def test_of_tables_whose_differences_are_the_margin_at_most_five_percent_are_called_equal() -> None:
    pairs = [compared("a", "b", 1.0), compared("c", "d", 1.0), compared("b", "c", 1.0)]
    wrong = 0
    for seed in range(400):
        path = replay(declared(*pairs, most=40), look_at(scores({"a": 3.0, "b": 2.0, "c": 1.0, "d": 0.0}, seed)))
        wrong += any(line.verdict in ("worse", "practically equal") for line in path.lines)
    assert wrong / 400 <= 0.05


def test_a_plan_expects_fewer_runs_the_larger_the_differences_and_never_more_than_at_most() -> None:
    table = declared(compared("a", "b"), compared("c", "d", 0.5), most=20)
    found = [expected(table, effect) for effect in (1.0, 2.0, 4.0, 20.0)]
    assert all(more.runs > fewer.runs for more, fewer in itertools.pairwise(found))
    assert found[0].runs <= len(most_runs(table)) == 4 * 18
    assert found[-1].decided == 1.0
    assert found[-1].runs >= 4 * 3
