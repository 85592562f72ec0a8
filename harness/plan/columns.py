"""A row's setting of all factors as columns of zeros and ones, so that factors with levels enter effects as others do.

A factor that is on or off is one column. A factor with levels has a column for each level but its reference (treatment
coding): the default where a row has it, else the first declared level that a row has.
"""

from collections.abc import Iterable, Mapping, Sequence

from harness.matrix.levels import TOGGLE, Level, Levels, Setting, level_name, mentioned

Columns = Mapping[str, bool]
"""The columns of one row, by name: ``Softmax``, ``Width=wide``."""

__all__ = [
    "TOGGLE",
    "Columns",
    "Level",
    "Levels",
    "Setting",
    "change_name",
    "coded_levels",
    "columns",
    "columns_of",
    "factors_of",
    "level_name",
    "mentioned",
]


def factors_of(rows: Iterable[Setting]) -> tuple[str, ...]:
    """Returns the factors, in declared order; every row must set the same ones."""
    settings = list(rows)
    factors = tuple(settings[0]) if settings else ()
    for setting in settings:
        if tuple(setting) != factors:
            raise ValueError(f"rows set different factors: {', '.join(factors)} and {', '.join(setting)}")
    return factors


def columns_of(rows: Sequence[Setting], levels: Levels | None = None) -> list[Columns]:
    """Returns the columns of each row.

    Args:
        rows: Every row's setting of all factors.
        levels: The levels of the factors that are not just on or off, the default first.

    >>> levels = {"Width": (False, "narrow", "wide")}
    >>> columns_of([{"A": True, "Width": False}, {"A": True, "Width": "wide"}], levels)
    [{'A': True, 'Width=narrow': False, 'Width=wide': False}, {'A': True, 'Width=narrow': False, 'Width=wide': True}]
    """
    coded = coded_levels(rows, levels)
    return [columns(row, coded) for row in rows]


def columns(row: Setting, coded: Levels) -> Columns:
    """Returns the columns of one row, of levels as ``coded_levels`` gives them."""
    return {level_name(factor, level): row[factor] == level for factor, own in coded.items() for level in own[1:]}


def coded_levels(rows: Sequence[Setting], levels: Levels | None = None) -> Levels:
    """Returns the levels of every factor, its reference first; without the levels before that, which no row has."""
    coded: dict[str, tuple[Level, ...]] = {}
    for factor in factors_of(rows):
        own = (levels or {}).get(factor, TOGGLE)
        present = own == TOGGLE or {row[factor] for row in rows}
        first = 0 if present is True else next(index for index, level in enumerate(own) if level in present)
        coded[factor] = own[first:]
    return coded


def change_name(factor: str, on: Level, off: Level) -> str:
    """Returns what makes the difference between two rows: the factor, and of one with levels which two.

    >>> change_name("Softmax", True, False), change_name("Width", "wide", False), change_name("Width", "wide", "narrow")
    ('Softmax', 'Width=wide', 'Width=wide vs narrow')
    """
    return level_name(factor, on) if off is False else f"{level_name(factor, on)} vs {off}"
