"""Tables in Python say what YAML says: the same checks, the same identities, the same keys."""

import doctest
import json
import math
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

import harness.api.doctor
import harness.matrix.matrix
import harness.table.declare
import harness.table.declared
from harness import Claim, Factor, InputError, Recipe, Row, Table
from harness.matrix.schema import ClaimSpec, FactorSpec, RecipeHeader, RowSpec
from harness.table.declare import plain

DECLARED: dict[str, Any] = {
    "title": "A toy",
    "seeds": [0, 1],
    "metrics": ["score"],
    "rows": [{"id": "plain", "factors": []}, {"id": "more", "factors": ["Gain=more"], "set": {"steps": 2}}],
    "claims": [{"text": "more", "better": "more", "than": "plain", "metric": "score", "by": 0.1}],
}
RECIPE: dict[str, Any] = {
    "trainer": "toy:train",
    "settings": {"gain": 0.5, "steps": 3, "wide": False},
    "metrics": {"score": {"title": "Score"}, "loss": {"better": "lower"}},
    "factors": {"Gain": {"levels": {"more": {"gain": 0.7}}}},
}


def stages_of(table: Table) -> list[str]:
    return list(table.plan(progress=False).stages.fingerprint)


def test_a_table_in_python_a_file_and_a_file_with_its_recipe_inside_have_the_same_stages(folder: Path) -> None:
    (folder / "recipe.yaml").write_text(json.dumps(RECIPE))
    (folder / "named.yaml").write_text(json.dumps({**DECLARED, "recipe": "recipe.yaml"}))
    (folder / "inside.yaml").write_text(json.dumps({**DECLARED, "recipe": RECIPE}))
    in_python = Table.declare(
        "toy",
        title="A toy",
        seeds=(0, 1),
        metrics=("score",),
        recipe=Recipe(
            "toy:train",
            settings=RECIPE["settings"],
            metrics=RECIPE["metrics"],
            factors={"Gain": Factor(levels={"more": {"gain": 0.7}})},
        ),
        rows=[Row("plain", ()), Row("more", {"Gain": "more"}, set={"steps": 2})],
        claims=[Claim("more", "more", "plain", "score", by=0.1)],
    )
    expected = stages_of(Table("named.yaml"))
    assert len(expected) == 4
    assert stages_of(Table(folder / "inside.yaml")) == expected
    assert stages_of(in_python) == expected


def test_a_recipe_inside_a_table_is_checked_by_its_line(folder: Path) -> None:
    (folder / "table.yaml").write_text(
        "title: T\nseeds: [0]\nmetrics: [score]\nrows: [{id: a, factors: []}]\n"
        "recipe:\n  trainer: toy:train\n  settings: {gain: 0.5}\n  metrics: {score: {}}\n"
        "  factors:\n    Gain: {patch: {gian: 0.7}}\n"
    )
    with pytest.raises(
        InputError, match=r'^table\.yaml:10: factors\.Gain\.patch\.gian: "gian" is not a key; did you mean'
    ):
        Table("table.yaml")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": [Row("a", ["Gian"])]}, 'table toy: rows.0.factors.0: "Gian" is not a factor; did you mean "Gain"?'),
        ({"metrics": ["scor"]}, None),
        ({"seeds": [-1]}, "table toy: seeds: found the seed -1, expected a whole number from 0"),
        ({"rows": []}, "table toy: rows: found no rows, expected some here or a generate: block"),
        ({"titel": "T"}, 'table toy: titel: "titel" is not a key here; did you mean "title"?'),
        ({"recipe": 3}, "table toy: recipe: found 3, expected the name of a recipe file, or the recipe"),
        ({"claims": [Claim("c", "a", "b", "score")]}, 'table toy: claims.0.better: "a" is not a row'),
    ],
)
def test_what_yaml_refuses_is_refused_with_the_same_sentence(
    folder: Path, changes: dict[str, Any], message: str | None
) -> None:
    declared = {"recipe": RECIPE, **DECLARED, **changes}
    with pytest.raises(InputError) as refused:
        _ = Table.declare("toy", **declared).rows
    assert message is None or str(refused.value).startswith(message), str(refused.value)


@pytest.mark.parametrize(
    ("ours", "schema"), [(Claim, ClaimSpec), (Factor, FactorSpec), (Row, RowSpec), (Recipe, RecipeHeader)]
)
def test_the_objects_have_the_keys_of_the_yaml(ours: Any, schema: Any) -> None:
    assert {each.name for each in fields(ours)} == set(schema.model_fields)
    required = {each.name for each in fields(ours) if each.default is MISSING and each.default_factory is MISSING}
    assert required == {name for name, each in schema.model_fields.items() if each.is_required()}


def test_a_function_is_named_by_its_module() -> None:
    assert plain(Recipe(math.hypot)) == {"trainer": "math:hypot"}
    with pytest.raises(InputError, match="other processes cannot import it; put it into a file of its own"):
        plain(Recipe(lambda settings, run: {}))


def test_the_examples_of_the_docstrings_hold() -> None:
    for module in (harness, harness.api.doctor, harness.matrix.matrix, harness.table.declare, harness.table.declared):
        assert doctest.testmod(module).failed == 0
