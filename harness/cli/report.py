"""``harness report``: the tables, from what the tracker holds."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.console import notices, print_json
from harness.cli.options import (
    DEFAULT_REPORTS,
    DEFAULT_STORE,
    REPORT_FORMATS,
    DataOption,
    JsonOption,
    OutOption,
    ProfileOption,
    StoreOption,
    listed,
)
from harness.errors import InputError, did_you_mean

if TYPE_CHECKING:
    import numpy as np

    from harness.track import Snapshot


def report(
    tables: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TABLE...]", help="Tables by name or file. Without any: all in the tracker.", show_default=False
        ),
    ] = None,
    profile: ProfileOption = None,
    data: DataOption = None,
    out: OutOption = DEFAULT_REPORTS,
    formats: Annotated[
        str, typer.Option("--format", metavar="md,tex,csv,json,svg,png", help="What to write; svg and png: figures.")
    ] = ",".join(REPORT_FORMATS),
    rank_lists: Annotated[
        int, typer.Option("--rank-lists", metavar="N", min=0, help="Also draw N queries with their nearest images.")
    ] = 0,
    row: Annotated[
        str | None, typer.Option("--row", metavar="ID", help="The row whose rank lists are drawn. Default: the last.")
    ] = None,
    attention: Annotated[
        str | None,
        typer.Option(
            "--attention", metavar="5,8", help="Draw Figure 3: attention of a row without SAC and of one with it."
        ),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 if a claim is contradicted.")] = False,
    json: JsonOption = False,
) -> None:
    """Write the reports of tables from the tracker's runs: numbers, claims, effects, provenance, figures."""
    from harness.cli.written import write_table
    from harness.execute import local_root
    from harness.report import FORMATS, build_report, report_to_json, write_pictures_page
    from harness.track import list_tables, read_snapshot

    wanted = listed(formats, "--format") or []
    for name in wanted:
        if name not in FORMATS:
            raise InputError(f'--format "{name}": {did_you_mean(name, FORMATS)}')
    names = [_table_name(table) for table in tables or []]
    if not names:
        names = list(dict.fromkeys(entry.table for entry in list_tables()))
        if not names:
            raise InputError(
                "the tracker holds no table yet: make one with `python -m harness run ablations/table1.yaml`"
            )
    reports, console, root = [], notices(), local_root(store)
    for name in names:
        with _uncollected():
            snapshot = read_snapshot(None, name, profile=profile, downloads=root / "downloads")
            built = build_report(snapshot)
            reports.append(built)
            pictures = _pictures(snapshot, out, rank_lists, row, listed(attention, "--attention"), data, root)
            page = [write_pictures_page(built, out, pictures)] if pictures else []
            written = write_table(None, snapshot, built, out, wanted) + page
        console.print(f"{name}: {', '.join(map(str, written))}", markup=False)
    if json:
        print_json({"tables": [report_to_json(built) for built in reports]})
    if strict and any(built.has_contradiction() for built in reports):
        raise typer.Exit(1)


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


def _pictures(
    snapshot: "Snapshot",
    out: Path,
    rank_lists: int,
    row: str | None,
    attention: list[str] | None,
    data: Path | None,
    store: Path,
) -> list[tuple[str, Path]]:
    """Draws what was asked for; captions and files."""
    from harness.report import FIGURES, write_attention, write_rank_lists

    pictures = []
    if rank_lists:
        chosen = row or str(snapshot.declaration["rows"][-1]["id"])
        load = _loader(snapshot, data, store)
        drawn = write_rank_lists(snapshot, chosen, rank_lists, load, out / FIGURES)
        pictures.append((f"The worst queries of row {chosen} with their ten nearest gallery images", _raster(drawn)))
    if attention is not None:
        if len(attention) != 2:
            raise InputError(f'--attention "{",".join(attention)}": expected two rows, for example 5,8')
        drawn = write_attention(snapshot, attention[0], attention[1], out / FIGURES)
        caption = f"Attention maps of stages 4, 5 and 6, row {attention[0]} without and row {attention[1]} with SAC"
        pictures.append((caption, _raster(drawn)))
    return pictures


def _raster(paths: list[Path]) -> Path:
    """The PNG among a picture's files: photographs gain nothing from SVG, and are smaller so."""
    return next(path for path in paths if path.suffix == ".png")


def _loader(snapshot: "Snapshot", data: Path | None, store: Path) -> "Callable[[str, str], np.ndarray]":
    """Reads images for rank lists: from --data, the store's synthetic set, or where data is looked for."""
    import numpy as np

    from harness.cli.places import data_candidates
    from harness.cli.wiring import synthetic_place
    from harness.matrix import Synthetic
    from harness.reid.data import find_dataset, open_dataset
    from harness.reid.data.decode import decode_image

    made = snapshot.declaration.get("synthetic")
    places = data_candidates(data)
    if made is not None and data is None:
        places = [synthetic_place(Synthetic(**made), store), *places]
    name = str(snapshot.declaration["dataset"])
    found, looked = find_dataset(name, places)
    if found is None:
        told = ", ".join(map(str, looked))
        raise InputError(f"{name} was not found for the rank lists; looked in {told}. Name its folder with --data DIR")
    root = open_dataset(name, found).root

    def load(_: str, file: str) -> "np.ndarray":
        return np.asarray(decode_image(root / file)[0])

    return load


def _table_name(text: str) -> str:
    """A table's name, from its name or its file."""
    if Path(text).suffix in {".yaml", ".yml"}:
        from harness.matrix import read_declaration

        return read_declaration(Path(text)).name
    return text
