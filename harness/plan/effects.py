"""Which questions a set of rows can answer: the effects of factors, the paper's claims, and which row would help most.

Pure functions over rows as settings of on/off factors; shared by plans and reports. Owns the algebra of what is
identifiable. Refuses numbers that were measured: those are a report's.

The model behind "main effect" is linear without interactions: result = base + sum of the effects of the factors that
are on. With x a row as (1, factors), stacked into a design matrix X, the effect of a factor is estimable exactly if
its unit vector lies in the row space of X, that is, if the factor's entry is 0 in every vector of X's null space.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, product
from math import lcm

from harness.matrix.matrix import Claim

Setting = Mapping[str, bool]
_Vector = tuple[Fraction, ...]

_EXHAUSTIVE_UP_TO = 12
"""Factors up to which every setting is a candidate for one row more; beyond, those near a declared row."""


@dataclass(frozen=True)
class Pair:
    """Two rows that differ in one factor alone."""

    factor: str
    on: str
    """Id of the row with the factor on."""
    off: str


@dataclass(frozen=True)
class Alias:
    """Factors whose effects these rows cannot tell apart, and why."""

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


@dataclass(frozen=True)
class Identified:
    """What a set of rows can tell."""

    pairs: tuple[Pair, ...]
    main_effects: tuple[str, ...]
    """Factors whose main effect the linear model can estimate."""
    aliases: tuple[Alias, ...]
    claims: tuple[ClaimStatus, ...]
    suggestion: Suggestion | None
    """The row that would add most; None if no allowed row adds a main effect or a first pair."""


def identify(
    rows: Mapping[str, Setting],
    *,
    claims: Iterable[Claim] = (),
    refused: Mapping[str, str] | None = None,
    allowed: Callable[[Setting], bool] | None = None,
) -> Identified:
    """Everything that ``rows`` can tell.

    Args:
        rows: The rows that will have results, by id: every factor and whether it is on.
        claims: The paper's claims.
        refused: Constraint by id of each row that was refused.
        allowed: Whether the constraints allow a setting; None allows all.
    """
    return Identified(
        pairs=matched_pairs(rows),
        main_effects=main_effects(list(rows.values())),
        aliases=aliased_effects(list(rows.values())),
        claims=tuple(claim_status(claim, rows, refused or {}) for claim in claims),
        suggestion=most_telling_row(list(rows.values()), allowed or (lambda _: True)),
    )


def allowed_by(
    requires: Mapping[str, Sequence[str]], excludes: Mapping[str, Sequence[str]]
) -> Callable[[Setting], bool]:
    """The predicate of a declaration's constraints: what each factor requires and excludes when it is on.

    >>> allowed_by({"SAC": ["DIL"]}, {})({"SAC": True, "DIL": False})
    False
    """

    def allowed(setting: Setting) -> bool:
        on = {factor for factor, is_on in setting.items() if is_on}
        return all(on.issuperset(requires.get(factor, ())) and on.isdisjoint(excludes.get(factor, ())) for factor in on)

    return allowed


def matched_pairs(rows: Mapping[str, Setting]) -> tuple[Pair, ...]:
    """Pairs of rows that differ in one factor alone, by factor in declared order.

    >>> matched_pairs({"1": {"A": True, "B": False}, "2": {"A": True, "B": True}})
    (Pair(factor='B', on='2', off='1'),)
    """
    by_setting: dict[tuple[bool, ...], list[str]] = {}
    for row, setting in rows.items():
        by_setting.setdefault(tuple(setting.values()), []).append(row)
    pairs: list[Pair] = []
    for position, factor in enumerate(_factors(rows.values())):
        for levels, on in by_setting.items():
            if levels[position]:
                off = by_setting.get(_flipped(levels, position), [])
                pairs.extend(Pair(factor, *ids) for ids in product(on, off))
    return tuple(pairs)


def main_effects(rows: Sequence[Setting]) -> tuple[str, ...]:
    """The factors whose main effect the linear model can estimate from ``rows``.

    >>> main_effects([{"A": False, "B": False}, {"A": True, "B": False}])
    ('A',)
    """
    null = _null_space(rows)
    return tuple(
        factor for position, factor in enumerate(_factors(rows), start=1) if not any(v[position] for v in null)
    )


def aliased_effects(rows: Sequence[Setting]) -> tuple[Alias, ...]:
    """The factors whose effects cannot be told apart, one entry for each relation that always holds between them.

    >>> aliased_effects([{"A": False, "B": False}, {"A": True, "B": True}])[0].reason
    'A and B cannot be told apart: they are on together in every row'
    """
    factors = _factors(rows)
    return tuple(_alias(vector, factors) for vector in _null_space(rows))


def claim_status(claim: Claim, rows: Iterable[str], refused: Mapping[str, str]) -> ClaimStatus:
    """Whether both rows of a claim will have results, and if not, which is missing and why."""
    present = set(rows)
    missing = [
        f'row "{row}" is refused: {refused[row]}' if row in refused else f'row "{row}" is not among these rows'
        for row in dict.fromkeys((claim.better, claim.than))
        if row not in present
    ]
    return ClaimStatus(claim, not missing, "; ".join(missing))


def most_telling_row(rows: Sequence[Setting], allowed: Callable[[Setting], bool]) -> Suggestion | None:
    """The one setting more that tells most: new main effects, then first pairs, then new pairs, then fewest factors.

    Up to 12 factors every setting is considered but the empty one, which has no loss to train with; beyond, those
    within two toggles of a declared row.
    """
    factors = _factors(rows)
    present = {tuple(setting.values()) for setting in rows}
    null = _null_space(rows)
    paired = {
        position
        for position in range(len(factors))
        if any(_flipped(setting, position) in present for setting in present)
    }
    best: tuple[tuple[int, ...], Suggestion] | None = None
    for setting in _candidates(present, len(factors)):
        if not any(setting) or setting in present or not allowed(dict(zip(factors, setting, strict=True))):
            continue
        mates = [position for position in range(len(factors)) if _flipped(setting, position) in present]
        told = Suggestion(
            factors=tuple(factor for factor, on in zip(factors, setting, strict=True) if on),
            main_effects=tuple(factors[position - 1] for position in _newly_estimable(null, setting)),
            paired=tuple(factors[position] for position in mates if position not in paired),
            pairs=len(mates),
        )
        worth = (len(told.main_effects), len(told.paired), told.pairs, -len(told.factors))
        if (told.main_effects or told.paired) and (best is None or worth > best[0]):
            best = (worth, told)
    return best[1] if best else None


def _factors(rows: Iterable[Setting]) -> tuple[str, ...]:
    """The factors, in declared order; every row must set the same ones."""
    settings = list(rows)
    factors = tuple(settings[0]) if settings else ()
    for setting in settings:
        if tuple(setting) != factors:
            raise ValueError(f"rows set different factors: {', '.join(factors)} and {', '.join(setting)}")
    return factors


def _flipped(setting: tuple[bool, ...], position: int) -> tuple[bool, ...]:
    return (*setting[:position], not setting[position], *setting[position + 1 :])


def _candidates(present: Iterable[tuple[bool, ...]], count: int) -> Iterable[tuple[bool, ...]]:
    """Settings worth a look, in a fixed order."""
    if count <= _EXHAUSTIVE_UP_TO:
        return product((False, True), repeat=count)
    near: set[tuple[bool, ...]] = set()
    for setting in present:
        for positions in (*combinations(range(count), 1), *combinations(range(count), 2)):
            toggled = setting
            for position in positions:
                toggled = _flipped(toggled, position)
            near.add(toggled)
    return sorted(near)


def _null_space(rows: Sequence[Setting]) -> tuple[_Vector, ...]:
    """A basis of the null space of the design matrix (intercept first), by exact elimination; entries in lowest terms.

    Each vector is a relation between the columns that holds in every row.
    """
    if not rows:
        return ()
    width = len(_factors(rows)) + 1
    pivots: dict[int, list[Fraction]] = {}  # reduced rows by the column of their leading 1
    for setting in dict.fromkeys(tuple(row.values()) for row in rows):
        vector = [Fraction(1), *(Fraction(int(on)) for on in setting)]
        for column, pivot in pivots.items():
            if vector[column]:
                factor = vector[column]
                vector = [value - factor * other for value, other in zip(vector, pivot, strict=True)]
        column = next((index for index, value in enumerate(vector) if value), -1)
        if column < 0:
            continue
        vector = [value / vector[column] for value in vector]
        for other, pivot in pivots.items():
            if pivot[column]:
                factor = pivot[column]
                pivots[other] = [value - factor * new for value, new in zip(pivot, vector, strict=True)]
        pivots[column] = vector
        if len(pivots) == width:
            return ()
    basis = []
    for free in (column for column in range(width) if column not in pivots):
        relation = [Fraction(0)] * width
        relation[free] = Fraction(1)
        for column, pivot in pivots.items():
            relation[column] = -pivot[free]
        scale = lcm(*(value.denominator for value in relation))
        basis.append(tuple(value * scale for value in relation))
    return tuple(basis)


def _newly_estimable(null: Sequence[_Vector], setting: tuple[bool, ...]) -> list[int]:
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


def _alias(vector: _Vector, factors: Sequence[str]) -> Alias:
    """A relation between columns in words."""
    base, *weights = vector
    involved = [(factor, weight) for factor, weight in zip(factors, weights, strict=True) if weight]
    names = tuple(factor for factor, _ in involved)
    if len(involved) == 1:
        state = "on" if base else "off"
        return Alias(names, f"{names[0]} is {state} in every row: no row shows what it changes")
    told = f"{', '.join(names[:-1])} and {names[-1]} cannot be told apart"
    if len(involved) == 2 and not base and involved[0][1] == -involved[1][1]:
        return Alias(names, f"{told}: they are on together in every row")
    if len(involved) == 2 and involved[0][1] == involved[1][1] == -base:
        return Alias(names, f"{told}: exactly one of them is on in every row")
    left = [_term(weight, factor) for factor, weight in involved if weight > 0]
    right = [_term(-weight, factor) for factor, weight in involved if weight < 0]
    (right if base < 0 else left).extend([str(abs(base))] if base else [])
    return Alias(names, f"{told}: in every row {' + '.join(left) or '0'} = {' + '.join(right) or '0'} (1 on, 0 off)")


def _term(weight: Fraction, factor: str) -> str:
    return factor if weight == 1 else f"{weight} {factor}"
