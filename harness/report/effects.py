"""Effects of factors as weighted sums of rows: matched pairs, exact Shapley values, pairwise interactions.

Pure functions over rows as settings of factors; ``harness.plan.identifiable`` finds which effects they identify. Every
effect is a contrast {row: weight} whose weights add up to 0, so that one interval method serves them all. Refuses
measured numbers.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import factorial

from harness.plan.columns import Columns, Levels, Setting, coded_levels, columns, mentioned
from harness.plan.identifiable import matched_pairs

Block = tuple[str, ...]
"""Factors, or levels of some, that come together in every row: one player, since the rows cannot separate them."""


@dataclass(frozen=True)
class PairEffect:
    """Two rows that differ in one factor alone."""

    factor: str
    change: str
    """The factor, and of one with levels which two: ``Width=wide vs narrow``."""
    on: str
    off: str
    leave_one_out: bool
    """No other row has all of ``on``'s factors and more: the factor is taken from a full row."""
    add_one_in: bool
    """No other row's factors all lie in ``off``'s: the factor is put into a base row."""

    @property
    def weights(self) -> Mapping[str, float]:
        """The contrast on - off."""
        return {self.on: 1.0, self.off: -1.0}


@dataclass(frozen=True)
class Game:
    """Rows that hold every combination of some players, all other factors fixed: a complete factorial."""

    players: tuple[Block, ...]
    always: tuple[str, ...]
    """Factors that are on throughout."""
    rows: Mapping[frozenset[Block], str]
    """The row of each coalition of players."""


@dataclass(frozen=True)
class GameEffect:
    """A player's Shapley value, or the interaction of two, in a game."""

    players: tuple[Block, ...]
    """One for a Shapley value, two for an interaction."""
    weights: Mapping[str, float]


def pair_effects(rows: Mapping[str, Setting], levels: Levels | None = None) -> tuple[PairEffect, ...]:
    """The matched pairs, by factor in declared order; of a factor with levels, each two of them.

    >>> rows = {"1": {"A": False, "B": False}, "2": {"A": True, "B": False}, "3": {"A": True, "B": True}}
    >>> [(pair.factor, pair.on, pair.leave_one_out, pair.add_one_in) for pair in pair_effects(rows)]
    [('A', '2', False, True), ('B', '3', True, False)]
    """
    coded = coded_levels(list(rows.values()), levels)
    on = {row: frozenset(_on(columns(setting, coded))) for row, setting in rows.items()}
    maximal = {row for row, own in on.items() if not any(own < other for other in on.values())}
    minimal = {row for row, own in on.items() if not any(own > other for other in on.values())}
    return tuple(
        PairEffect(
            factor=pair.factor,
            change=pair.change,
            on=pair.on,
            off=pair.off,
            leave_one_out=pair.off_level == coded[pair.factor][0] and pair.on in maximal,
            add_one_in=pair.off_level == coded[pair.factor][0] and pair.off in minimal,
        )
        for pair in matched_pairs(rows, levels)
    )


def games(rows: Mapping[str, Columns]) -> tuple[Game, ...]:
    """The complete factorials of two players or more that lie in no larger one, largest first.

    A level of a factor plays against the factor's reference level. In a factorial, Shapley values are exact: no row is
    missing and none is modelled. Rows of equal setting count once.
    """
    blocks = _blocks(rows.values())
    by_setting: dict[frozenset[Block], str] = {}
    for row, setting in rows.items():
        by_setting.setdefault(frozenset(block for block in blocks if setting[block[0]]), row)
    constant = _constant(rows.values())
    found: list[tuple[frozenset[Block], frozenset[Block]]] = []
    for base, top in _complete_intervals(by_setting):
        if not any(larger <= base and top <= largest for larger, largest in found):
            found.append((base, top))
    return tuple(
        Game(
            players=tuple(block for block in blocks if block in top - base),
            always=(*constant, *(factor for block in blocks if block in base for factor in block)),
            rows={coalition: by_setting[base | coalition] for coalition in _subsets(top - base)},
        )
        for base, top in found
    )


def shapley_values(game: Game) -> tuple[GameEffect, ...]:
    """Each player's Shapley value: its gain when it joins, averaged over all orders of joining (Shapley 1953).

    With n players, a coalition T without the player weighs |T|! (n - |T| - 1)! / n!; the values add up to the full row
    minus the base row.
    """
    n = len(game.players)
    effects = []
    for player in game.players:
        weights = dict.fromkeys(game.rows.values(), 0.0)
        for coalition in _subsets(frozenset(game.players) - {player}):
            weight = factorial(len(coalition)) * factorial(n - len(coalition) - 1) / factorial(n)
            weights[game.rows[coalition | {player}]] += weight
            weights[game.rows[coalition]] -= weight
        effects.append(GameEffect((player,), weights))
    return tuple(effects)


def interactions(game: Game) -> tuple[GameEffect, ...]:
    """Each pair's Shapley interaction index: what both give beyond the sum of each alone (Grabisch and Roubens 1999).

    A coalition T without the pair weighs |T|! (n - |T| - 2)! / (n - 1)!. Positive: they help one another; negative:
    they do the same work.
    """
    n = len(game.players)
    effects = []
    for first, second in combinations(game.players, 2):
        weights = dict.fromkeys(game.rows.values(), 0.0)
        for coalition in _subsets(frozenset(game.players) - {first, second}):
            weight = factorial(len(coalition)) * factorial(n - len(coalition) - 2) / factorial(n - 1)
            weights[game.rows[coalition | {first, second}]] += weight
            weights[game.rows[coalition | {first}]] -= weight
            weights[game.rows[coalition | {second}]] -= weight
            weights[game.rows[coalition]] += weight
        effects.append(GameEffect((first, second), weights))
    return tuple(effects)


def comparable_rows(rows: Sequence[Mapping[str, object]]) -> tuple[tuple[str, ...], ...]:
    """The row ids in groups within which factors alone make the difference.

    Rows may differ beside their factors (another backbone, re-ranking). Such a value shows as a recipe key that takes
    several values under one setting of the factors; rows are grouped by the values of all such keys. Rows without
    their recipe make one group.

    Args:
        rows: The declaration's rows: ``id``, ``factors`` and, where it is recorded, ``recipe`` and ``set``.
    """
    recipes = {str(row["id"]): {**_leaves(row.get("recipe"), ""), **_leaves(row.get("set"), "set.")} for row in rows}
    by_setting: dict[frozenset[str], list[dict[str, str]]] = {}
    for row in rows:
        factors = row["factors"]
        assert isinstance(factors, Mapping)
        by_setting.setdefault(frozenset(mentioned(factors)), []).append(recipes[str(row["id"])])
    hidden = {key for recipe in recipes.values() for key in recipe if key.startswith("set.")}
    for twins in by_setting.values():
        for other in twins[1:]:
            hidden |= {key for key in twins[0].keys() | other.keys() if twins[0].get(key) != other.get(key)}
    groups: dict[tuple[str | None, ...], list[str]] = {}
    for row_id, recipe in recipes.items():
        groups.setdefault(tuple(recipe.get(key) for key in sorted(hidden)), []).append(row_id)
    return tuple(tuple(group) for group in groups.values())


def _leaves(value: object, place: str) -> dict[str, str]:
    """A nested mapping as dotted keys and their values' text."""
    if isinstance(value, Mapping):
        return {key: text for name in value for key, text in _leaves(value[name], f"{place}{name}.").items()}
    return {} if value is None and not place else {place: repr(value)}


def _on(setting: Columns) -> Iterator[str]:
    return (factor for factor, on in setting.items() if on)


def _blocks(settings: Iterable[Columns]) -> tuple[Block, ...]:
    """The factors that vary, those that always vary together joined."""
    rows = list(settings)
    columns: dict[tuple[bool, ...], list[str]] = {}
    for factor in rows[0] if rows else ():
        columns.setdefault(tuple(row[factor] for row in rows), []).append(factor)
    return tuple(tuple(factors) for column, factors in columns.items() if len(set(column)) > 1)


def _constant(settings: Iterable[Columns]) -> tuple[str, ...]:
    rows = list(settings)
    return tuple(factor for factor in (rows[0] if rows else ()) if all(row[factor] for row in rows))


def _subsets(items: frozenset[Block]) -> Iterator[frozenset[Block]]:
    ordered = sorted(items)
    for size in range(len(ordered) + 1):
        yield from map(frozenset, combinations(ordered, size))


def _complete_intervals(
    present: Mapping[frozenset[Block], str],
) -> list[tuple[frozenset[Block], frozenset[Block]]]:
    """All (base, top) whose every set in between is present, at least two players apart, largest first."""
    complete = {(setting, setting) for setting in present}
    layer = sorted(complete, key=lambda interval: sorted(interval[0]))
    players = sorted({player for setting in present for player in setting})
    found: list[tuple[frozenset[Block], frozenset[Block]]] = []
    while layer:
        # An interval grown by one player is complete if its half without the player and its half with it both are.
        grown: dict[tuple[frozenset[Block], frozenset[Block]], None] = {}
        for base, top in layer:
            for player in players:
                if player not in top and (base | {player}, top | {player}) in complete:
                    grown[base, top | {player}] = None
        complete |= grown.keys()
        layer = list(grown)
        found.extend(interval for interval in layer if len(interval[1] - interval[0]) > 1)
    return sorted(
        found, key=lambda interval: (-len(interval[1] - interval[0]), sorted(interval[1]), sorted(interval[0]))
    )


def block_text(block: Block) -> str:
    """Factors that go together: ``DIL+Multi``."""
    return "+".join(block)


def players_text(players: Sequence[Block]) -> str:
    """Players of a game: ``Quadruplet × SAC``."""
    return " × ".join(map(block_text, players))


def game_text(game: Game, order: Sequence[str]) -> str:
    """A game in words, its rows in the given order of all rows."""
    always = f", with {', '.join(game.always)} on" if game.always else ""
    return f"{players_text(game.players)}{always} (rows {', '.join(rows_of(game, order))})"


def rows_of(game: Game, order: Sequence[str]) -> list[str]:
    """The rows of a game in the order of all rows."""
    return sorted(game.rows.values(), key=list(order).index)
