"""Which effects the rows identify. The oracle: exact ranks of the design matrix, column by column, with numpy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_tables import FACTORS, TABLE1

from harness.matrix.matrix import Claim
from harness.plan.identifiable import (
    Pair,
    aliased_effects,
    claim_status,
    identify,
    main_effects,
    matched_pairs,
)

ROWS = {name: {factor: factor in on for factor in FACTORS} for name, on in TABLE1.items()}


def setting(*on: str, factors: str = "ABC") -> dict[str, bool]:
    return {factor: factor in on for factor in factors}


def rank(rows: list[list[int]]) -> int:
    return int(np.linalg.matrix_rank(np.array(rows, dtype=float)))


def estimable_by_rank(rows: list[dict[str, bool]]) -> tuple[str, ...]:
    """A unit vector lies in the row space exactly if adding it as a row does not change the rank."""
    design = [[1, *(int(on) for on in row.values())] for row in rows]
    width = len(design[0])
    return tuple(
        factor
        for position, factor in enumerate(rows[0], start=1)
        if rank([*design, [int(column == position) for column in range(width)]]) == rank(design)
    )


some_rows = st.lists(st.tuples(*[st.booleans()] * 4), min_size=1, max_size=9).map(
    lambda rows: [dict(zip("ABCD", row, strict=True)) for row in rows]
)


def test_the_matched_pairs_of_table_1() -> None:
    pairs = matched_pairs(ROWS)
    assert set(pairs) == {
        Pair("Softmax", on="3", off="2"),
        Pair("Softmax", on="8", off="7"),
        Pair("Quadruplet", on="3", off="1"),
        Pair("Quadruplet", on="5", off="4"),
        Pair("Quadruplet", on="8", off="6"),
        Pair("Triplet", on="3(T)", off="1"),
        Pair("SAC", on="6", off="4"),
        Pair("SAC", on="8", off="5"),
    }
    assert [pair.factor for pair in pairs] == sorted((pair.factor for pair in pairs), key=FACTORS.index)


def test_rows_that_differ_in_more_than_factors_make_no_pair() -> None:
    rows = {"a": setting("A"), "b": setting("A", "B"), "c": setting("A", "B")}
    assert matched_pairs(rows, beside={"a": "x", "b": "x", "c": "y"}) == (Pair("B", on="b", off="a"),)


def test_table_1_cannot_separate_dilation_from_multi_level_features() -> None:
    identified = identify(ROWS)
    assert identified.main_effects == ("Softmax", "Quadruplet", "Triplet", "SAC")
    (alias,) = identified.aliases
    assert alias.factors == ("DIL", "Multi")
    assert alias.reason == "DIL and Multi cannot be separated: they are on together in every row"


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([setting("A"), setting("A", "B"), setting("A", "C")], "A is on in every row: no row shows what it changes"),
        ([setting(), setting("B"), setting("C")], "A is off in every row: no row shows what it changes"),
        (
            [setting("A"), setting("B"), setting("A", "C")],
            "A and B cannot be separated: exactly one of them is on in every row",
        ),
        (
            [setting("A"), setting("B"), setting("C")],
            "A, B and C cannot be separated: in every row A + B + C = 1 (1 on, 0 off)",
        ),
        (
            [setting(), setting("A", "C"), setting("B", "C")],
            "A, B and C cannot be separated: in every row C = A + B (1 on, 0 off)",
        ),
    ],
)
def test_each_kind_of_alias_is_described_in_words(rows: list[dict[str, bool]], reason: str) -> None:
    (alias,) = aliased_effects(rows)
    assert alias.reason == reason or alias.reason == reason.replace("C = A + B", "A + B = C")


def test_one_row_alone_identifies_nothing() -> None:
    identified = identify({"1": setting("A")})
    assert identified.pairs == identified.main_effects == ()
    assert {factor for alias in identified.aliases for factor in alias.factors} == {"A", "B", "C"}


def test_no_rows_identify_nothing() -> None:
    identified = identify({})
    assert (identified.pairs, identified.main_effects, identified.aliases) == ((), (), ())


def test_a_claim_needs_both_rows_and_says_which_is_missing_and_why() -> None:
    claim = Claim("SAC helps", "8", "5", "mAP", 3.2)
    assert claim_status(claim, ["5", "8"], {}).identifiable
    assert claim_status(claim, ["8"], {}).reason == 'row "5" is not among these rows'
    refused = claim_status(claim, [], {"8": "SAC requires DIL"})
    assert refused.reason == 'row "8" is refused: SAC requires DIL; row "5" is not among these rows'


def test_rows_of_different_factors_are_an_error() -> None:
    with pytest.raises(ValueError, match="rows set different factors: A, B and A, C"):
        main_effects([setting(factors="AB"), setting(factors="AC")])


@given(some_rows)
def test_estimable_effects_agree_with_ranks(rows: list[dict[str, bool]]) -> None:
    assert main_effects(rows) == estimable_by_rank(rows)


@given(some_rows)
def test_the_aliases_cover_exactly_the_factors_without_an_identified_main_effect(
    rows: list[dict[str, bool]],
) -> None:
    identified = {factor for alias in aliased_effects(rows) for factor in alias.factors}
    assert identified == set("ABCD") - set(main_effects(rows))
