"""Effects of factors with levels: pairs of levels, columns against a reference, the most informative row."""

from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.plan.columns import Setting, columns_of
from harness.plan.identifiable import Pair, aliased_effects, identify, main_effects, matched_pairs
from harness.plan.suggest import most_informative_row, rows_to_add

LEVELS = {"Width": (False, "narrow", "wide"), "Depth": ("flat", "deep")}
Rows = dict[str, Setting]


def row(scale: bool, width: bool | str, depth: str = "flat") -> Setting:
    return {"Scale": scale, "Width": width, "Depth": depth}


def test_pairs_of_levels_are_compared_with_the_default_and_with_each_other() -> None:
    rows: Rows = {"default": row(False, False), "narrow": row(False, "narrow"), "wide": row(False, "wide")}
    pairs = matched_pairs(rows, LEVELS)
    assert pairs == (
        Pair("Width", "narrow", "default", "narrow", False),
        Pair("Width", "wide", "default", "wide", False),
        Pair("Width", "wide", "narrow", "wide", "narrow"),
    )
    assert [pair.change for pair in pairs] == ["Width=narrow", "Width=wide", "Width=wide vs narrow"]


def test_rows_at_different_levels_of_another_factor_make_no_pair() -> None:
    assert matched_pairs({"a": row(False, "narrow"), "b": row(True, "wide")}, LEVELS) == ()


def test_every_level_but_the_reference_is_a_column() -> None:
    rows = [row(False, False), row(True, "wide", "deep")]
    assert columns_of(rows, LEVELS)[1] == {"Scale": True, "Width=narrow": False, "Width=wide": True, "Depth=deep": True}


def test_where_no_row_has_the_default_the_first_level_that_one_has_is_the_reference() -> None:
    # Were the unnamed default the reference, Width=narrow + Width=wide would be 1 in every row, and neither estimable.
    rows = [row(False, "narrow"), row(False, "wide"), row(True, "wide")]
    assert list(columns_of(rows, LEVELS)[0]) == ["Scale", "Width=wide", "Depth=deep"]
    assert main_effects(columns_of(rows, LEVELS)) == ("Scale", "Width=wide")


def test_a_level_that_no_row_has_is_named() -> None:
    identified = identify({"a": row(False, False), "b": row(False, "wide")}, levels=LEVELS)
    assert [alias.reason for alias in identified.aliases] == [
        "Scale is off in every row: no row shows what it changes",
        "Width=narrow is off in every row: no row shows what it changes",
        "Depth=deep is off in every row: no row shows what it changes",
    ]


settings_ = st.tuples(st.booleans(), st.sampled_from(LEVELS["Width"]), st.sampled_from(LEVELS["Depth"]))


@given(st.lists(settings_, min_size=1, max_size=8))
def test_an_effect_is_estimable_exactly_if_its_unit_vector_lies_in_the_row_space(drawn: list[tuple[bool, ...]]) -> None:
    columns = columns_of([row(*setting) for setting in drawn], LEVELS)
    design = np.array([[1, *map(int, each.values())] for each in columns])
    rank = np.linalg.matrix_rank(design)
    units = np.eye(design.shape[1])[1:]
    expected = [name for name, unit in zip(columns[0], units, strict=True) if _rank(design, unit) == rank]
    assert list(main_effects(columns)) == expected


def test_of_more_than_ten_levels_each_is_compared_with_the_first_that_the_rows_have() -> None:
    many = tuple(f"v{number}" for number in range(11))
    for own, expected in (
        (many[:10], [(later, sooner) for later in range(1, 10) for sooner in range(1, later)]),
        (many, [(later, 1) for later in range(2, 11)]),
    ):
        rows = {str(number): {"Value": level} for number, level in enumerate(own) if number}  # none has the default
        found = matched_pairs(rows, {"Value": own})
        assert [(int(pair.on), int(pair.off)) for pair in found] == expected


def _rank(design: np.ndarray, unit: np.ndarray) -> int:
    return int(np.linalg.matrix_rank(np.vstack([design, unit])))


@given(st.lists(settings_, min_size=1, max_size=6, unique=True))
def test_the_most_informative_row_identifies_what_it_promises(drawn: list[tuple[bool, ...]]) -> None:
    rows = [row(*setting) for setting in drawn]
    found = most_informative_row(rows, lambda setting: True, LEVELS)
    before = set(main_effects(columns_of(rows, LEVELS)))
    if found is None:
        assert not aliased_effects(columns_of(rows, LEVELS))
        return
    more = [*rows, found.setting]
    assert set(main_effects(columns_of(more, LEVELS))) == before | set(found.main_effects)
    best = max(
        len(set(main_effects(columns_of([*rows, row(*setting)], LEVELS))) - before)
        for setting in product((False, True), LEVELS["Width"], LEVELS["Depth"])
        if not _is_new_reference(setting, rows)
    )
    assert len(found.main_effects) == best


def _is_new_reference(setting: tuple[bool | str, ...], rows: list[Setting]) -> bool:
    """Whether a level comes before all that the rows have: as their reference it would rename the effects."""
    return any(
        LEVELS[factor].index(level) < min(LEVELS[factor].index(each[factor]) for each in rows)
        for factor, level in zip(("Width", "Depth"), setting[1:], strict=True)
    )


def test_rows_are_added_until_every_effect_is_identified() -> None:
    rows = [row(False, False), row(True, "wide")]
    added = rows_to_add(rows, lambda setting: True, LEVELS)
    levels = {"Scale": (False, True), **LEVELS}
    full = [*rows, *(_setting(mentions, levels) for mentions in added)]
    assert not aliased_effects(columns_of(full, LEVELS))


def _setting(mentions: tuple[str, ...], levels: dict[str, tuple[bool | str, ...]]) -> Setting:
    chosen = dict(mention.split("=") if "=" in mention else (mention, True) for mention in mentions)
    return {factor: chosen.get(factor, own[0]) for factor, own in levels.items()}
