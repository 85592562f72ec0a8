"""The running difference of each settled comparison with its boundary."""

from math import isfinite
from typing import TYPE_CHECKING

from harness.report.claim_text import versus
from harness.report.drawing import BLACK, BLUE, GREEN, GREY, PALE, VERMILLION, head, new_figure, tidy
from harness.report.model import TableReport
from harness.report.statistics import ALPHA
from harness.settle import Line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 24
_COLUMNS = 3
_COLOURS = {"better": BLUE, "worse": VERMILLION, "practically equal": GREEN, "open": GREY}


def draw_settled(report: TableReport) -> "Figure | None":
    """One panel a comparison: mean paired difference by seeds, the interval of each look, 0 and the margin."""
    settlement = report.settlement
    lines = [line for line in settlement.path.lines if line.looks][:MOST_PANELS] if settlement else []
    if settlement is None or not lines:
        return None
    rows = -(-len(lines) // _COLUMNS)
    figure = new_figure(3.4 * min(_COLUMNS, len(lines)), 0.9 + 2.1 * rows)
    panels = figure.subplots(rows, min(_COLUMNS, len(lines)), squeeze=False, sharex=True).flatten()
    for axes, line in zip(panels, lines, strict=False):
        _draw(report, axes, line)
    for axes in panels[len(lines) :]:
        axes.set_visible(False)
    several = len(settlement.path.lines)
    shown = f"the first {MOST_PANELS}: " if several > MOST_PANELS else ""
    corrected = f"; verdicts are also corrected for all {several} comparisons" if several > 1 else ""
    head(figure, report.title, f"{shown}running differences, 95 % over all looks{corrected}", report.heading)
    return figure


def _draw(report: TableReport, axes: "Axes", line: Line) -> None:
    metric, one = report.metric_of(line.comparison.metric), line.comparison
    colour = _COLOURS[line.verdict]
    bounds = [look.interval(ALPHA) for look in line.looks]
    seeds = [look.evidence.seeds for look in line.looks]
    means = [metric.scale * look.evidence.mean for look in line.looks]
    axes.axhline(0, color=BLACK, linewidth=0.8)
    if one.within is not None:
        axes.axhspan(-metric.scale * one.within, metric.scale * one.within, color=PALE, zorder=0)
    low, high = ([metric.scale * bound[end] for bound in bounds] for end in (0, 1))
    axes.fill_between(seeds, low, high, color=colour, alpha=0.25, linewidth=0)
    axes.plot(seeds, low, color=colour, linewidth=0.8)
    axes.plot(seeds, high, color=colour, linewidth=0.8)
    axes.plot(seeds, means, color=colour, marker="o", markersize=3)
    ends = [end for end in (low[-1], high[-1]) if isfinite(end)]  # one seed alone has no interval
    if len(seeds) == 1 and ends:
        axes.vlines(seeds, low, high, color=colour, linewidth=0.8)
    reach = 1.6 * max(map(abs, (*ends, *means, metric.scale * (one.within or 0.0), 1e-9)))
    axes.set_ylim(-reach, reach)  # the first looks' intervals may be a hundred times wider
    axes.set_title(f"{versus(one.better, one.than)}, {metric.title}: {line.verdict}", fontsize=8)
    axes.set_xlabel("seeds")
    axes.locator_params(axis="x", integer=True)
    axes.tick_params(labelbottom=True)  # the panels below may be absent
    tidy(axes)
