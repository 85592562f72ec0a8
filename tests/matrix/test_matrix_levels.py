"""Factors with levels: how they are declared, mentioned by rows, generators and constraints, and refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import InputError
from harness.matrix import load_matrix
from harness.matrix.levels import mentioned, setting_of
from harness.matrix.matrix import RefusedRow

HEIGHT = (
    "factors:\n"
    "  Height: {levels: {low: {data.height_px: 32}, tall: {data.height_px: 96}, huge: {data.height_px: 128}}}\n"
    "  Named: {levels: {long: {}, short: {stages.classify.epochs: 1}}}\n"
)
Declare = Callable[..., Path]


def table(rows: str) -> str:
    return f"title: T\nrecipe: recipe.yaml\nseeds: [0]\nmetrics: [mAP]\n{rows}"


def with_levels(declare: Declare, rows: str) -> Path:
    return declare(table_text=table(rows), recipe={"factors:\n": HEIGHT})


def refusal(declare: Declare, rows: str, recipe: str | None = None) -> str:
    path = declare(table_text=table(rows), recipe={"factors:\n": recipe or HEIGHT})
    with pytest.raises(InputError) as refused:
        load_matrix(path, profile="paper")
    return str(refused.value)


def test_a_row_takes_a_level_from_a_list_or_a_mapping_and_the_default_where_it_names_none(declare: Declare) -> None:
    path = with_levels(
        declare,
        "rows:\n"
        "  - {id: plain, factors: [Softmax]}\n"
        "  - {id: listed, factors: [Softmax, Height=tall]}\n"
        "  - {id: mapped, factors: {Softmax: true, DIL: false, Height: huge, Named: short}}\n",
    )
    matrix = load_matrix(path, profile="paper")
    plain, listed, mapped = matrix.rows
    assert [row.recipe.data.height_px for row in matrix.rows] == [64, 96, 128]
    assert [row.recipe.stages["classify"].epochs for row in matrix.rows] == [3, 3, 1]
    assert (plain.factors["Height"], plain.factors["Named"]) == (False, "long")
    assert (listed.factors["Height"], mapped.factors["Height"]) == ("tall", "huge")
    assert matrix.levels == {"Height": (False, "low", "tall", "huge"), "Named": ("long", "short")}
    assert mentioned(mapped.factors) == ("Height=huge", "Named=short", "Softmax")


def test_generators_vary_a_factor_over_all_its_levels_or_between_its_default_and_one(declare: Declare) -> None:
    path = with_levels(
        declare,
        "generate:\n"
        "  full_factorial: {base: [Softmax], factors: [Named, Height=tall]}\n"
        "  leave_one_out: {base: [Softmax], factors: [Height=low, DIL]}\n"
        "  add_one_in: {base: [Softmax], factors: [Height]}\n",
    )
    matrix = load_matrix(path, profile="paper")
    assert [(row.id, row.recipe.data.height_px, row.factors["Named"]) for row in matrix.rows] == [
        ("Softmax + Named=long", 64, "long"),
        ("Softmax + Named=long + Height=tall", 96, "long"),
        ("Softmax + Named=short", 64, "short"),
        ("Softmax + Named=short + Height=tall", 96, "short"),
        ("full", 32, "long"),
        ("full - Height=low", 64, "long"),
        ("full - DIL", 32, "long"),
        ("base", 64, "long"),
        ("base + Height=low", 32, "long"),
        ("base + Height=tall", 96, "long"),
        ("base + Height=huge", 128, "long"),
    ]


def test_constraints_name_a_level_or_any_but_the_default(declare: Declare) -> None:
    path = declare(
        table_text=table(
            "rows:\n"
            "  - {id: a, factors: [Softmax, DIL]}\n"
            "  - {id: b, factors: [Softmax, DIL, Height=low]}\n"
            "  - {id: c, factors: [Softmax, DIL, Height=tall]}\n"
        ),
        recipe={
            "factors:\n": HEIGHT,
            "  DIL: {patch: {model.output_stride: 8, model.stage6: true}}": (
                "  DIL: {patch: {model.output_stride: 8}, requires: [Height], excludes: [Height=tall]}"
            ),
        },
    )
    matrix = load_matrix(path, profile="paper")
    assert [row.id for row in matrix.rows] == ["b"]
    assert matrix.refused == (
        RefusedRow("a", ("Named=long", "Softmax", "DIL"), "table.yaml:6: DIL requires Height (recipe.yaml:18)"),
        RefusedRow(
            "c",
            ("Height=tall", "Named=long", "Softmax", "DIL"),
            "table.yaml:8: DIL excludes Height=tall (recipe.yaml:18)",
        ),
    )


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ("[Height]", 'rows.0.factors.0: found "Height", which has levels; expected Height=low or Height=tall or'),
        ("[Height=tal]", 'rows.0.factors.0: Height has no level "tal"; did you mean "tall"? (one of: huge, low, tall)'),
        ("{Height: tal}", 'rows.0.factors.Height: Height has no level "tal"; did you mean "tall"?'),
        ("[Hight=tall]", 'rows.0.factors.0: "Hight" is not a factor; did you mean "Height"?'),
        ("{Hight: false}", 'rows.0.factors.Hight: "Hight" is not a factor; did you mean "Height"?'),
        ("[Softmax=on]", 'rows.0.factors.0: Softmax has no level "on": it is on (write "Softmax") or off'),
        ("{Softmax: [1]}", "rows.0.factors.Softmax: found a list, expected true, false or the name of a level"),
        ("[Height=low, Height=tall]", "rows.0.factors: mentions Height twice, expected one level"),
    ],
)
def test_a_level_that_there_is_not_is_refused_by_its_place(declare: Declare, factors: str, message: str) -> None:
    refused = refusal(declare, f"rows:\n  - {{id: a, factors: {factors}}}\n")
    assert refused.startswith(f"table.yaml:6: {message}"), refused


@pytest.mark.parametrize(
    ("generate", "message"),
    [
        (
            "leave_one_out: {factors: [Height]}",
            'factors.0: found "Height", which has levels; expected one of them: Hei',
        ),
        ("full_factorial: {base: [Height], factors: [DIL]}", 'base.0: found "Height", which has levels; expected one'),
        ("add_one_in: {factors: [DIL=off]}", 'factors.0: found "DIL=off", expected a factor that is on'),
        ("add_one_in: {factors: [Height=x]}", 'factors.0: Height has no level "x"; expected one of: huge, low, tall'),
    ],
)
def test_a_generator_says_which_level_it_wants(declare: Declare, generate: str, message: str) -> None:
    kind = generate.partition(":")[0]
    assert refusal(declare, f"generate: {{{generate}}}\n").startswith(f"table.yaml:5: generate.{kind}.{message}")


@pytest.mark.parametrize(
    ("factor", "message"),
    [
        ("A: {levels: {x: {}}}", "factors.A.levels: found no level that sets anything, expected at least one"),
        ("A: {levels: {x: {}, y: {}, z: {data.height_px: 1}}}", "factors.A.levels.y: sets nothing, as x does"),
        ("A: {patch: {}, levels: {x: {data.hight_px: 1}}}", 'factors.A.levels.x.data.hight_px: "hight_px" is not'),
        ("A: {patch: {data.height_px: 1}, levels: {x: {data.height_px: 1}}}", "factors.A.patch: belongs to a factor"),
        ("A: {off: {data.height_px: 1}, levels: {x: {data.height_px: 1}}}", "factors.A.off: belongs to a factor"),
        ("A=b: {levels: {x: {data.height_px: 1}}}", 'factors.A=b: found "A=b", expected a name without "="'),
        ('A: {levels: {"a,b": {data.height_px: 1}}}', "factors.A.levels.a,b: found 'a,b', expected 1 to 80 printable"),
    ],
)
def test_levels_that_cannot_be_are_refused_by_their_place(declare: Declare, factor: str, message: str) -> None:
    refused = refusal(declare, "rows:\n  - {id: a, factors: []}\n", f"factors:\n  {factor}\n")
    assert refused.startswith(f"recipe.yaml:15: {message}"), refused


def test_a_toggle_cannot_be_called_as_a_level_is(declare: Declare) -> None:
    recipe = "factors:\n  A: {levels: {x: {data.height_px: 1}}}\n  A=x: {patch: {data.height_px: 2}}\n"
    refused = refusal(declare, "rows:\n  - {id: a, factors: []}\n", recipe)
    assert refused == 'recipe.yaml:16: factors.A=x: "A=x" is already a level of A'


def test_an_override_may_change_a_value_that_one_level_sets_but_not_one_that_several_set(declare: Declare) -> None:
    rows = "rows:\n  - {id: a, factors: [Softmax]}\n  - {id: b, factors: [Softmax, Named=short]}\n"
    path = with_levels(declare, rows)
    matrix = load_matrix(path, profile="paper", overrides={"stages.classify.epochs": 2})
    assert [row.recipe.stages["classify"].epochs for row in matrix.rows] == [3, 2]
    with pytest.raises(InputError) as refused:
        load_matrix(path, profile="paper", overrides={"data.height_px": 80})
    assert str(refused.value) == (
        "--set data.height_px: Height sets it by level (low and tall and huge), and one value would make them all the "
        "same; change them at recipe.yaml:15"
    )


LEVELS = {"A": (False, True), "B": (False, "x", "y=z"), "C": ("c", "d")}


@given(st.fixed_dictionaries({factor: st.sampled_from(levels) for factor, levels in LEVELS.items()}))
def test_what_a_setting_mentions_gives_the_setting_again(setting: dict[str, bool | str]) -> None:
    assert setting_of(mentioned(setting), LEVELS) == setting
