"""Pictures that show images: rank lists of the worst queries, and attention maps side by side (the paper's Figure 3).

Images come as arrays or from a loader that the caller passes. Does not know where a data set is.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import InputError, did_you_mean
from harness.files import regular_file
from harness.names import file_name, folded_file_name
from harness.report.drawing import BLACK, ENDINGS, GREEN, new_figure, save, style
from harness.track.snapshot import RunRecord, Snapshot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Image = NDArray[np.uint8]
LoadImage = Callable[[str, str], Image]
"""(``query`` or ``gallery``, file name as the run recorded it) -> (H, W, 3) uint8."""
RED = "#C8102E"
"""Of wrong matches, as readers of rank lists expect it; the palette's own is nearer to orange."""

_PER_QUERY, _ATTENTION = "per_query.npz", "attention.npz"
_MOST_IMAGES = 5
"""Images that one picture of attention shows, of those that a run kept."""
_NEEDED = ("average_precision", "valid", "top_indices", "query_files", "query_ids", "query_cameras")
_NEEDED_OF_GALLERY = ("gallery_files", "gallery_ids", "gallery_cameras")


@dataclass(frozen=True)
class Box:
    """An image of the data set with what is known of it."""

    image: Image
    identity: int
    camera: int


@dataclass(frozen=True)
class RankList:
    """A query and its nearest gallery images, nearest first."""

    query: Box
    average_precision: float
    nearest: tuple[Box, ...]
    label: str = "query"
    """Stands above the query."""


def read_rank_lists(run: RunRecord, count: int, load: LoadImage, *, length: int = 10) -> list[RankList]:
    """The ``count`` queries of lowest average precision (ties by query order) with their nearest gallery images.

    Raises:
        InputError: The run kept no rank lists.
    """
    arrays = _arrays(run, _PER_QUERY, (*_NEEDED, *_NEEDED_OF_GALLERY))
    precision = np.where(arrays["valid"].astype(bool), arrays["average_precision"], np.inf)
    worst = [int(query) for query in np.argsort(precision, kind="stable")[:count] if np.isfinite(precision[query])]
    return _rank_lists(arrays, worst, load, length, "query")


def kept_rank_lists(run: RunRecord) -> bool:
    """Whether a run kept what each of its queries ranked first."""
    return run.artifacts is not None and (run.artifacts / _PER_QUERY).is_file()


def rank_lists_of(
    run: RunRecord, queries: Sequence[str], load: LoadImage, *, length: int = 10, label: str = "query"
) -> list[RankList]:
    """Certain queries, by their file names, with their nearest gallery images.

    Raises:
        InputError: The run kept no rank lists, or none of a query.
    """
    arrays = _arrays(run, _PER_QUERY, (*_NEEDED, *_NEEDED_OF_GALLERY))
    places = {str(name): place for place, name in enumerate(arrays["query_files"])}
    for query in queries:
        if query not in places:
            raise InputError(f'row "{run.row}" seed {run.seed}: kept no rank list of {query}')
    return _rank_lists(arrays, [places[query] for query in queries], load, length, label)


def _rank_lists(
    arrays: Mapping[str, NDArray[Any]], queries: Sequence[int], load: LoadImage, length: int, label: str
) -> list[RankList]:
    def box(split: str, index: int) -> Box:
        image = load(split, str(arrays[f"{split}_files"][index]))
        return Box(image, int(arrays[f"{split}_ids"][index]), int(arrays[f"{split}_cameras"][index]))

    return [
        RankList(
            box("query", query),
            float(arrays["average_precision"][query]),
            tuple(box("gallery", int(index)) for index in arrays["top_indices"][query][:length] if index >= 0),
            label,
        )
        for query in queries
    ]


def draw_rank_lists(lists: Sequence[RankList], title: str = "") -> "Figure":
    """One line a query: the query, then its nearest gallery images, right ones framed green, wrong ones red.

    Colour-blind readers see it in the frame too: solid for right, dashed for wrong. Beneath: camera and identity.
    """
    columns = 1 + max((len(entry.nearest) for entry in lists), default=0)
    with style():
        figure = new_figure(0.95 * columns + 0.5, 2.05 * max(1, len(lists)) + 0.5)
        grid = figure.subplots(max(1, len(lists)), columns, squeeze=False)
        for line, entry in zip(grid, lists, strict=False):
            for axes in line:
                axes.set_axis_off()
            _show(line[0], entry.query, f"{entry.label} · AP {100 * entry.average_precision:.0f} %", BLACK, "-")
            for rank, (axes, box) in enumerate(zip(line[1:], entry.nearest, strict=False), start=1):
                right = box.identity == entry.query.identity
                _show(axes, box, f"{rank} {'✓' if right else '✗'}", GREEN if right else RED, "-" if right else "--")
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure


def _show(axes: "Axes", box: Box, title: str, colour: str, dashes: str) -> None:
    axes.set_axis_on()
    axes.imshow(box.image, interpolation="antialiased")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=7, color=colour, loc="center", weight="normal")
    identity = {-1: "junk", 0: "distractor"}.get(box.identity, f"id {box.identity}")
    axes.set_xlabel(f"{identity}\ncamera {box.camera}", fontsize=7, labelpad=2)
    axes.spines[:].set(visible=True, color=colour, linewidth=2.5, linestyle=dashes)


def draw_attention(
    images: NDArray[np.uint8], without: NDArray[np.floating[Any]], with_: NDArray[np.floating[Any]], title: str = ""
) -> "Figure":
    """Figure 3: each image, its attention maps without and with the constraint, stage by stage.

    Args:
        images: (n, H, W, 3).
        without: (n, levels, h, w) maps of the row without the constraint, levels from stage 4 on.
        with_: The same of the row with it.
        title: Above the picture.
    """
    levels = without.shape[1]
    with style():
        figure = new_figure(0.95 * (2 * levels + 1) + 0.6, 1.75 * len(images) + 0.9)
        widths = [1.0, 0.12, *[1.0] * levels, 0.12, *[1.0] * levels]
        grid = figure.subplots(len(images), len(widths), squeeze=False, width_ratios=widths)
        for axes in grid.flat:
            axes.set_axis_off()
        for line, image, off, on in zip(grid, images, without, with_, strict=True):
            line[0].imshow(image)
            for first, maps in ((2, off), (3 + levels, on)):
                for level in range(levels):
                    _overlay(line[first + level], image, maps[level])
        grid[0][0].set_title("image", loc="center", fontsize=8)
        for first, name in ((2, "without"), (3 + levels, "with")):
            for level in range(levels):
                grid[0][first + level].set_title(f"{name}\nstage {4 + level}", loc="center", fontsize=8)
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure


def _overlay(axes: "Axes", image: Image, attention: NDArray[np.floating[Any]]) -> None:
    """An attention map over the image in grey; the map's own range spans the colours, as only its shape counts."""
    height, width = image.shape[:2]
    extent = (0.0, float(width), float(height), 0.0)
    axes.imshow(image.mean(axis=-1), cmap="gray", vmin=0, vmax=255, extent=extent)
    axes.imshow(attention, cmap="inferno", alpha=0.65, interpolation="bilinear", extent=extent)


def overlap(maps: NDArray[np.floating[Any]]) -> float:
    """Computes how alike the attention of the stages is: the mean cosine between the last map and each of the others.

    Args:
        maps: (n, levels, h, w), each of unit length or not.

    >>> overlap(np.array([[[[1.0, 0.0]], [[0.0, 1.0]], [[1.0, 0.0]]]]))  # the last equals the first: (1 + 0) / 2
    0.5
    """
    flat = maps.reshape(*maps.shape[:2], -1).astype(np.float64)
    unit = flat / np.maximum(np.linalg.norm(flat, axis=-1, keepdims=True), 1e-12)
    return float((unit[:, -1:] * unit[:, :-1]).sum(axis=-1).mean())


def write_attention(
    snapshot: Snapshot, without: str, with_: str, folder: Path, endings: Iterable[str] = ENDINGS
) -> list[Path]:
    """Figure 3 from two rows' runs, their first shared seed: ``<table>-attention.<ending>`` in ``folder``.

    Raises:
        InputError: A row is unknown, or no seed of both rows kept its attention maps of the same images.
    """
    first, second = _by_seed(snapshot, without), _by_seed(snapshot, with_)
    shared = sorted(first.keys() & second.keys())
    if not shared:
        raise InputError(f'table "{snapshot.table}": rows "{without}" and "{with_}" have no finished seed in common')
    off, on = (
        {name: kept[:_MOST_IMAGES] for name, kept in _arrays(run, _ATTENTION, ("images", "maps")).items()}
        for run in (first[shared[0]], second[shared[0]])
    )
    if off["images"].shape != on["images"].shape or off["maps"].shape != on["maps"].shape:
        raise InputError(
            f'table "{snapshot.table}": attention of row "{without}" is {off["maps"].shape}, of row "{with_}" '
            f"{on['maps'].shape}; expected the same images and stages"
        )
    title = (
        f"{snapshot.declaration['title']}\n"
        f"attention without SAC (row {without}) and with it (row {with_}), seed {shared[0]}\n"
        "mean overlap (cosine) of the stages' maps in these images: "
        f"{overlap(off['maps']):.2f} without, {overlap(on['maps']):.2f} with"
    )
    with style():
        figure = draw_attention(off["images"], off["maps"], on["maps"], title)
        return save(figure, folder / _name(snapshot, "attention"), endings)


def write_rank_lists(
    snapshot: Snapshot, row: str, count: int, load: LoadImage, folder: Path, endings: Iterable[str] = ENDINGS
) -> list[Path]:
    """The worst queries of a row's first finished run: ``<table>-rank-lists-<row>.<ending>`` in ``folder``.

    Raises:
        InputError: The row is unknown, has no finished run, or its run kept no rank lists.
    """
    runs = _by_seed(snapshot, row)
    if not runs:
        raise InputError(f'table "{snapshot.table}": row "{row}" has no finished run to draw rank lists of')
    run = runs[min(runs)]
    lists = read_rank_lists(run, count, load)
    title = f"{snapshot.declaration['title']}: row {row}, seed {run.seed}, the {len(lists)} worst queries"
    with style():
        return save(draw_rank_lists(lists, title), folder / _name(snapshot, "rank-lists", row), endings)


def _by_seed(snapshot: Snapshot, row: str) -> Mapping[int, RunRecord]:
    known = [str(declared["id"]) for declared in snapshot.declaration["rows"]]
    if row not in known:
        raise InputError(f'table "{snapshot.table}": no row "{row}"; {did_you_mean(row, known)}')
    return {run.seed: run for run in snapshot.runs if run.row == row and run.status == "finished"}


def _name(snapshot: Snapshot, picture: str, row: str = "") -> str:
    """The name of a picture's file, without its ending."""
    return f"{file_name(snapshot.table)}-{picture}" + (f"-{folded_file_name(row)}" if row else "")


def _arrays(run: RunRecord, name: str, needed: Sequence[str]) -> dict[str, NDArray[Any]]:
    place = f'row "{run.row}" seed {run.seed} (run {run.run_id})'
    path = run.artifacts / name if run.artifacts else None
    if path is None or not path.is_file():
        raise InputError(f"{place}: found no {name} among its artifacts; expected a finished evaluation's file")
    with np.load(regular_file(path), allow_pickle=False) as file:
        missing = [key for key in needed if key not in file.files]
        if missing:
            raise InputError(f"{path}: lacks {', '.join(missing)}; found {', '.join(sorted(file.files))}")
        return {key: file[key] for key in needed}
