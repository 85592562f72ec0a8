"""The surface of a search: a metric over the first two searched numbers, as a heat map or as dots.

Only what was measured is drawn: nothing is interpolated between the trials.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.report.drawing import BLACK, GREY, PALE, VERMILLION, new_figure, save, style, tidy
from harness.report.formatting import is_number, metric_text
from harness.report.metrics import metric_of
from harness.trainer import Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_CELLS = 12
"""Values along an axis that a heat map has room for."""
_COLOURS = "cividis"


@dataclass(frozen=True)
class Spot:
    """A trial on the surface."""

    x: float
    y: float
    value: float | None
    """The metric, as a fraction; None unless the trial is complete."""
    state: str


def draw_surface(
    spots: Sequence[Spot],
    *,
    xlabel: str,
    ylabel: str,
    metric: Metric,
    reference: tuple[float, float] | None = None,
    title: str = "",
) -> "Figure":
    """A heat map where the trials lie on a grid, else a coloured dot for each; the best and the reference are framed.

    Args:
        spots: The trials, at least one of them complete.
        xlabel: The first value's name.
        ylabel: The second value's name.
        metric: What the colour shows.
        reference: The values to beat.
        title: Above the chart.
    """
    complete = [spot for spot in spots if spot.value is not None]
    best = min(complete, key=lambda spot: -metric.gain(spot.value or 0.0))
    with style():
        figure = new_figure(5.6, 4.4)
        axes = figure.subplots()
        xs, ys = sorted({spot.x for spot in spots}), sorted({spot.y for spot in spots})
        cells = len(xs) * len(ys)
        if max(len(xs), len(ys)) <= _MOST_CELLS and cells <= 2 * len(spots):
            colours = _draw_cells(axes, spots, xs, ys, metric, best, reference)
        else:
            colours = _draw_dots(axes, spots, metric, best, reference)
        figure.colorbar(colours, label=f"{metric.title} (percent)" if metric.percent else metric.title)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        axes.set_title(title)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def _draw_cells(
    axes: "Axes",
    spots: Sequence[Spot],
    xs: list[float],
    ys: list[float],
    metric: Metric,
    best: Spot,
    reference: tuple[float, float] | None,
) -> Any:
    """A cell for each pair of values, its number in it; cells without one say why."""
    table = np.full((len(ys), len(xs)), np.nan)
    for spot in spots:
        if spot.value is not None:
            table[ys.index(spot.y), xs.index(spot.x)] = metric.scale * spot.value
    image = axes.imshow(table, cmap=_COLOURS, origin="lower", aspect="auto")
    axes.set_facecolor(PALE)
    middle = (np.nanmin(table) + np.nanmax(table)) / 2
    for spot in spots:
        place = xs.index(spot.x), ys.index(spot.y)
        if spot.value is None:
            axes.text(*place, spot.state, ha="center", va="center", fontsize=7, color=GREY)
        else:
            colour = "white" if table[place[1], place[0]] < middle else BLACK
            axes.text(*place, metric_text(spot.value, metric), ha="center", va="center", color=colour)
    axes.set_xticks(range(len(xs)), [f"{value:g}" for value in xs])
    axes.set_yticks(range(len(ys)), [f"{value:g}" for value in ys])
    axes.tick_params(length=0)
    frames = [("best", (best.x, best.y), VERMILLION, "-", 0.44)]
    if reference is not None and reference[0] in xs and reference[1] in ys:
        frames.append(("reference", reference, BLACK, "--", 0.38))
    for label, (x, y), colour, line, half in frames:
        column, row = xs.index(x), ys.index(y)
        corners = [(column - half, row - half), (column + half, row - half)]
        corners += [(column + half, row + half), (column - half, row + half)]
        axes.plot(*zip(*corners, corners[0], strict=True), line, color=colour, linewidth=2, label=label)
    return image


def _draw_dots(
    axes: "Axes", spots: Sequence[Spot], metric: Metric, best: Spot, reference: tuple[float, float] | None
) -> Any:
    complete = [spot for spot in spots if spot.value is not None]
    x, y = [spot.x for spot in complete], [spot.y for spot in complete]
    values = [metric.scale * (spot.value or 0.0) for spot in complete]
    dots = axes.scatter(x, y, c=values, cmap=_COLOURS, s=90, edgecolors=BLACK, linewidths=0.5, zorder=2)
    pruned = [spot for spot in spots if spot.state == "pruned"]
    if pruned:
        places = [spot.x for spot in pruned], [spot.y for spot in pruned]
        axes.plot(*places, "o", mfc="none", mec=GREY, markersize=5, label="pruned")
    axes.plot(best.x, best.y, "o", markersize=16, mfc="none", mec=VERMILLION, mew=2, zorder=3, label="best")
    if reference is not None:
        axes.plot(*reference, "P", markersize=9, color=BLACK, mec="white", zorder=4, label="reference")
    tidy(axes, grid="both")
    return dots


def draw_study(record: Mapping[str, Any], study: Mapping[str, Any], path: Path, endings: Sequence[str]) -> list[Path]:
    """The surface over the first two searched numbers; nothing where there are no two, or no trials."""
    trials = study["trials"]
    complete = [trial for trial in trials if trial["state"] == "complete"]
    numbers = [key for key in record["space"] if all(is_number(trial["params"][key]) for trial in trials)]
    if not complete or len(numbers) < 2:
        return []
    x, y = numbers[:2]
    spots = [
        Spot(
            float(trial["params"][x]),
            float(trial["params"][y]),
            trial["value"] if trial["state"] == "complete" else None,
            trial["state"],
        )
        for trial in trials
    ]
    reference = study["reference"]
    with style():
        figure = draw_surface(
            spots,
            xlabel=x,
            ylabel=y,
            metric=metric_of(record["measured"], record["metric"]),
            reference=(float(reference[x]), float(reference[y])) if reference else None,
            title=f"Row {study['row']}: {len(complete)} complete trials on held-out data",
        )
        return save(figure, path, endings)
