"""Builds the reports of tables from the tracker's runs, and writes them with their figures."""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.api.folders import Folders, folder_of
from harness.api.listener import Listener
from harness.api.outputs import choose_folder
from harness.api.places import data_candidates
from harness.api.written import write_table
from harness.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from harness.report import TableReport
    from harness.track import Snapshot


@dataclass(frozen=True)
class Pictures:
    """The pictures of images that are drawn beside a report."""

    rank_lists: int = 0
    """How many of the worst queries are drawn with their nearest gallery images."""
    row: str | None = None
    """The row whose rank lists are drawn; None: the last."""
    attention: Sequence[str] | None = None
    """A row without the self-attention constraint and one with it, for the paper's Figure 3."""
    data: Folders | None = None
    """Where the images are looked for."""


def write_reports(
    tables: Sequence[str] | None,
    profile: str | None,
    out: Path | None,
    formats: Sequence[str],
    store: str,
    pictures: Pictures,
    listener: Listener | None = None,
) -> "Iterator[tuple[TableReport, list[Path]]]":
    """Builds and writes the reports of tables, one after another.

    Args:
        tables: Names or files; None or none: all in the tracker.
        profile: The profile; None: the newest.
        out: The reports' folder; None: see ``harness.api.outputs``.
        formats: What to write, among ``harness.report.write.FORMATS``.
        store: The store's address, for downloads.
        pictures: What else to draw.
        listener: Receives notes.

    Yields:
        Each report and its files.

    Raises:
        InputError: For a table that the tracker does not have, an unknown format, or a tracker that is down.
    """
    from harness.execute import local_root
    from harness.report import build_report, check_formats, write_pictures_page
    from harness.track import read_snapshot

    check_formats(formats)
    names = _names(tables)
    root = local_root(store)
    for name in names:
        with _uncollected():
            snapshot = read_snapshot(None, name, profile=profile, downloads=root / "downloads")
            built = build_report(snapshot)
            folder, message = choose_folder(out, name, root, snapshot)
            drawn = _draw(pictures, snapshot, folder, root)
            page = [write_pictures_page(built, folder, drawn)] if drawn else []
            written = write_table(None, snapshot, built, folder, formats) + page
        if message and listener is not None:
            listener.note(message)
        yield built, written


def write_papers(
    tables: Sequence[str] | None,
    profile: str | None,
    out: Path | None,
    columns: Sequence[str] | None,
    against: str | None,
    store: str,
    listener: Listener | None = None,
) -> "Iterator[tuple[TableReport, list[Path]]]":
    """Writes tables as papers print them, each with its claims in a file of its own, and several side by side in one.

    Args:
        tables: Names or files; None or none: all in the tracker.
        profile: The profile; None: the newest.
        out: The reports' folder; None: see ``harness.api.outputs``.
        columns: See ``harness.report.latex_paper``.
        against: The row that daggers mark differences from; None: the first.
        store: The store's address, for downloads.
        listener: Receives notes.

    Yields:
        Each report and its files; the file of all of them with the last.

    Raises:
        InputError: For a table that the tracker does not hold, a column or a row that a table lacks.
    """
    from harness.execute import local_root
    from harness.report import build_report, write_paper
    from harness.track import read_snapshot

    names, root = _names(tables), local_root(store)
    built = []
    for name in names:
        with _uncollected():
            built.append(build_report(read_snapshot(None, name, profile=profile, downloads=root / "downloads")))
    for report in built:
        folder, message = choose_folder(out, report.name, root)
        if message and listener is not None:
            listener.note(message)
        yield report, write_paper(report, folder, columns, against, built)


def _names(tables: Sequence[str] | None) -> list[str]:
    """The names of the tables asked for; all that the tracker holds where none is."""
    from harness.track import list_tables

    names = [table_name(table) for table in tables or ()] or list(dict.fromkeys(entry.table for entry in list_tables()))
    if not names:
        raise InputError("the tracker holds no table yet: make one with `python -m harness run ablations/table1.yaml`")
    return names


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the search for garbage cycles: none is among a snapshot's objects, and it takes a sixth of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _draw(pictures: Pictures, snapshot: "Snapshot", out: Path, store: Path) -> list[tuple[str, Path]]:
    """Draws the requested pictures; captions and files."""
    from harness.report import FIGURES, write_attention, write_rank_lists

    drawn_pictures = []
    attention = pictures.attention
    if pictures.rank_lists:
        chosen = pictures.row or str(snapshot.declaration["rows"][-1]["id"])
        load = image_loader(snapshot, chosen, pictures.data, store)
        drawn = write_rank_lists(snapshot, chosen, pictures.rank_lists, load, out / FIGURES)
        drawn_pictures.append(
            (f"The worst queries of row {chosen} with their ten nearest gallery images", _raster(drawn))
        )
    if attention is not None:
        if len(attention) != 2:
            raise InputError(f'--attention "{",".join(attention)}": expected two rows, for example 5,8')
        drawn = write_attention(snapshot, attention[0], attention[1], out / FIGURES)
        caption = f"Attention maps of stages 4, 5 and 6, row {attention[0]} without and row {attention[1]} with SAC"
        drawn_pictures.append((caption, _raster(drawn)))
    return drawn_pictures


def _raster(paths: list[Path]) -> Path:
    """The PNG among a picture's files: photographs gain nothing from SVG, and are smaller so."""
    return next(path for path in paths if path.suffix == ".png")


def image_loader(
    snapshot: "Snapshot", row: str, data: Folders | None, store: Path
) -> "Callable[[str, str], np.ndarray]":
    """Reads images for rank lists: from --data, the store's synthetic set, or where data is looked for.

    Raises:
        InputError: If the row's data set is not found.
    """
    import numpy as np

    from harness.reid.data import open_dataset
    from harness.reid.data.decode import decode_image
    from harness.reid.data.known import find_dataset
    from harness.reid.inputs import SyntheticSpec, sets_of, synthetic_place
    from harness.reid.layout import name_of

    made = snapshot.declaration.get("synthetic")
    recipes = {str(declared["id"]): declared["recipe"] for declared in snapshot.declaration["rows"]}
    dataset = sets_of(recipes[row])[-1] if row in recipes else str(snapshot.declaration["dataset"])
    name = name_of(dataset)
    places = data_candidates(folder_of(data, name))
    if made is not None and data is None and (stand_in := SyntheticSpec.model_validate(made).of(dataset)):
        places = [synthetic_place(stand_in, store), *places]
    found, looked = find_dataset(dataset, places)
    if found is None:
        message = ", ".join(map(str, looked))
        raise InputError(
            f"{name} was not found for the rank lists; looked in {message}. Name its folder with --data DIR"
        )
    root = open_dataset(dataset, found).root

    def load(_: str, file: str) -> "np.ndarray":
        return np.asarray(decode_image(root / file)[0])

    return load


def table_name(text: str) -> str:
    """A table's name, from its name or its file."""
    if Path(text).suffix in {".yaml", ".yml"}:
        from harness.matrix import read_declaration

        return read_declaration(Path(text)).name
    return text
