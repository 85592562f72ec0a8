"""What a table's rows tell of its factors, measured: matched pairs, Shapley values, interactions, and what stays open.

Joins the contrasts of ``effects`` with the numbers of ``measurements``. Refuses rows without results, and rows that
differ in more than factors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.plan.columns import columns_of
from harness.plan.effects import aliased_effects
from harness.report.effects import (
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
    p_holm: float | None
    """Over all matched pairs of the table in that metric; None for effects of games, which are combinations of them."""
    effect_size: float | None
    needed: Needed | None
    """For a pair that is not settled: the seeds that would find a difference of the measured size with 80 % power
    at the strictest level of Holm's correction."""


@dataclass(frozen=True)
class PairLine:
    """A matched pair and its gain by metric."""

    pair: PairEffect
    gains: Mapping[str, Gain]


@dataclass(frozen=True)
class GameLine:
    """A complete factorial with its players' Shapley values and their interactions, each by metric."""

    game: Game
    values: tuple[tuple[GameEffect, Mapping[str, Gain]], ...]
    interactions: tuple[tuple[GameEffect, Mapping[str, Gain]], ...]


@dataclass(frozen=True)
class Insight:
    """All that the rows with results tell of the factors."""

    pairs: tuple[PairLine, ...]
    games: tuple[GameLine, ...]
    open: tuple[str, ...]
    """Effects that cannot be told apart."""
    suggestions: tuple[tuple[str, ...], ...]
    """Rows to add, by the factors that are on in them, the most telling first."""


def gain_insight(declaration: Mapping[str, Any], measurements: Measurements, metrics: Sequence[str]) -> Insight:
    """Measures every effect that the rows with results identify.

    Args:
        declaration: The matrix as JSON, with ``rows_to_add`` (rows by their factors) where the plan recorded some.
        measurements: The table's runs.
        metrics: The metrics to measure effects in; a row counts if it has the first one.
    """
    measured = [row for row in declaration["rows"] if measurements.values(row["id"], metrics[0])]
    groups = [
        {row["id"]: row["factors"] for row in measured if row["id"] in group} for group in comparable_rows(measured)
    ]
    groups = [group for group in groups if len(group) > 1]
    levels = declaration.get("levels", {})
    pairs = [pair for group in groups for pair in pair_effects(group, levels)]
    columns = [dict(zip(group, columns_of(list(group.values()), levels), strict=True)) for group in groups]
    contrasts = {metric: [measurements.contrast(pair.weights, metric) for pair in pairs] for metric in metrics}
    gains = {metric: _gains(estimates) for metric, estimates in contrasts.items()}
    lines = tuple(
        PairLine(pair, {metric: gain for metric in metrics if (gain := gains[metric][index]) is not None})
        for index, pair in enumerate(pairs)
    )
    return Insight(
        pairs=lines,
        games=tuple(_game_line(game, measurements, metrics) for group in columns for game in games(group)),
        open=tuple(alias.reason for group in columns for alias in aliased_effects(list(group.values()))),
        suggestions=tuple(tuple(row) for row in declaration.get("rows_to_add", ())),
    )


def _gains(estimates: Sequence[Estimate | None]) -> list[Gain | None]:
    """Gains of one family of comparisons."""
    adjusted = holm([estimate.p_value if estimate else None for estimate in estimates])
    family = sum(p_holm is not None for p_holm in adjusted)
    return [
        None if estimate is None else _gain(estimate, p_holm, family)
        for estimate, p_holm in zip(estimates, adjusted, strict=True)
    ]


def _gain(estimate: Estimate, p_holm: float | None = None, family: int = 1) -> Gain:
    needed = None
    if estimate.chance and p_holm is not None and p_holm > ALPHA:
        needed = needed_for_measured(estimate, alpha=ALPHA / family)
    return Gain(estimate, p_holm, effect_size(estimate), needed)


def _game_line(game: Game, measurements: Measurements, metrics: Sequence[str]) -> GameLine:
    def measure(effect: GameEffect) -> tuple[GameEffect, Mapping[str, Gain]]:
        estimates = {metric: measurements.contrast(effect.weights, metric) for metric in metrics}
        return effect, {metric: _gain(found) for metric, found in estimates.items() if found is not None}

    return GameLine(game, tuple(map(measure, shapley_values(game))), tuple(map(measure, interactions(game))))
