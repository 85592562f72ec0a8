"""How every picture looks and is saved: colours for colour-blind readers, the same bytes every time."""

import re
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.files import regular_file
from harness.report.statistics import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette; ordered so that neighbours also differ in lightness, for print in grey.
BLUE, VERMILLION, GREEN, ORANGE, SKY, PURPLE = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7"
BLACK, GREY, PALE = "#000000", "#767676", "#D9D9D9"
CYCLE = (BLUE, ORANGE, GREEN, VERMILLION, SKY, PURPLE, BLACK)
DASHES = ("-", "--", "-.", ":")

ENDINGS = ("svg", "png")
OURS = "ours: mean and 95 % interval"
_LETTERS_AN_IN = 13.0
"""Letters of a head that fit on an inch."""
_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so the same on every machine
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": PALE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "figure.dpi": 100.0,
    "savefig.dpi": 160.0,
    "text.parse_math": False,  # a user's "$" is a dollar
    "svg.hashsalt": "harness",  # element ids are random otherwise
}


@contextmanager
def style() -> Iterator[None]:
    """The look of all pictures, while drawing and saving."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's own style file does not count
        matplotlib.rcParams.update(_STYLE)  # type: ignore[arg-type]
        yield


def new_figure(width_in: float, height_in: float) -> "Figure":
    """An empty figure that no window or global state knows of."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: "Figure", path: Path, endings: Iterable[str] = ENDINGS) -> list[Path]:
    """Writes a figure as ``path`` with each ending; the same figure gives the same bytes, today and tomorrow."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = []
    for ending in endings:
        target = path.with_name(f"{path.name}.{ending}")
        metadata = {"Date": None, "Creator": None} if ending == "svg" else {"Software": None}
        figure.savefig(target, format=ending, metadata=metadata, facecolor="white")
        figure.set_layout_engine("none")  # it is laid out now, for the other endings too
        if ending == "svg":
            _number_clips(target)
        written.append(target)
    return written


def _number_clips(path: Path) -> None:
    """Numbers an SVG's clip paths, whose ids digest positions that the layout leaves open in the last bits."""
    text = regular_file(path).read_text(encoding="utf-8")
    for number, name in enumerate(dict.fromkeys(re.findall(r'<clipPath id="(\w+)"', text)), start=1):
        text = text.replace(name, f"clip{number}")
    path.write_text(text, encoding="utf-8")


def head(figure: "Figure", *lines: str) -> None:
    """The lines above a figure, folded at its width."""
    width = max(30, int(_LETTERS_AN_IN * figure.get_size_inches()[0]))
    folded = [part for line in lines if line for part in textwrap.wrap(line, width)]
    figure.suptitle("\n".join(folded), x=0.01, ha="left", fontsize=10)


def legend(figure: "Figure", panels: Iterable["Axes"]) -> None:
    """One legend below all panels, each meaning once; none where a single meaning needs no word."""
    handles = meanings(panels)
    if len(handles) > 1 or OURS not in handles:
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles))


def meanings(panels: Iterable["Axes"]) -> dict[str, Any]:
    """A handle for each label of the panels, in the order in which they first come."""
    handles: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    return handles


def draw_estimate(axes: "Axes", estimate: Estimate, y: float, colour: str, scale: float) -> None:
    """A mean with its interval; ``scale`` is the metric's."""
    if estimate.interval is not None:
        low, high = estimate.interval
        axes.plot([scale * low, scale * high], [y, y], "-", color=colour, linewidth=2, solid_capstyle="butt", zorder=3)
    axes.plot(scale * estimate.mean, y, "o", color=colour, markersize=6, label=OURS, zorder=4)


def draw_paper(axes: "Axes", value: float, y: float, scale: float) -> None:
    """The published number; ``scale`` is the metric's."""
    axes.plot(scale * value, y, "D", markersize=6, mfc="white", mec=ORANGE, mew=1.6, label="paper", zorder=3)


def tidy(axes: "Axes", *, grid: str = "x") -> None:
    """Leaves of an axis what a reader needs: light lines across the values."""
    axes.grid(axis=grid)  # type: ignore[arg-type]
    axes.tick_params(length=0)
