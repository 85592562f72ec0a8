"""The charts of a report: results with intervals, gains of claims and factors, accuracy against cost, learning curves.

Each function draws what a ``TableReport`` says and returns the figure, or None where there is nothing to draw. The
paper's numbers appear only if they are comparable. Computes no statistics.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.names import file_name
from harness.report.costs import Cost
from harness.report.curves import MOST_CURVES, Curve, StageCurves
from harness.report.drawing import (
    BLACK,
    BLUE,
    CYCLE,
    DASHES,
    ENDINGS,
    GREY,
    PALE,
    draw_estimate,
    draw_paper,
    head,
    legend,
    new_figure,
    save,
    style,
    tidy,
)
from harness.report.forest import draw_claims, draw_effects
from harness.report.formatting import level_text, three_digits
from harness.report.metrics import axis_text
from harness.report.model import ReportRow, TableReport, best_rows, shown_factors
from harness.report.settled_figure import draw_settled
from harness.trainer import Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

MOST_ROWS = 60
"""Rows that one chart can show; of more, the best by the first metric."""
_MOST_FACTORS = 12
"""Factors that a chart's grid of dots can show."""
_ROW_IN = 0.3
_SAME_COST = 1.05
"""How many times more a row must cost than another to count as more expensive: measured seconds vary by less."""


def draw_report(
    report: TableReport, folder: Path, endings: Iterable[str] = ENDINGS, curves: Sequence[StageCurves] = ()
) -> list[tuple[str, list[Path]]]:
    """Draws every chart that the report has something for, as ``<table>-<chart>.<ending>``; captions and files."""
    shown = "first seed of each row" + (f", the {MOST_CURVES} best rows" if len(report.ours) > MOST_CURVES else "")
    charts = (
        ("results", "Results by row, with 95 % intervals", draw_results),
        ("claims", "Claims: measured gains with 95 % intervals", draw_claims),
        ("settled", "Settled comparisons: running differences with the boundary of their looks", draw_settled),
        ("effects", "Effects of factors: gains with 95 % intervals", draw_effects),
        ("cost", "Accuracy against cost", draw_cost),
        ("curves", f"Learning curves of the stages, {shown}", partial(draw_learning_curves, curves=curves)),
    )
    endings = list(endings)
    drawn = []
    with style():
        for name, caption, draw in charts:
            figure = draw(report)
            if figure is not None:
                drawn.append((caption, save(figure, folder / f"{file_name(report.name)}-{name}", endings)))
    return drawn


def draw_results(report: TableReport) -> "Figure | None":
    """Every row's metrics with intervals and seeds, beside its factors; the paper's numbers where they compare."""
    first = report.metrics[0]
    measured = [row for row in report.ours if any(cell.measured for cell in row.cells.values())]
    rows = best_rows(measured, first, MOST_ROWS)
    if not rows:
        return None
    factors = shown_factors(report) if len(report.factors) <= _MOST_FACTORS else ()
    names_in = 0.35 + 0.075 * max(len(row.name) for row in rows)
    places = _places(rows, factors)
    widths = [names_in + 0.26 * places[-1], *[3.0] * len(report.metrics)]
    figure = new_figure(sum(widths), 1.2 + _ROW_IN * len(rows) + 0.5 * bool(factors))
    left, *panels = figure.subplots(1, len(widths), width_ratios=widths, sharey=True, squeeze=False)[0]
    _draw_settings(left, rows, dict(zip(factors, places, strict=False)), names_in / 0.26)
    for axes, metric in zip(panels, report.metrics, strict=True):
        _draw_metric(axes, rows, metric, comparable=not report.not_comparable)
    panels[0].set_ylim(len(rows) - 0.4, -0.6)
    legend(figure, panels)
    message = f"the {len(rows)} best of {len(measured)} rows" if len(rows) < len(measured) else ""
    head(figure, report.title, message, report.heading)
    return figure


def _places(rows: Sequence[ReportRow], factors: Sequence[str]) -> list[float]:
    """Returns where each factor is drawn, in dots, and where the last one ends: names of levels need more room."""
    places = [0.0]
    for factor in factors:
        longest = max(len(level_text(row, factor, "")) for row in rows)
        places.append(places[-1] + max(1.0, 0.26 * longest + 0.6))
    return places


def _draw_settings(axes: "Axes", rows: Sequence[ReportRow], factors: Mapping[str, float], names: float) -> None:
    """The rows' names and a grid: dots where factors are on, levels by their names."""
    axes.set_xlim(-names, max(factors.values(), default=-1.0) + 0.6)
    axes.set_xticks(list(factors.values()), list(factors), rotation=60, ha="left", va="bottom", rotation_mode="anchor")
    axes.xaxis.tick_top()
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for y, row in enumerate(rows):
        axes.text(-0.8, y, row.name, ha="right", va="center", weight="bold")
        for factor, x in factors.items():
            level = row.factors[factor]
            if isinstance(level, str):
                axes.text(x, y, level, ha="left", va="center", size=7)
            else:
                axes.plot([x], [y], "o", color=BLACK if level else PALE, markersize=6 if level else 4)


def _draw_metric(axes: "Axes", rows: Sequence[ReportRow], metric: Metric, *, comparable: bool) -> None:
    for y, row in enumerate(rows):
        cell = row.cells[metric.key]
        if comparable and cell.paper is not None:
            draw_paper(axes, cell.paper, y, metric.scale)
        if cell.measured is None:
            continue
        if len(cell.by_seed) > 1:
            seeds = [metric.scale * value for value in cell.by_seed.values()]
            axes.plot(seeds, [y] * len(seeds), "|", color=GREY, markersize=9, mew=1, label="one seed", zorder=2)
        draw_estimate(axes, cell.measured, y, BLUE, metric.scale)
    axes.set_title(metric.title)
    axes.set_xlabel(axis_text(metric))
    tidy(axes)
    axes.spines["left"].set_visible(False)


def draw_cost(report: TableReport) -> "Figure | None":
    """The first metric against a cost in which rows differ; the Pareto front joins the best choices."""
    metric = report.metrics[0]
    cost = _varying_cost(report)
    if cost is None:
        return None
    points = [
        ((row.costs or {})[cost.key] * cost.scale, cell.measured, row.name)
        for row in report.ours
        if cost.key in (row.costs or {}) and (cell := row.cells[metric.key]).measured
    ]
    figure = new_figure(6.0, 4.2)
    axes = figure.subplots()
    front = _front([(x, metric.gain(estimate.mean)) for x, estimate, _ in points])
    ordered = sorted(front, key=lambda index: points[index][0])
    axes.plot(
        [points[index][0] for index in ordered],
        [metric.scale * points[index][1].mean for index in ordered],
        drawstyle="steps-post",  # between two rows nothing better than the cheaper one is to be had
        color=BLUE,
        linewidth=1.2,
        marker="o",
        markersize=7,
        zorder=2,
        label="Pareto front: no row is better and cheaper",
    )
    for index, (x, estimate, _) in enumerate(points):
        face = BLUE if index in front else "white"
        axes.plot(
            x, metric.scale * estimate.mean, "o", markersize=7, mfc=face, mec=BLUE if index in front else GREY, zorder=3
        )
    if len(points) <= MOST_ROWS:
        named = [
            (x, metric.scale * estimate.mean, name, place in front) for place, (x, estimate, name) in enumerate(points)
        ]
        _label_points(axes, named)
    axes.set_xlabel(cost.title)
    axes.set_ylabel(" ".join(filter(None, (metric.title, f"({axis_text(metric)})" if axis_text(metric) else ""))))
    xs = [x for x, _, _ in points]
    if min(xs) > 0 and max(xs) / min(xs) > 30:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: three_digits(value).rstrip("0").rstrip("."))
    axes.margins(x=0.12)
    tidy(axes, grid="both")
    legend(figure, [axes])
    head(figure, report.title, f"{metric.title} against {cost.name}", report.heading)
    return figure


def _varying_cost(report: TableReport) -> Cost | None:
    """Multiply-adds where rows differ in them, else time, else parameters; None if rows cost about the same."""
    for key in ("multiply_adds", "seconds", "parameters"):
        known = [row.costs[key] for row in report.ours if row.costs and key in row.costs]
        if known and max(known) > _SAME_COST * min(known):
            return next(cost for cost in report.costs if cost.key == key)
    return None


def _front(points: Sequence[tuple[float, float]]) -> set[int]:
    """The points that no other beats in one of cost (lower) and gain (higher) without losing in the other."""
    return {
        index
        for index, (cost, gain) in enumerate(points)
        if not any(c <= cost and g >= gain and (c < cost or g > gain) for c, g in points)
    }


def _label_points(axes: "Axes", points: Iterable[tuple[float, float, str, bool]]) -> None:
    """Names beside the points, above the line for those on the front; of points too close, on alternating sides."""
    from matplotlib.patheffects import withStroke

    ordered = sorted(points, key=lambda point: (point[0], point[1]))
    low, high = axes.get_ylim()
    side, before = 1, (float("nan"), float("nan"))
    for x, y, name, on_front in ordered:
        side = -side if x == before[0] and (y - before[1]) / (high - low) < 0.035 else 1
        offset, anchor = (8 * side, 5 * on_front), "left" if side > 0 else "right"
        label = axes.annotate(name, (x, y), offset, textcoords="offset points", ha=anchor, va="center")
        label.set_path_effects([withStroke(linewidth=3, foreground="white")])  # the front may run behind it
        before = (x, y)


def draw_learning_curves(report: TableReport, curves: Sequence[StageCurves]) -> "Figure | None":
    """Loss and learning rate over the epochs, a column for each stage and a line for each training.

    Values that are not finite leave a gap. A row keeps its colour and dashes from stage to stage.
    """
    curves = [stage for stage in curves if any(len(epochs) > 1 for epochs, _ in stage.loss.values())]
    if not curves:
        return None
    looks: dict[str, tuple[str, str]] = {}
    lines: dict[str, Line2D] = {}  # not by label: matplotlib keeps labels that begin with "_" out of a legend
    for name in (name for stage in curves for name in stage.loss):
        if name not in looks:
            looks[name] = CYCLE[len(looks) % len(CYCLE)], DASHES[len(looks) // len(CYCLE) % len(DASHES)]
    figure = new_figure(1.6 + 3.6 * len(curves), 5.0)
    grid = figure.subplots(2, len(curves), squeeze=False, sharex="col", height_ratios=[2, 1])
    for column, stage in zip(grid.T, curves, strict=True):
        for name, (epochs, values) in stage.loss.items():
            colour, dashes = looks[name]
            finite = np.where(np.isfinite(values), values, np.nan)
            (line,) = column[0].plot(epochs, finite, dashes, color=colour, linewidth=1.4)
            lines.setdefault(name, line)
        _draw_rates(column[1], stage.rate)
        for axes in column:
            tidy(axes, grid="both")
        column[0].set_title(f"Stage {stage.name}")
        _log_where_wide(column[0], stage.loss.values())
        _log_where_wide(column[1], stage.rate.values())
        column[1].set_xlabel("epoch")
    grid[0][0].set_ylabel("loss")
    grid[1][0].set_ylabel("learning rate")
    figure.legend(lines.values(), lines.keys(), loc="outside right center", title="row")
    head(figure, report.title, "learning curves", report.heading)
    return figure


def _draw_rates(axes: "Axes", rates: Mapping[str, Curve]) -> None:
    """Learning rates in grey, equal ones once; where they differ, each with its rows."""
    rows: dict[Curve, list[str]] = {}
    for name, curve in rates.items():
        rows.setdefault(curve, []).append(name)
    for (epochs, values), names in rows.items():
        # A rate holds for a whole epoch.
        axes.plot(epochs, values, "-", color=GREY, linewidth=1.4, drawstyle="steps-pre")
        if len(rows) > 1:
            end = (epochs[-1], values[-1])
            axes.annotate(", ".join(names), end, (0, 2), textcoords="offset points", ha="right", fontsize=7)


def _log_where_wide(axes: "Axes", curves: Iterable[tuple[Sequence[float], Sequence[float]]]) -> None:
    """A logarithmic axis where all values are positive and span more than a factor of 20."""
    from matplotlib.ticker import LogLocator

    values = np.array([value for _, line in curves for value in line])
    values = values[np.isfinite(values)]
    if len(values) and values.min() > 0 and values.max() > 20 * values.min():
        axes.set_yscale("log")
        for axis in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            axis(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_locator(LogLocator(subs=(2.0, 5.0)))
