"""``harness data make`` and ``harness data check``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import JsonOption
from harness.display.console import counting, notices, print_json
from harness.errors import InputError, did_you_mean
from harness.names import file_name

if TYPE_CHECKING:
    from harness.reid.layout import Named

data_app = typer.Typer(name="data", help="Make a synthetic data set, or check one.", no_args_is_help=True)


@data_app.command()
def make(
    layout: Annotated[str, typer.Argument(metavar="LAYOUT", help="market1501, dukemtmc-reid or cifar100.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write the data set into.")],
    identities: Annotated[
        int,
        typer.Option("--identities", min=1, help="Identities in all; for cifar100, images per class."),
    ] = 300,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same bytes.")] = 0,
    full: Annotated[bool, typer.Option("--full", help="The released counts instead of --identities.")] = False,
    json: JsonOption = False,
) -> None:
    """Render a synthetic data set in the layout of a real one."""
    from harness.reid.data import synthetic

    if layout not in synthetic.FOLDERS:
        raise InputError(f'layout "{layout}": {did_you_mean(layout, synthetic.FOLDERS)}')
    with counting("rendering") as progress:
        folder = synthetic.make(layout, out, identities=identities, seed=seed, full=full, progress=progress)
    if json:
        print_json({"layout": layout, "folder": str(folder), "seed": seed, "full": full})
    else:
        notices().print(f"{folder}: synthetic {layout}, seed {seed}. Check it with: harness data check {folder}")


@data_app.command()
def check(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The data set's folder, or one that holds it.")],
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            metavar="NAME",
            help="Which data set to look for, or a table (TABLE.yaml) that declares them. Without it: what is found.",
        ),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option("--sheet", metavar="PNG", help="Draw a contact sheet of each data set: some images by split."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Read a data set whole: counts per split, unreadable files, odd identities, queries without a match.

    Exit code 1 if any image cannot be read.
    """
    from harness.reid.data.check import check_dataset
    from harness.reid.data.known import recognise
    from harness.reid.data.readers import read_dataset
    from harness.reid.data.sheet import write_sheet

    declared = dataset and Path(dataset).suffix in {".yaml", ".yml"}
    names = _declared_in(Path(dataset), directory) if dataset and declared else {"": dataset or recognise(directory)}
    reports = []
    for called, name in names.items():
        with counting(f"reading {called}".rstrip()) as progress:
            reports.append(check_dataset(name, directory, progress=progress))
        if sheet is not None:
            place = sheet if len(names) == 1 else sheet.with_stem(f"{sheet.stem}-{file_name(called)}")
            written = write_sheet(read_dataset(name, directory).dataset, place)
            notices().print(f"{written}: images of each split", markup=False)
    if json:
        print_json(reports[0].to_json() if len(reports) == 1 else [found.to_json() for found in reports])
    else:
        typer.echo("\n".join(line for found in reports for line in found.lines()))
    if any(found.unreadable for found in reports):
        raise typer.Exit(1)


def _declared_in(table: Path, directory: Path) -> "dict[str, Named]":
    """The data sets that a table's rows read, by what they are called: of several, those that lie in the folder."""
    from harness.matrix import load_matrix
    from harness.reid.inputs import find_sets, named_sets

    sets = named_sets([row.recipe.model_dump() for row in load_matrix(table).rows])
    if not sets:
        raise InputError(f"{table}: its rows name no data set")
    found = find_sets(sets, [directory], {})
    if not found.roots:
        return sets  # reading the first says what is missing
    for name in found.missing:
        notices().print(f"{name} is not in {directory}", markup=False)
    return {name: sets[name] for name in found.roots}
