"""Forest plots: the gains of a table's claims and of its factors, one per line, with intervals and numbers."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.report.claim_text import sides_text, versus
from harness.report.drawing import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    VERMILLION,
    draw_estimate,
    draw_paper,
    head,
    legend,
    new_figure,
    tidy,
)
from harness.report.effects import players_text, rows_of
from harness.report.formatting import interval_text, metric_text
from harness.report.model import TableReport
from harness.report.statistics import Estimate
from harness.trainer import Metric

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_LINES = 60
"""Effects that one chart can show."""
_MOST_PAIRS = 40
"""Matched pairs among them, so that the effects that sum them up have room too."""
_LETTERS_A_LINE = 72
_MOST_NAMED = 8
"""Rows of a factorial that its title names."""
_VERDICT_COLOURS = {
    "reproduced": BLUE,
    "contradicted": VERMILLION,
    "inconclusive": GREY,
    "practically equal": GREEN,
    "not comparable": BLUE,
}


@dataclass(frozen=True)
class _Line:
    """One line of a forest plot."""

    text: str
    metric: Metric
    estimate: Estimate
    colour: str = BLUE
    claimed: float | None = None


def draw_claims(report: TableReport) -> "Figure | None":
    """A forest plot of the claims: measured gains, the claimed sizes, and the verdicts in words."""
    lines = []
    for claim in report.claims:
        if claim.measured is None:
            continue
        metric = report.metric_of(claim.metric)
        text = textwrap.fill(claim.text, _LETTERS_A_LINE)
        compared = f"{sides_text(claim, metric)}, {metric.title}"
        verdict = "" if report.not_comparable else f": {claim.verdict}"
        claimed = None if report.not_comparable else claim.claimed
        colour = _VERDICT_COLOURS[claim.verdict]
        lines.append(
            _Line(
                f"{text}\n{compared}{verdict}",
                metric,
                claim.measured,
                colour,
                claimed,
            )
        )
    subject = f"claims, not comparable with the paper: {report.not_comparable}" if report.not_comparable else "claims"
    return _forest(report, [("", lines)], subject, "in favour of the claim") if lines else None


def draw_effects(report: TableReport) -> "Figure | None":
    """A forest plot of the factors' gains in the first metric: matched pairs, then Shapley values and interactions."""
    metric = report.metrics[0]
    room, shown = MOST_LINES, []
    for title, lines in (_pairs(report, metric), *_games(report, metric)):
        if lines[:room]:
            shown.append((title, lines[:room]))
        room -= len(lines[:room])
    return _forest(report, shown, f"effects of factors on {metric.title}", "better") if shown else None


def _pairs(report: TableReport, metric: Metric) -> tuple[str, list[_Line]]:
    pairs = report.insight.pairs
    title = f"Matched pairs, {_MOST_PAIRS} of {len(pairs):,}" if len(pairs) > _MOST_PAIRS else "Matched pairs"
    lines = [
        _Line(f"{line.pair.change}  ({versus(line.pair.on, line.pair.off)})", metric, line.gains[metric.key].estimate)
        for line in pairs
        if metric.key in line.gains
    ]
    return title, lines[:_MOST_PAIRS]


def _games(report: TableReport, metric: Metric) -> Iterator[tuple[str, list[_Line]]]:
    order = [row.id for row in report.ours]
    for game in report.insight.games:
        rows = rows_of(game.game, order)
        listed = ", ".join(rows[:_MOST_NAMED]) + (" ..." if len(rows) > _MOST_NAMED else "")
        effects = [("", effect) for effect in game.values] + [("interaction ", effect) for effect in game.interactions]
        lines = [
            _Line(kind + players_text(effect.players), metric, gains[metric.key].estimate)
            for kind, (effect, gains) in effects
            if metric.key in gains
        ]
        yield f"Shapley values, rows {listed}", lines


def _forest(report: TableReport, groups: Sequence[tuple[str, list[_Line]]], subject: str, better: str) -> "Figure":
    lines: list[tuple[float, _Line]] = []
    titles: list[tuple[float, str]] = []
    y = 0.0
    for title, members in groups:
        if title:
            titles.append((y, title))
            y += 1
        for line in members:
            half = line.text.count("\n") * 0.25
            lines.append((y + half, line))
            y += 1 + 2 * half
        y += 0.4
    texts = [title for _, title in titles] + [part for _, line in lines for part in line.text.split("\n")]
    text_in = 0.3 + 0.068 * max(map(len, texts))
    figure = new_figure(text_in + 5.2, 1.1 + 0.27 * y)
    axes = figure.subplots()
    axes.axvline(0, color=BLACK, linewidth=1)
    for y_line, line in lines:
        if line.claimed is not None:
            draw_paper(axes, line.claimed, y_line, line.metric.scale)
        draw_estimate(axes, line.estimate, y_line, line.colour, line.metric.scale)
        message = metric_text(line.estimate.mean, line.metric, signed=True)
        message = f"{message} {interval_text(line.estimate, line.metric, signed=True)}".strip()
        axes.text(1.02, y_line, message, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    for y_title, title in titles:
        across = axes.get_yaxis_transform()
        axes.text(-0.01, y_title, title, weight="bold", fontsize=8, ha="right", va="center", transform=across)
    axes.set_yticks([y_line for y_line, _ in lines], [line.text for _, line in lines], fontsize=8)
    axes.set_ylim(y - 0.2, -0.8)
    units = "percentage points" if all(line.metric.percent for _, line in lines) else "gain"
    axes.set_xlabel(f"{units}, {better} →")
    tidy(axes)
    axes.spines["left"].set_visible(False)
    legend(figure, [axes])
    head(figure, report.title, subject, report.heading)
    return figure
