"""``harness list`` and ``harness show``: the tables that the tracker holds, their rows and their state."""

import time
from dataclasses import asdict
from typing import Annotated

import typer

from harness.cli.options import DEFAULT_STORE, JsonOption, ProfileOption, StoreOption
from harness.display.console import answers, print_json
from harness.words import counted


def list_(json: JsonOption = False) -> None:
    """List the tables and studies that the tracker holds, the one that ran last first."""
    from harness.api.tables import held_tables

    entries = held_tables()
    if json:
        print_json([asdict(entry) for entry in entries])
        return
    if not entries:
        typer.echo("the tracker holds no tables yet: make one with `python -m harness run ablations/table1.yaml`")
        return
    from rich.table import Table

    shown = Table("table", "kind", "profile", "data", "state", "last run", box=None, pad_edge=False)
    for entry in entries:
        ran = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.opened_ms / 1000))
        shown.add_row(entry.table, entry.kind, entry.profile, entry.dataset, entry.status, ran)
    answers().print(shown)


def show(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="The table's name.", show_default=False)],
    profile: ProfileOption = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
) -> None:
    """Show the rows of a table's newest run, what became of each under every seed, and the disk that it takes."""
    from harness.api.tables import describe_table

    told = describe_table(table, profile, store)
    if json:
        print_json(told)
        return
    console = answers()
    console.print(f"{told['table']}: {told['title']} · profile {told['profile']} on {told['dataset']}")
    for row in told["rows"]:
        states: dict[str, list[str]] = {}
        for seed, found in row["seeds"].items():
            what = f"{found['state']} ({found['reason']})" if found["reason"] else found["state"]
            states.setdefault(what, []).append(seed)
        parts = (f"{what}: seed{'s'[: len(seeds) > 1]} {', '.join(seeds)}" for what, seeds in states.items())
        console.print(f"  {row['id']}  {'; '.join(parts)}")
    disk = f"{told['bytes'] / 1e6:.1f} MB, {told['bytes_alone'] / 1e6:.1f} MB of them used by no other table"
    console.print(f"{counted(told['stages'], 'stage')} in {store}: {disk}")
