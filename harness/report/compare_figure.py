"""The pictures of a comparison: each unit's value on both sides, and what each side ranked first for some queries."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.report.compare import Comparison, Pair
from harness.report.compare_units import UnitValues
from harness.report.drawing import BLUE, ENDINGS, GREY, VERMILLION, head, new_figure, save, style, tidy
from harness.report.metrics import axis_text
from harness.report.pictures import LoadImage, draw_rank_lists, rank_lists_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_AREA = 14.0
"""Of the dot of one unit, in square points."""
_LARGEST = 700.0
_LEAST = 14.0
_LISTED = 3
"""Queries that are drawn of those that gained, and of those that lost."""
_LENGTH = 8
"""Gallery images beside each."""


def draw_units(comparison: Comparison, units: UnitValues, folder: Path, endings: Iterable[str] = ENDINGS) -> list[Path]:
    """A scatter of the units' values on both sides: ``<name>-units.<ending>``.

    Dots of equal values are one whose area is their number. Above the diagonal the value is larger on the second side.
    """
    scale, metric = units.metric.scale, units.metric
    points, counts = np.unique(
        np.round(scale * np.stack([units.first, units.second], axis=1), 9), axis=0, return_counts=True
    )
    gains = metric.gain(1.0) * (points[:, 1] - points[:, 0])
    with style():
        figure = new_figure(6.0, 6.0)
        axes = figure.subplots()
        low, high = float(points.min()), float(points.max())
        margin = 0.05 * (high - low) or 1.0
        ends = (low - margin, high + margin)
        axes.plot(ends, ends, "-", color=GREY, linewidth=1, zorder=1)
        area = min(_AREA, _LARGEST / counts.max())
        kinds = ((gains > 0, BLUE, "gained"), (gains < 0, VERMILLION, "lost"), (gains == 0, GREY, "alike"))
        for chosen, colour, name in kinds:
            label = f"{name}: {int(counts[chosen].sum()):,}"
            sizes = np.maximum(area * counts[chosen], _LEAST)
            axes.scatter(
                points[chosen, 0], points[chosen, 1], s=sizes, c=colour, alpha=0.6, linewidths=0, label=label, zorder=3
            )
        axes.set(xlim=ends, ylim=ends, aspect="equal", xlabel=comparison.first, ylabel=comparison.second)
        tidy(axes, grid="both")
        _legend(axes)
        said = f"{metric.title} of each of {len(units.ids):,} {units.unit}"
        said += f" ({axis_text(metric)})" if axis_text(metric) else ""
        dots = "; a dot's area is its number of units" if counts.max() > 1 else ""
        head(figure, comparison.title, f"{said}, mean over seeds {', '.join(map(str, units.seeds))}{dots}")
        return save(figure, folder / f"{comparison.name}-units", endings)


def _legend(axes: "Axes") -> None:
    for handle in axes.legend(loc="best").legend_handles:
        handle.set_sizes([40.0])  # type: ignore[union-attr]


def draw_ranked(
    comparison: Comparison, pair: Pair, units: UnitValues, load: LoadImage, folder: Path, endings: Iterable[str]
) -> list[tuple[str, list[Path]]]:
    """Draws both sides' first ranks for the queries that gained and lost most: ``<name>-gained``, ``<name>-lost``.

    Raises:
        InputError: If a run kept no rank lists, or an image cannot be read.
    """
    seed = units.seeds[0]
    runs = [next((run for run in side.runs if run.seed == seed), side.runs[0]) for side in (pair.first, pair.second)]
    drawn = []
    for kind, places in (("gained", units.gained(_LISTED)), ("lost", units.lost(_LISTED))):
        if not places:
            continue
        names = [str(units.ids[place]) for place in places]
        sides = [
            rank_lists_of(run, names, load, length=_LENGTH, label=name)
            for run, name in zip(runs, (comparison.first, comparison.second), strict=True)
        ]
        lists = [one for both in zip(*sides, strict=True) for one in both]
        caption = f"{units.unit.capitalize()} that {kind} most: what each ranked first (seed {seed})"
        with style():
            figure = draw_rank_lists(lists, caption)
            drawn.append((caption, save(figure, folder / f"{comparison.name}-{kind}", endings)))
    return drawn
