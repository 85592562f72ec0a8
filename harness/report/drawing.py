"""How every picture looks and is saved: colours that colour-blind readers tell apart, the same bytes every time."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette; ordered so that neighbours also differ in lightness, for print in grey.
BLUE, VERMILLION, GREEN, ORANGE, SKY, PURPLE = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7"
BLACK, GREY, PALE = "#000000", "#767676", "#D9D9D9"
CYCLE = (BLUE, ORANGE, GREEN, VERMILLION, SKY, PURPLE, BLACK)
DASHES = ("-", "--", "-.", ":")

ENDINGS = ("svg", "png")
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
        written.append(target)
    return written


def tidy(axes: "Axes", *, grid: str = "x") -> None:
    """Leaves of an axis what a reader needs: light lines across the values."""
    axes.grid(axis=grid)  # type: ignore[arg-type]
    axes.tick_params(length=0)
