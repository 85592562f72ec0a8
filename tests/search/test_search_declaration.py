"""What a search file may say, and how its mistakes are reported."""

import doctest
import importlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import InputError
from harness.search import read_search
from harness.search.constraint import parse_comparison
from harness.search.space import Dimension, grid_points

TABLE = Path(__file__).parents[2] / "ablations" / "table1.yaml"
FILE = f"""\
title: Margins
table: {TABLE}
tune: once
rows: ["3"]
space:
  losses.quadruplet.epsilon1: {{low: 0.1, high: 0.9, step: 0.2}}
  losses.quadruplet.epsilon2: {{low: 0.0, high: 0.8, step: 0.2}}
constraints: [losses.quadruplet.epsilon2 < losses.quadruplet.epsilon1]
sampler: grid
budget: {{trials: 25}}
metric: mAP
seeds: [0]
confirm: [7]
held_out: {{share: 0.2, seed: 0}}
profiles:
  demo: {{trials: 3, seeds: [1, 2]}}
"""


def write(folder: Path, *changes: tuple[str, str]) -> Path:
    text = FILE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "margins.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_search_file_is_read_whole(tmp_path: Path) -> None:
    search = read_search(write(tmp_path))
    assert search.name == "margins"
    assert search.table.path == TABLE
    # 0.1 + 2 * 0.2 is 0.5000000000000001 in binary: what a recipe gets is 0.5
    assert search.space["losses.quadruplet.epsilon1"].grid() == (0.1, 0.3, 0.5, 0.7, 0.9)
    assert search.budget.trials == 25


def test_a_profile_changes_trials_and_seeds_and_the_command_line_the_trials(tmp_path: Path) -> None:
    search = read_search(write(tmp_path))
    assert (search.under("demo").budget.trials, search.under("demo").seeds) == (3, (1, 2))
    assert search.under("demo", 9).budget.trials == 9
    assert search.under("paper").seeds == (0,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("metric: mAP", "metric: mAP\nobjective: test"),
            'margins.yaml:12: objective: found the text "test", expected',
        ),
        (
            ("epsilon2: {low", "epsilon3: {low"),
            'margins.yaml:7: space.losses.quadruplet.epsilon3: "epsilon3" is not a key',
        ),
        (("epsilon1: {low: 0.1", "epsilon1: {low: 1.1"), "expected low below high"),
        ((", step: 0.2}\n  losses", "}\n  losses"), "found no step, which the grid needs"),
        (
            ("high: 0.8, step: 0.2", "high: 0.9, step: 0.2"),
            "found high 0.9, which no step ends on; the last value below",
        ),
        (("high: 0.8, step: 0.2", "high: 0.8, step: 1e12"), "no step ends on; the last value below it is 0"),
        (("high: 0.8, step: 0.2", "high: 0.8, step: 1e-9"), "makes 8e+08 values; expected at most 10000"),
        (("step: 0.2", "step: 0.002"), "margins.yaml:5: space: found a grid of 160801 points"),
        (("sampler: grid", "sampler: genetic"), "margins.yaml:9: sampler"),
        (("epsilon2 < losses", "epsilon2 << losses"), "margins.yaml:8: constraints.0: found"),
        (("epsilon2 < losses", "epsilon2 < model"), "margins.yaml:8: constraints.0"),
        (('rows: ["3"]', 'rows: ["3", "5"]'), "expected one with tune: once"),
        (('rows: ["3"]\n', 'rows: ["3"]\ncolour: red\n'), '"colour" is not a key here'),
        (("losses.quadruplet.epsilon1: {low", "data.height_px: {low"), "decides how a trial is measured"),
        (
            ("sampler: grid", "sampler: grid\npruner: {kind: wilcoxon, every: 1}"),
            'margins.yaml:10: pruner.kind: found the text "wilcoxon", expected "median", "successive_halving" or',
        ),
        (("sampler: grid", "sampler: grid\npruner: {kind: median}"), "margins.yaml:10: pruner.every: missing"),
        (("sampler: grid", "sampler: grid\npruner: median"), "margins.yaml:10: pruner: found the text"),
    ],
)
def test_a_mistake_is_reported_with_file_line_and_key(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    with pytest.raises(InputError) as refused:
        read_search(write(tmp_path, change))
    assert message in str(refused.value)


def test_seeds_that_choose_do_not_confirm(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected fresh ones"):
        read_search(write(tmp_path, ("confirm: [7]", "confirm: [0, 7]"))).under("paper")


def test_a_pruner_needs_seeds_whose_spread_it_can_know(tmp_path: Path) -> None:
    pruner = "pruner: {kind: median, every: 2}"
    search = read_search(write(tmp_path, ("sampler: grid", f"sampler: grid\n{pruner}")))
    with pytest.raises(InputError, match=r"margins.yaml:10: pruner: .* expected two or more seeds, found \[0\]"):
        search.under("paper")
    assert search.under("demo").pruner is not None
    changed = write(tmp_path, ("demo: {trials: 3, seeds: [1, 2]}", f"demo: {{{pruner}}}"))
    with pytest.raises(InputError, match=r"margins.yaml:16: profiles.demo.pruner: "):
        read_search(changed).under("demo")


@pytest.mark.parametrize("text", ["a", "a < b < c", "a == b", "1 < 2", "a < b and b < c", "__import__('os') < 1 2", ""])
def test_what_is_no_single_comparison_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected one comparison"):
        parse_comparison(text)


@given(st.floats(-10, 10), st.floats(-10, 10), st.sampled_from(["<", "<=", ">", ">="]))
def test_a_point_is_feasible_exactly_where_the_comparison_holds(a: float, b: float, sign: str) -> None:
    holds = {"<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[sign]
    assert (parse_comparison(f"x.a {sign} x.b").violation({"x.a": a, "x.b": b}) <= 0) is holds


def test_numbers_written_without_a_point_stay_whole() -> None:
    whole = Dimension("stages.metric.epochs", low=2.0, high=6.0, step=2.0, whole=True)
    assert whole.grid() == (2, 4, 6)
    assert all(isinstance(value, int) for value in whole.grid())


def test_a_grid_holds_every_combination_once() -> None:
    space = {"a": Dimension("a", low=0.0, high=0.4, step=0.2), "b": Dimension("b", choices=("x", "y"))}
    points = list(grid_points(space))
    assert len(points) == 3 * 2 == len({tuple(point.values()) for point in points})


@pytest.mark.parametrize("module", ["constraint", "noise"])
def test_the_examples_in_the_docstrings_hold(module: str) -> None:
    assert doctest.testmod(importlib.import_module(f"harness.search.{module}")).failed == 0
