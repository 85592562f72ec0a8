"""Which row, added to a table, would tell most about its factors.

Owns ranking the settings that are not in the table yet. Whether a setting can be declared, and trains anything, is the
caller's predicate (see ``harness.matrix.declarable``); it is called from the best setting down, as
rarely as possible.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, product

from harness.plan.effects import Setting, Vector, aliased_effects, factors_of, flipped, null_space

Allowed = Callable[[Setting], bool]

_EXHAUSTIVE_UP_TO = 12
"""Factors up to which every setting is a candidate for one row more; beyond, those near a declared row."""
_MOST_ROWS = 4
"""Rows that ``rows_to_add`` names at most."""


@dataclass(frozen=True)
class Suggestion:
    """One row more, and what it would tell."""

    factors: tuple[str, ...]
    """Factors that are on in it."""
    main_effects: tuple[str, ...]
    """Main effects that become estimable."""
    paired: tuple[str, ...]
    """Factors that get their first matched pair."""
    pairs: int
    """New matched pairs in all."""


def most_telling_row(rows: Sequence[Setting], allowed: Allowed) -> Suggestion | None:
    """Returns the setting that tells most: new main effects, then first pairs, then new pairs, then fewest factors.

    None if no allowed setting adds a main effect or a first pair. Up to 12 factors every setting is considered; beyond,
    those within two toggles of a declared row.
    """
    names = factors_of(rows)
    present = {tuple(setting.values()) for setting in rows}
    null = null_space(rows)
    paired = {
        position for position in range(len(names)) if any(flipped(setting, position) in present for setting in present)
    }
    if not null and len(paired) == len(names):
        return None
    ranked: list[tuple[tuple[int, ...], tuple[bool, ...], Suggestion]] = []
    for setting in _candidates(present, len(names)):
        if setting in present:
            continue
        mates = [position for position in range(len(names)) if flipped(setting, position) in present]
        told = Suggestion(
            factors=tuple(factor for factor, on in zip(names, setting, strict=True) if on),
            main_effects=tuple(names[position - 1] for position in _newly_estimable(null, setting)),
            paired=tuple(names[position] for position in mates if position not in paired),
            pairs=len(mates),
        )
        if told.main_effects or told.paired:
            worth = (-len(told.main_effects), -len(told.paired), -told.pairs, len(told.factors))
            ranked.append((worth, setting, told))
    ranked.sort(key=lambda entry: entry[0])
    return next((told for _, setting, told in ranked if allowed(dict(zip(names, setting, strict=True)))), None)


def rows_to_add(rows: Sequence[Setting], allowed: Allowed) -> list[tuple[str, ...]]:
    """Returns the rows to add by their factors, most telling first, until every effect can be told or no row helps."""
    settings, found = list(rows), list[tuple[str, ...]]()
    while len(found) < _MOST_ROWS and aliased_effects(settings):
        suggestion = most_telling_row(settings, allowed)
        if suggestion is None or not suggestion.main_effects:
            break
        found.append(suggestion.factors)
        settings.append({factor: factor in suggestion.factors for factor in settings[0]})
    return found


def _candidates(present: Iterable[tuple[bool, ...]], count: int) -> Iterable[tuple[bool, ...]]:
    """Settings worth a look, in a fixed order."""
    if count <= _EXHAUSTIVE_UP_TO:
        return product((False, True), repeat=count)
    near: set[tuple[bool, ...]] = set()
    for setting in present:
        for positions in (*combinations(range(count), 1), *combinations(range(count), 2)):
            toggled = setting
            for position in positions:
                toggled = flipped(toggled, position)
            near.add(toggled)
    return sorted(near)


def _newly_estimable(null: Sequence[Vector], setting: tuple[bool, ...]) -> list[int]:
    """Columns whose effect becomes estimable once ``setting`` joins the rows whose null space is ``null``.

    The new null space is {sum a_i v_i : a . c = 0} with c_i = v_i . x. An effect, whose entries in the v_i are e, is
    estimable in it if a . c = 0 makes a . e = 0, that is, if e is a multiple of c.
    """
    columns = [0, *(position for position, on in enumerate(setting, start=1) if on)]
    c = [sum((vector[column] for column in columns), Fraction(0)) for vector in null]
    if not any(c):
        return []
    lead = next(index for index, value in enumerate(c) if value)
    found = []
    for column in range(1, len(setting) + 1):
        e = [vector[column] for vector in null]
        if any(e) and all(value * c[lead] == e[lead] * c[index] for index, value in enumerate(e)):
            found.append(column)
    return found
