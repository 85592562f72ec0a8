"""``harness data make``, ``harness data extract`` and ``harness data check``."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import JsonOption
from harness.display.console import counting, notices, print_json
from harness.errors import InputError, did_you_mean

data_app = typer.Typer(name="data", help="Make, extract or check a data set.", no_args_is_help=True)


@data_app.command()
def make(
    layout: Annotated[str, typer.Argument(metavar="LAYOUT", help="market1501, dukemtmc-reid or cifar100.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write the data set into.")],
    identities: Annotated[
        int,
        typer.Option("--identities", min=1, help="Total identities; for cifar100, images per class."),
    ] = 300,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same bytes.")] = 0,
    full: Annotated[bool, typer.Option("--full", help="Use the release's counts instead of --identities.")] = False,
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
def extract(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder with cuhk-03.mat and cuhk03_new_protocol_config_*.mat.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write detected/ and labeled/ into.")],
    json: JsonOption = False,
) -> None:
    """Write the images of CUHK03's release as files, sorted by its new protocol."""
    from harness.reid.data.cuhk03 import extract_cuhk03

    with counting("extracting") as progress:
        extracted = extract_cuhk03(directory, out, progress=progress)
    if json:
        found = [{"folder": str(one.folder), "images": one.images, "left_out": one.left_out} for one in extracted]
        print_json({"extracted": found})
        return
    for one in extracted:
        left_out = f", {one.left_out:,} that the protocol does not name left out" if one.left_out else ""
        notices().print(f"{one.folder}: {one.images:,} images{left_out}", markup=False)
    for name in ("cuhk03-detected", "cuhk03-labelled"):
        notices().print(f"Check it with: harness data check {out} --dataset {name}", markup=False)


@data_app.command()
def check(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The data set's folder, or one that holds it.")],
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            metavar="NAME",
            help="The data set to look for, or a table (TABLE.yaml) that declares some. Default: whatever is found.",
        ),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option("--sheet", metavar="PNG", help="Draw a contact sheet of each data set: some images by split."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Read a whole data set: counts per split, unreadable files, odd identities, queries without a match.

    Exit code 1 if any image cannot be read.
    """
    from harness.api.data import check_data
    from harness.display.listener import TerminalListener

    found = check_data(directory, dataset, sheet, TerminalListener())
    if json:
        print_json(found[0].to_json() if len(found) == 1 else [one.to_json() for one in found])
    else:
        typer.echo("\n".join(line for one in found for line in one.lines()))
    if any(one.unreadable for one in found):
        raise typer.Exit(1)
