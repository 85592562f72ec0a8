"""Checks data sets, those of a table or one by name: reads them whole and draws their contact sheets."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.api.listener import Listener
from harness.errors import InputError
from harness.names import file_name

if TYPE_CHECKING:
    from harness.reid.data.check import DatasetReport
    from harness.reid.layout import Named


def check_data(
    directory: Path, dataset: str | None = None, sheet: Path | None = None, listener: Listener | None = None
) -> "list[DatasetReport]":
    """Reads whole data sets and says what is wrong or unusual in each.

    Args:
        directory: The data set's folder, or one that holds it.
        dataset: The data set to look for, or a table's file, for the data sets that its rows read and that lie there;
            None: what is found.
        sheet: Where a contact sheet is drawn, a PNG; of several data sets each file has the set's name too.
        listener: Receives notes and progress.

    Raises:
        InputError: If a data set is not there or cannot be read at all.
    """
    from harness.reid.data.check import check_dataset
    from harness.reid.data.known import recognise
    from harness.reid.data.readers import read_dataset
    from harness.reid.data.sheet import write_sheet

    listener = listener or Listener()
    if dataset and Path(dataset).suffix in {".yaml", ".yml"}:
        sets = _sets_of(Path(dataset), directory, listener)
    else:
        sets = {"": dataset or recognise(directory)}
    reports = []
    for name, layout in sets.items():
        found = check_dataset(layout, directory, progress=partial(listener.count, f"reading {name}".rstrip()))
        if sheet is not None:
            place = sheet if len(sets) == 1 else sheet.with_stem(f"{sheet.stem}-{file_name(name)}")
            written = write_sheet(read_dataset(layout, directory).dataset, place)
            listener.note(f"{written}: images of each split")
        reports.append(found)
    return reports


def _sets_of(table: Path, directory: Path, listener: Listener) -> "dict[str, Named]":
    """Returns the data sets that a table's rows read, by display name: of several, those that lie in the folder."""
    from harness.matrix import load_matrix
    from harness.reid.inputs import find_sets, named_sets

    sets = named_sets([row.recipe.model_dump() for row in load_matrix(table).rows])
    if not sets:
        raise InputError(f"{table}: its rows name no data set")
    found = find_sets(sets, [directory], {})
    if not found.roots:
        return sets  # reading the first one raises an error that says what is missing
    for name in found.missing:
        listener.note(f"{name} is not in {directory}")
    return {name: sets[name] for name in found.roots}
