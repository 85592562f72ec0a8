"""Which questions a set of rows can answer: the effects of factors, the paper's claims, and which row would help most.

Pure functions over rows as settings of factors; shared by plans and reports. Owns the algebra of what is
identifiable. Refuses numbers that were measured: those are a report's.

The model behind "main effect" is linear without interactions: result = base + sum of the effects of the columns that
are on (``harness.plan.columns``: one for a factor that is on or off, one for each level of another). With x a row as
(1, columns), stacked into a design matrix X, the effect of a column is estimable exactly if its unit vector lies in the
row space of X, that is, if the column's entry is 0 in every vector of X's null space.
"""

from collections.abc import Container, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import gcd, lcm

from harness.matrix.matrix import Claim
from harness.plan.columns import TOGGLE, Columns, Level, Levels, Setting, change_name, columns_of, factors_of

Vector = tuple[Fraction, ...]

MOST_LEVELS = 10
"""Most levels of which every two are compared (45 pairs); more are each compared with the first alone."""


@dataclass(frozen=True)
class Pair:
    """Two rows that differ in one factor alone."""

    factor: str
    on: str
    """Id of the row with the factor on, or at the later of two levels."""
    off: str
    on_level: Level = True
    off_level: Level = False

    @property
    def change(self) -> str:
        """The factor, and of one with levels which two: ``Width=wide vs narrow``."""
        return change_name(self.factor, self.on_level, self.off_level)


@dataclass(frozen=True)
class Alias:
    """Columns whose effects these rows cannot separate, and why."""

    factors: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class ClaimStatus:
    """Whether the rows of a claim will have results."""

    claim: Claim
    identifiable: bool
    reason: str
    """Why not; empty if identifiable."""


@dataclass(frozen=True)
class Identified:
    """The effects and claims that a set of rows identifies."""

    pairs: tuple[Pair, ...]
    main_effects: tuple[str, ...]
    """Columns whose main effect the linear model can estimate."""
    aliases: tuple[Alias, ...]
    claims: tuple[ClaimStatus, ...]


def identify(
    rows: Mapping[str, Setting],
    *,
    levels: Levels | None = None,
    claims: Iterable[Claim] = (),
    refused: Mapping[str, str] | None = None,
    cited: Iterable[str] = (),
    beside: Mapping[str, Hashable] | None = None,
) -> Identified:
    """Returns the effects and claims that ``rows`` identify.

    Args:
        rows: The rows that will have results, by id: the level of every factor.
        levels: The levels of the factors that are not just on or off, the default first.
        claims: The paper's claims.
        refused: Constraint by id of each row that was refused.
        cited: The methods whose published numbers a claim may compare with.
        beside: See ``matched_pairs``.
    """
    columns = columns_of(list(rows.values()), levels)
    sides = {*rows, *cited}
    return Identified(
        pairs=matched_pairs(rows, levels, beside),
        main_effects=main_effects(columns),
        aliases=aliased_effects(columns),
        claims=tuple(claim_status(claim, sides, refused or {}) for claim in claims),
    )


def matched_pairs(
    rows: Mapping[str, Setting], levels: Levels | None = None, beside: Mapping[str, Hashable] | None = None
) -> tuple[Pair, ...]:
    """Pairs of rows that differ in one factor alone, by factor in declared order; of levels, each pair of them.

    A level of a factor of more than ``MOST_LEVELS`` makes a pair with the first level alone that the rows have.

    Args:
        rows: Every row's setting of all factors, by id.
        levels: The levels of the factors that are not just on or off, the default first.
        beside: What else distinguishes a row, by id: only rows that are equal in it make a pair.

    >>> matched_pairs({"1": {"A": True, "B": False}, "2": {"A": True, "B": True}})
    (Pair(factor='B', on='2', off='1', on_level=True, off_level=False),)
    """
    other = beside or {}
    by_setting: dict[tuple[tuple[Level, ...], Hashable], list[str]] = {}
    for row, setting in rows.items():
        by_setting.setdefault((tuple(setting.values()), other.get(row)), []).append(row)
    pairs: list[Pair] = []
    for position, factor in enumerate(factors_of(rows.values())):
        own = (levels or {}).get(factor, TOGGLE)
        for (chosen, alike), on in by_setting.items():
            level = chosen[position]
            for lower in own[: own.index(level)]:
                off = by_setting.get((at_level(chosen, position, lower), alike), [])
                pairs.extend(Pair(factor, *ids, level, lower) for ids in product(on, off))
                if off and len(own) > MOST_LEVELS:
                    break
    return tuple(pairs)


def at_level(setting: tuple[Level, ...], position: int, level: Level) -> tuple[Level, ...]:
    """Returns the setting with the factor at ``position`` set to a level."""
    return (*setting[:position], level, *setting[position + 1 :])


def main_effects(rows: Sequence[Columns]) -> tuple[str, ...]:
    """The columns whose main effect the linear model can estimate from ``rows``.

    >>> main_effects([{"A": False, "B": False}, {"A": True, "B": False}])
    ('A',)
    """
    null = null_space(rows)
    return tuple(
        factor for position, factor in enumerate(factors_of(rows), start=1) if not any(v[position] for v in null)
    )


def aliased_effects(rows: Sequence[Columns]) -> tuple[Alias, ...]:
    """The columns whose effects cannot be separated, one entry for each relation that always holds between them.

    >>> aliased_effects([{"A": False, "B": False}, {"A": True, "B": True}])[0].reason
    'A and B cannot be separated: they are on together in every row'
    """
    factors = factors_of(rows)
    return tuple(_alias(vector, factors) for vector in null_space(rows))


def claim_status(claim: Claim, sides: Container[str], refused: Mapping[str, str]) -> ClaimStatus:
    """Whether both sides of a claim will have results or are published, and if not, which is missing and why."""
    missing = [
        f'row "{row}" is refused: {refused[row]}' if row in refused else f'row "{row}" is not among these rows'
        for row in dict.fromkeys((claim.better, claim.than))
        if row not in sides
    ]
    return ClaimStatus(claim, not missing, "; ".join(missing))


def null_space(rows: Sequence[Columns]) -> tuple[Vector, ...]:
    """A basis of the null space of the design matrix (intercept first), by exact elimination; entries in lowest terms.

    Each vector is a relation between the columns that holds in every row.
    """
    if not rows:
        return ()
    width = len(factors_of(rows)) + 1
    pivots: dict[int, list[int]] = {}  # reduced rows by the column of their first entry
    for setting in dict.fromkeys(tuple(row.values()) for row in rows):
        vector = [1, *map(int, setting)]
        for column, pivot in pivots.items():
            vector = _eliminated(vector, pivot, column)
        column = next((index for index, value in enumerate(vector) if value), -1)
        if column < 0:
            continue
        for other, pivot in pivots.items():
            pivots[other] = _eliminated(pivot, vector, column)
        pivots[column] = vector
        if len(pivots) == width:
            return ()
    basis = []
    for free in (column for column in range(width) if column not in pivots):
        relation = [Fraction(0)] * width
        relation[free] = Fraction(1)
        for column, pivot in pivots.items():
            relation[column] = Fraction(-pivot[free], pivot[column])
        scale = lcm(*(value.denominator for value in relation))
        basis.append(tuple(value * scale for value in relation))
    return tuple(basis)


def _eliminated(vector: list[int], pivot: list[int], column: int) -> list[int]:
    """A multiple of ``vector`` minus one of ``pivot``, with 0 in ``column``, in lowest terms."""
    if not vector[column]:
        return vector
    own, other = pivot[column], vector[column]
    combined = [own * value - other * taken for value, taken in zip(vector, pivot, strict=True)]
    common = gcd(*combined) or 1
    return [value // common for value in combined]


def _alias(vector: Vector, factors: Sequence[str]) -> Alias:
    """A relation between columns in words."""
    base, *weights = vector
    involved = [(factor, weight) for factor, weight in zip(factors, weights, strict=True) if weight]
    names = tuple(factor for factor, _ in involved)
    if len(involved) == 1:
        state = "on" if base else "off"
        return Alias(names, f"{names[0]} is {state} in every row: no row shows what it changes")
    aliased = f"{', '.join(names[:-1])} and {names[-1]} cannot be separated"
    if len(involved) == 2 and not base and involved[0][1] == -involved[1][1]:
        return Alias(names, f"{aliased}: they are on together in every row")
    if len(involved) == 2 and involved[0][1] == involved[1][1] == -base:
        return Alias(names, f"{aliased}: exactly one of them is on in every row")
    left = [_term(weight, factor) for factor, weight in involved if weight > 0]
    right = [_term(-weight, factor) for factor, weight in involved if weight < 0]
    (right if base < 0 else left).extend([str(abs(base))] if base else [])
    return Alias(names, f"{aliased}: in every row {' + '.join(left) or '0'} = {' + '.join(right) or '0'} (1 on, 0 off)")


def _term(weight: Fraction, factor: str) -> str:
    return factor if weight == 1 else f"{weight} {factor}"
