"""The rows worth adding: the most telling ones of those that can be declared."""

from itertools import product
from pathlib import Path

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plan_tables import FACTORS, planned
from test_plan_identifiable import ROWS, estimable_by_rank, setting, some_rows

from harness.matrix import declarable, expand, load_matrix, read_declaration
from harness.plan.identifiable import Setting, matched_pairs
from harness.plan.suggest import most_informative_row, rows_to_add

RECIPES = Path(__file__).parents[2] / "ablations" / "recipes"


def fits_table_1(on: Setting) -> bool:
    return (on["DIL"] or not on["SAC"]) and not (on["Quadruplet"] and on["Triplet"])


def test_the_row_that_would_add_most_to_table_1_separates_them() -> None:
    # Softmax + Multi makes both effects estimable and pairs with row 1 (Multi) and row 4 (DIL): no row does more, and
    # of those that do as much it turns the fewest factors on (Softmax + DIL does as well, and comes later).
    suggestion = most_informative_row(list(ROWS.values()), fits_table_1)
    assert suggestion is not None
    assert suggestion.factors in {("Softmax", "Multi"), ("Softmax", "DIL")}
    assert suggestion.main_effects == ("DIL", "Multi")
    assert suggestion.paired == ("DIL", "Multi")


def test_a_suggested_row_obeys_the_constraints() -> None:
    rows = [setting(), setting("A"), setting("B")]
    free = most_informative_row(rows, lambda _: True)
    assert free is not None
    assert free.factors == ("C",)
    needs_a = most_informative_row(rows, lambda on: not on["C"] or (on["A"] and not on["B"]))
    assert needs_a is not None
    assert needs_a.factors == ("A", "C")


def test_rows_that_identify_everything_get_no_suggestion() -> None:
    full = [dict(zip("AB", on, strict=True)) for on in product((False, True), repeat=2)]
    assert most_informative_row(full, lambda _: True) is None


def test_many_factors_are_searched_near_the_declared_rows() -> None:
    factors = "".join(chr(ord("A") + number) for number in range(16))
    suggestion = most_informative_row([setting(factors=factors), setting("A", factors=factors)], lambda _: True)
    assert suggestion is not None
    assert suggestion.factors == ("P",) or len(suggestion.factors) == 1


@given(some_rows)
def test_the_suggestion_is_the_best_of_all_rows_by_brute_force(rows: list[dict[str, bool]]) -> None:
    named = {str(number): row for number, row in enumerate(rows)}
    before, paired = set(estimable_by_rank(rows)), {pair.factor for pair in matched_pairs(named)}
    best = (0, 0)
    for on in product((False, True), repeat=4):
        candidate = dict(zip("ABCD", on, strict=True))
        if candidate not in rows:
            effects = len(set(estimable_by_rank([*rows, candidate])) - before)
            pairs = len({pair.factor for pair in matched_pairs({**named, "new": candidate})} - paired)
            best = max(best, (effects, pairs))
    found = most_informative_row(rows, lambda _: True)
    assert (found is None and best == (0, 0)) or (
        found is not None and (len(found.main_effects), len(found.paired)) == best
    )


def table_of(rows: list[tuple[str, ...]], recipe: str, folder: Path) -> Path:
    path = folder / "table.yaml"
    declared = {"title": "T", "recipe": str(RECIPES / recipe), "seeds": [0], "metrics": ["mAP"]}
    declared["rows"] = [{"id": str(number), "factors": list(row)} for number, row in enumerate(rows)]
    path.write_text(yaml.safe_dump(declared))
    return path


some_of_the_factors = st.lists(st.booleans(), min_size=6, max_size=6).map(
    lambda on: tuple(factor for factor, is_on in zip(FACTORS, on, strict=True) if is_on)
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(some_of_the_factors, min_size=1, max_size=5, unique=True))
def test_what_is_suggested_can_be_declared_and_trains(rows: list[tuple[str, ...]], tmp_path: Path) -> None:
    declaration = read_declaration(table_of(rows, "market1501.yaml", tmp_path))
    matrix = expand(declaration)
    if not matrix.rows:
        return
    settings_there = [row.factors for row in matrix.rows]
    allowed = declarable(declaration, beside=matrix.rows)
    one = most_informative_row(settings_there, allowed)
    wanted = {*rows_to_add(settings_there, allowed), *([one.factors] if one else [])}
    longer = load_matrix(table_of([*rows, *wanted], "market1501.yaml", tmp_path))
    plan = planned(longer)
    refused = {tuple(row.factors) for row in plan.refused}
    assert not wanted & refused


def test_a_row_that_would_train_nothing_is_not_suggested(tmp_path: Path) -> None:
    rows = [("Softmax",), ("Softmax", "Quadruplet"), ("Softmax", "DIL"), ("Softmax", "DIL", "Multi")]
    declaration = read_declaration(table_of(rows, "market1501.yaml", tmp_path))
    suggestion = most_informative_row([row.factors for row in expand(declaration).rows], declarable(declaration))
    assert suggestion is not None
    assert {"Softmax", "Quadruplet", "Triplet"} & set(suggestion.factors)


def test_a_setting_whose_recipe_is_invalid_cannot_be_declared(tmp_path: Path) -> None:
    # SAC without its "requires: [DIL]": the recipe itself refuses attention maps of different sizes.
    text = (RECIPES / "market1501.yaml").read_text().replace("    requires: [DIL]\n", "")
    (tmp_path / "loose.yaml").write_text(text)
    path = table_of([("Softmax",)], str(tmp_path / "loose.yaml"), tmp_path)
    allowed = declarable(read_declaration(path))
    assert not allowed({factor: factor in ("Softmax", "SAC") for factor in FACTORS})
    assert allowed({factor: factor in ("Softmax", "DIL", "SAC") for factor in FACTORS})
