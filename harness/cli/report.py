"""``harness report``: the tables, from what the tracker holds."""

from typing import Annotated

import typer

from harness.cli.options import (
    DEFAULT_STORE,
    REPORT_FORMATS,
    DataOption,
    JsonOption,
    OutOption,
    ProfileOption,
    StoreOption,
    listed,
)
from harness.display.console import notices, print_json


def report(
    tables: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TABLE...]", help="Tables by name or file. Without any: all in the tracker.", show_default=False
        ),
    ] = None,
    profile: ProfileOption = None,
    data: DataOption = None,
    out: OutOption = None,
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="md,html,tex,csv,json,svg,png",
            help="What to write. html: one file to send; svg, png: figures.",
        ),
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
    from harness.api.report import Pictures, write_reports
    from harness.cli.ending import seconds_left
    from harness.display.listener import TerminalListener
    from harness.report import report_to_json

    pictures = Pictures(rank_lists, row, listed(attention, "--attention"), data)
    wanted = listed(formats, "--format") or []
    reports, console = [], notices()
    for built, written in write_reports(tables, profile, out, wanted, store, pictures, TerminalListener(seconds_left)):
        reports.append(built)
        console.print(f"{built.name}: {', '.join(map(str, written))}", markup=False)
    if json:
        print_json({"tables": [report_to_json(built) for built in reports]})
    if strict and any(built.has_contradiction() for built in reports):
        raise typer.Exit(1)
