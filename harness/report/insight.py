"""The effects of a table's factors, measured: matched pairs, Shapley values, interactions, and what stays open.

Joins the contrasts of ``effects`` with the numbers of ``measurements``. Refuses rows without results, and rows that
differ in more than factors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.plan.budgets import StageBudget, also_differs, declared_budgets
from harness.plan.columns import columns_of
from harness.plan.identifiable import MOST_LEVELS, aliased_effects
from harness.report.basis import Basis
from harness.report.effects import (
    Block,
    Game,
    GameEffect,
    PairEffect,
    comparable_rows,
    games,
    interactions,
    pair_effects,
    shapley_values,
)
from harness.report.measurements import Measurements
from harness.report.power import Needed, needed_for_measured
from harness.report.statistics import ALPHA, Estimate, effect_size, holm


@dataclass(frozen=True)
class Gain:
    """A contrast in one metric; positive is better."""

    estimate: Estimate
    basis: Basis
    p_holm: float | None
    """Over all effects of one kind of the table in that metric: the matched pairs, or the effects of all factorials."""
    effect_size: float | None
    needed: Needed | None
    """For a pair that is not settled: the seeds that would find a difference of the measured size with 80 % power
    at the strictest level of Holm's correction."""


@dataclass(frozen=True)
class PairLine:
    """A matched pair and its gain by metric."""

    pair: PairEffect
    gains: Mapping[str, Gain]
    also: str = ""
    """Differences of the rows' trainings besides the factor, as a phrase; empty if none."""


@dataclass(frozen=True)
class GameLine:
    """A complete factorial with its players' Shapley values and their interactions, each by metric."""

    game: Game
    values: tuple[tuple[GameEffect, Mapping[str, Gain]], ...]
    interactions: tuple[tuple[GameEffect, Mapping[str, Gain]], ...]
    also: Mapping[Block, tuple[str, ...]] = field(default_factory=dict)
    """Differences of the rows' trainings with and without a player, as phrases, by player."""


@dataclass(frozen=True)
class Insight:
    """All effects of the factors that the rows with results identify."""

    pairs: tuple[PairLine, ...]
    games: tuple[GameLine, ...]
    open: tuple[str, ...]
    """Effects that cannot be separated."""
    suggestions: tuple[tuple[str, ...], ...]
    """Rows to add, by the factors that are on in them, the most informative first."""
    against_first: tuple[str, ...] = ()
    """Factors of so many levels that each is compared with the first alone."""


def gain_insight(declaration: Mapping[str, Any], measurements: Measurements, metrics: Sequence[str]) -> Insight:
    """Measures every effect that the rows with results identify.

    Args:
        declaration: The matrix as JSON, with ``rows_to_add`` (rows by their factors) where the plan recorded some.
        measurements: The table's runs.
        metrics: The metrics to measure effects in; a row counts if it has the first one.
    """
    measured = [
        row for row in declaration["rows"] if not row.get("control") and measurements.values(row["id"], metrics[0])
    ]
    groups = [
        {row["id"]: row["factors"] for row in measured if row["id"] in group} for group in comparable_rows(measured)
    ]
    groups = [group for group in groups if len(group) > 1]
    levels = declaration.get("levels", {})
    pairs = [pair for group in groups for pair in pair_effects(group, levels)]
    columns = [dict(zip(group, columns_of(list(group.values()), levels), strict=True)) for group in groups]
    budgets = declared_budgets(measured)
    gains = _gains([pair.weights for pair in pairs], measurements, metrics)
    played = [game for group in columns for game in games(group)]
    effects = [(shapley_values(game), interactions(game)) for game in played]
    estimated = iter(
        _gains([effect.weights for pair in effects for kind in pair for effect in kind], measurements, metrics)
    )
    return Insight(
        pairs=tuple(
            PairLine(pair, found, also_differs(budgets[pair.on], budgets[pair.off]))
            for pair, found in zip(pairs, gains, strict=True)
        ),
        games=tuple(
            GameLine(
                game,
                tuple((effect, next(estimated)) for effect in values),
                tuple((effect, next(estimated)) for effect in both),
                _also(game, budgets),
            )
            for game, (values, both) in zip(played, effects, strict=True)
        ),
        open=tuple(alias.reason for group in columns for alias in aliased_effects(list(group.values()))),
        suggestions=tuple(tuple(row) for row in declaration.get("rows_to_add", ())),
        against_first=tuple(
            factor
            for factor in dict.fromkeys(pair.factor for pair in pairs)
            if len(levels.get(factor, ())) > MOST_LEVELS
        ),
    )


def _also(game: Game, budgets: Mapping[str, Sequence[StageBudget]]) -> dict[Block, tuple[str, ...]]:
    """Lists what else changes in the rows that a player joins."""
    found: dict[Block, tuple[str, ...]] = {}
    for player in game.players:
        joined = ((row, game.rows[coalition - {player}]) for coalition, row in game.rows.items() if player in coalition)
        phrases = (also_differs(budgets[row], budgets[without]) for row, without in joined)
        found[player] = tuple(dict.fromkeys(filter(None, phrases)))
    return found


def _gains(
    contrasts: Sequence[Mapping[str, float]], measurements: Measurements, metrics: Sequence[str]
) -> list[dict[str, Gain]]:
    """The gains of one family of comparisons, by metric; Holm's correction runs over all of them in a metric."""
    gains: list[dict[str, Gain]] = [{} for _ in contrasts]
    for metric in metrics:
        estimates = [measurements.contrast(weights, metric) for weights in contrasts]
        adjusted = holm([estimate.p_value if estimate else None for estimate in estimates])
        family = sum(p_holm is not None for p_holm in adjusted)
        for weights, estimate, p_holm, found in zip(contrasts, estimates, adjusted, gains, strict=True):
            basis = measurements.basis([row for row, weight in weights.items() if weight], metric)
            if estimate is not None and basis is not None:
                unsettled = p_holm is not None and p_holm > ALPHA
                needed = needed_for_measured(estimate, alpha=ALPHA / family) if unsettled else None
                found[metric] = Gain(estimate, basis, p_holm, effect_size(estimate), needed)
    return gains
