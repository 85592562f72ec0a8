"""Controls of equal training: which rows are added to a table, for which claims, and what they train."""

import json
from pathlib import Path

import pytest

from harness.errors import InputError
from harness.matrix import load_matrix, matrix_to_json
from harness.matrix.matrix import Control

ABLATIONS = Path(__file__).parents[2] / "ablations"


@pytest.fixture
def table1(tmp_path: Path) -> Path:
    text = (ABLATIONS / "table1.yaml").read_text().replace("recipes/", f"{ABLATIONS}/recipes/")
    path = tmp_path / "table1.yaml"
    path.write_text(text.replace("metrics: [mAP, rank1]", "metrics: [mAP, rank1]\ncontrols: matched"))
    return path


def test_row_1_gets_stage_2_with_the_losses_of_stage_1_and_nothing_else_changes(table1: Path) -> None:
    matrix = load_matrix(table1, profile="paper")
    rows = {row.id: row for row in matrix.rows}
    assert [row.id for row in matrix.rows if row.control] == ["1 trained as 3", "6 trained as 8"]
    for own, other, losses in (("1", "3", ["softmax"]), ("6", "8", ["softmax", "sac"])):
        control = rows[f"{own} trained as {other}"]
        assert control.factors == rows[own].factors
        assert control.paper == {}
        assert control.recipe.trained_stages() == rows[other].recipe.trained_stages() == ("classify", "metric")
        assert list(control.recipe.active_losses("metric")) == losses
        for part in ("epochs", "sampler", "optimizer", "schedule"):
            assert getattr(control.recipe.stages["metric"], part) == getattr(rows[other].recipe.stages["metric"], part)
        assert control.recipe.stages["classify"] == rows[own].recipe.stages["classify"]
        assert control.recipe.losses == rows[own].recipe.losses
        assert control.recipe.model == rows[own].recipe.model


def test_every_claim_of_unequal_training_has_a_control_or_a_reason(table1: Path) -> None:
    controls = {(one.better, one.than): one for one in load_matrix(table1, profile="paper").controls}
    assert controls["3", "1"] == Control("3", "1", "1", "1 trained as 3")
    assert controls["8", "6"] == Control("8", "6", "6", "6 trained as 8")
    assert controls["3", "2"].reason == (
        "row 2 cannot be trained as 3 is: with its losses off, stage classify has nothing to learn from"
    )
    assert controls["1", "2"].reason == (
        "row 2 cannot be trained as 1 is: it trains stage metric, which the other does not"
    )
    assert set(controls) == {("3", "1"), ("8", "6"), ("3", "2"), ("8", "7"), ("1", "2"), ("6", "7")}


def test_a_part_of_the_table_has_the_controls_of_its_own_claims_and_a_control_may_be_named(table1: Path) -> None:
    def ids(*rows: str) -> list[str]:
        return [row.id for row in load_matrix(table1, profile="paper", rows=list(rows)).rows]

    assert ids("1", "3") == ["1", "3", "1 trained as 3"]
    assert ids("1", "5") == ["1", "5"]
    assert ids("6 trained as 8") == ["6 trained as 8"]
    with pytest.raises(InputError, match=r'--rows: "6 trained as 3" is not a row .* did you mean "6 trained as 8"'):
        ids("6 trained as 3")


def test_without_the_key_nothing_is_added_and_the_record_is_as_before(declare) -> None:
    exported = matrix_to_json(load_matrix(declare(), profile="paper"))
    assert "controls" not in exported
    assert not any("control" in row for row in exported["rows"])


def test_a_control_whose_name_is_taken_or_too_long_gets_another(table1: Path) -> None:
    text = (
        table1.read_text().replace('id: "2",', 'id: "1 trained as 3",').replace('than: "2"', 'than: "1 trained as 3"')
    )
    table1.write_text(text)
    controls = {(one.better, one.than): one for one in load_matrix(table1, profile="paper").controls}
    assert controls["3", "1"].row == "control 1"


def test_a_trainer_without_controls_is_named_where_they_are_asked_for(tmp_path: Path) -> None:
    recipe = {"trainer": "math:hypot", "settings": {"x": 1.0}, "metrics": {"length": {}}}
    table = {"title": "T", "recipe": recipe, "seeds": [0], "metrics": ["length"], "controls": "matched"}
    path = tmp_path / "table.yaml"
    path.write_text(json.dumps({**table, "rows": [{"id": "a", "factors": []}]}))
    with pytest.raises(InputError, match=r"controls: this recipe's trainer makes no matched controls"):
        load_matrix(path)
