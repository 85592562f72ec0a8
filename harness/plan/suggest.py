"""Which row, added to a table, would identify most effects of its factors.

Owns ranking the settings that are not in the table yet. Whether a setting can be declared, and trains anything, is the
caller's predicate (see ``harness.matrix.declarable``); it is called from the best setting down, as
rarely as possible.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, product
from math import prod

from harness.plan.columns import (
    Columns,
    Level,
    Levels,
    Setting,
    coded_levels,
    columns,
    columns_of,
    level_name,
    mentioned,
)
from harness.plan.identifiable import Vector, aliased_effects, at_level, null_space

Allowed = Callable[[Setting], bool]

_EXHAUSTIVE_UP_TO = 4096
"""Settings up to which every one is a candidate for one row more; beyond, those near a declared row."""
_MOST_ROWS = 4
"""Rows that ``rows_to_add`` names at most."""


@dataclass(frozen=True)
class Suggestion:
    """One more row, and what it would identify."""

    setting: Setting
    factors: tuple[str, ...]
    """Its factors, as a declaration mentions them."""
    main_effects: tuple[str, ...]
    """Main effects that become estimable."""
    paired: tuple[str, ...]
    """Factors, or levels of them, that get their first matched pair."""
    pairs: int
    """New matched pairs in all."""


def most_informative_row(rows: Sequence[Setting], allowed: Allowed, levels: Levels | None = None) -> Suggestion | None:
    """Returns the most informative setting: new main effects, then first pairs, then new pairs, then fewest factors.

    None if no allowed setting adds a main effect or a first pair. Up to 4096 settings every one is considered; of more,
    those within two changes of a declared row.

    Args:
        rows: Every row's setting of all factors.
        allowed: Whether a setting can be declared.
        levels: The levels of the factors that are not just on or off, the default first.
    """
    coded = coded_levels(rows, levels)
    present = dict.fromkeys(tuple(setting.values()) for setting in rows)
    null = null_space([columns(setting, coded) for setting in rows])
    paired = {name for setting in present for name, _ in _mates(setting, present, coded)}
    if not null and len(paired) == sum(len(own) - 1 for own in coded.values()):
        return None
    ranked: list[tuple[tuple[int, ...], Setting, Suggestion]] = []
    for candidate in _candidates(present, coded):
        if candidate in present:
            continue
        setting = dict(zip(coded, candidate, strict=True))
        mates = list(_mates(candidate, present, coded))
        suggestion = Suggestion(
            setting=setting,
            factors=mentioned(setting),
            main_effects=_newly_estimable(null, columns(setting, coded)),
            paired=tuple(dict.fromkeys(name for name, _ in mates if name not in paired)),
            pairs=len({mate for _, mate in mates}),
        )
        if suggestion.main_effects or suggestion.paired:
            worth = (-len(suggestion.main_effects), -len(suggestion.paired), -suggestion.pairs, len(suggestion.factors))
            ranked.append((worth, setting, suggestion))
    ranked.sort(key=lambda entry: entry[0])
    return next((suggestion for _, setting, suggestion in ranked if allowed(setting)), None)


def rows_to_add(rows: Sequence[Setting], allowed: Allowed, levels: Levels | None = None) -> list[tuple[str, ...]]:
    """Returns the rows to add, as a declaration mentions their factors, most informative first.

    As many as it takes until every effect is identifiable or no row helps, four at most.
    """
    settings, found = list(rows), list[tuple[str, ...]]()
    while len(found) < _MOST_ROWS and aliased_effects(columns_of(settings, levels)):
        suggestion = most_informative_row(settings, allowed, levels)
        if suggestion is None or not suggestion.main_effects:
            break
        found.append(suggestion.factors)
        settings.append(suggestion.setting)
    return found


def _mates(
    setting: tuple[Level, ...], present: Container[tuple[Level, ...]], coded: Levels
) -> Iterator[tuple[str, tuple[Level, ...]]]:
    """The present settings that differ in one factor alone, each with every column in which it differs."""
    for position, (factor, own) in enumerate(coded.items()):
        for level in own:
            mate = at_level(setting, position, level)
            if level != setting[position] and mate in present:
                for changed in (setting[position], level):
                    if changed != own[0]:
                        yield level_name(factor, changed), mate


def _candidates(present: Iterable[tuple[Level, ...]], coded: Levels) -> Iterable[tuple[Level, ...]]:
    """Settings worth a look, in a fixed order."""
    own = list(coded.values())
    if prod(map(len, own)) <= _EXHAUSTIVE_UP_TO:
        return product(*own)
    near: dict[tuple[Level, ...], None] = {}
    for setting in present:
        for positions in (*combinations(range(len(own)), 1), *combinations(range(len(own)), 2)):
            for levels in product(*(own[position] for position in positions)):
                changed = setting
                for position, level in zip(positions, levels, strict=True):
                    changed = at_level(changed, position, level)
                near[changed] = None
    return sorted(near, key=lambda setting: [levels.index(level) for levels, level in zip(own, setting, strict=True)])


def _newly_estimable(null: Sequence[Vector], row: Columns) -> tuple[str, ...]:
    """The columns whose effect becomes estimable once ``row`` joins the rows whose null space is ``null``.

    The new null space is {sum a_i v_i : a . c = 0} with c_i = v_i . x. An effect, whose entries in the v_i are e, is
    estimable in it if a . c = 0 makes a . e = 0, that is, if e is a multiple of c.
    """
    involved = [0, *(position for position, on in enumerate(row.values(), start=1) if on)]
    c = [sum((vector[column] for column in involved), Fraction(0)) for vector in null]
    if not any(c):
        return ()
    lead = next(index for index, value in enumerate(c) if value)
    found = []
    for position, name in enumerate(row, start=1):
        e = [vector[position] for vector in null]
        if any(e) and all(value * c[lead] == e[lead] * c[index] for index, value in enumerate(e)):
            found.append(name)
    return tuple(found)
