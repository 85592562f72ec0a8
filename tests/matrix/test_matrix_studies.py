"""Values that a table takes from a finished search."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import InputError
from harness.matrix import expand, read_declaration

RECIPES = Path(__file__).parents[2] / "ablations" / "recipes"
TABLE = """\
title: t
recipe: RECIPES/market1501.yaml
seeds: [0]
metrics: [mAP]
set:
  losses.quadruplet: {epsilon1: {from: margins}, epsilon2: {from: margins}}
rows:
  - {id: "3", factors: [Softmax, Quadruplet]}
  - {id: "2", factors: [Quadruplet]}
"""
E1, E2 = "losses.quadruplet.epsilon1", "losses.quadruplet.epsilon2"


def study(row: str, epsilon1: float) -> dict[str, Any]:
    return {"row": row, "study": f"margins/demo/{row}/abc", "best": {"params": {E1: epsilon1, E2: 0.1}}}


def matrix_with(folder: Path, record: dict[str, Any] | None, **options: Any) -> Any:
    (folder / "table.yaml").write_text(TABLE.replace("RECIPES", str(RECIPES)), encoding="utf-8")
    if record is not None:
        (folder / "margins-demo.json").write_text(json.dumps(record), encoding="utf-8")
    return expand(read_declaration(folder / "table.yaml"), profile="demo", studies=folder, **options)


def margins(matrix: Any) -> dict[str, tuple[float, float]]:
    losses = {row.id: row.recipe.losses.quadruplet for row in matrix.rows}
    return {row: (loss.epsilon1, loss.epsilon2) for row, loss in losses.items()}


def test_a_study_tuned_once_fixes_its_values_for_all_rows_and_is_named(tmp_path: Path) -> None:
    matrix = matrix_with(tmp_path, {"tune": "once", "studies": [study("3", 0.7)]})
    assert margins(matrix) == {"3": (0.7, 0.1), "2": (0.7, 0.1)}
    assert matrix.studies == {"margins": "margins/demo/3/abc, tuned once"}
    assert any("from the study margins" in note for note in matrix.notes)


def test_a_study_tuned_per_row_gives_each_row_its_own(tmp_path: Path) -> None:
    matrix = matrix_with(tmp_path, {"tune": "per-row", "studies": [study("3", 0.7), study("2", 0.9)]})
    assert margins(matrix) == {"3": (0.7, 0.1), "2": (0.9, 0.1)}


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (None, "the study margins is not finished under the profile demo"),
        ({"tune": "once", "studies": [{**study("3", 0.7), "best": None}]}, "has no trial with a result"),
        ({"tune": "per-row", "studies": [study("3", 0.7)]}, 'no search for row "2"'),
        ({"tune": "once", "studies": [{**study("3", 0.7), "best": {"params": {E1: 0.7}}}]}, "did not search it"),
    ],
)
def test_a_value_that_no_study_found_is_refused_by_line(tmp_path: Path, record: Any, message: str) -> None:
    with pytest.raises(InputError) as refused:
        matrix_with(tmp_path, record)
    assert message in str(refused.value)
    assert "table.yaml:6" in str(refused.value)


def test_a_search_of_the_values_needs_no_study_of_them(tmp_path: Path) -> None:
    matrix = matrix_with(tmp_path, None, searched={E1: 0.3, E2: 0.0})
    assert margins(matrix)["3"] == (0.3, 0.0)
    assert matrix.studies == {}


def test_a_set_on_the_command_line_wins_over_a_study(tmp_path: Path) -> None:
    matrix = matrix_with(tmp_path, None, overrides={E1: 0.4, E2: 0.3})
    assert margins(matrix)["3"] == (0.4, 0.3)
