"""``harness list``, ``show``, ``remove`` and ``rename``: the tables that the tracker holds."""

import time
from dataclasses import asdict
from typing import Annotated

import typer

from harness.cli.options import DEFAULT_STORE, JsonOption, ProfileOption, StoreOption
from harness.display.console import answers, print_json
from harness.formatting import counted


def list_(store: StoreOption = DEFAULT_STORE, json: JsonOption = False) -> None:
    """List the tracker's tables and studies, the most recent first, and the disk space that everything takes."""
    from harness.api.tables import disk_of, held_tables

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
    disk = disk_of(store)
    parts = ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in disk.items())
    typer.echo(f"on disk {sum(disk.values()) / 1e6:.1f} MB: {parts}")


def show(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="The table's name.", show_default=False)],
    profile: ProfileOption = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
) -> None:
    """Show the rows of a table's newest run, their state under every seed, and the disk space that it takes."""
    from harness.api.tables import describe_table

    described = describe_table(table, profile, store)
    if json:
        print_json(described)
        return
    console = answers()
    data = f" on {described['dataset']}" if described["dataset"] else ""
    console.print(f"{described['table']}: {described['title']} · profile {described['profile']}{data}")
    width = max((len(row["id"]) for row in described["rows"]), default=0)
    for row in described["rows"]:
        states: dict[str, list[str]] = {}
        for seed, found in row["seeds"].items():
            what = f"{found['state']} ({found['reason']})" if found["reason"] else found["state"]
            states.setdefault(what, []).append(seed)
        parts = (f"{what}: seed{'s'[: len(seeds) > 1]} {', '.join(seeds)}" for what, seeds in states.items())
        console.print(f"  {row['id']:<{width}}  {'; '.join(parts)}")
    disk = f"{described['bytes'] / 1e6:.1f} MB, {described['bytes_alone'] / 1e6:.1f} MB of them used by no other table"
    console.print(f"{counted(described['stages'], 'stage')} in {store}: {disk}")


def remove(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="The table's name.", show_default=False)],
    profile: ProfileOption = None,
    store: StoreOption = DEFAULT_STORE,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Remove a table: its runs from the tracker, the stages that only it uses, its reports. Asks for confirmation."""
    from harness.api.removal import plan_removal, remove_table

    removal = plan_removal(table, profile, store)
    size = sum(removal.stages.values()) / 1e6
    runs, stages = counted(len(removal.runs), "tracked run"), counted(len(removal.stages), "stage")
    typer.echo(f"{table}: {runs}, {stages} ({size:.1f} MB), {counted(len(removal.files), 'file')} of reports")
    if not yes and not typer.confirm("remove them?"):
        raise typer.Exit(1)
    remove_table(removal, store)
    typer.echo("removed; `mlflow gc` frees the space of removed runs in the tracker")


def rename(
    old: Annotated[str, typer.Argument(metavar="OLD", help="The table's name.", show_default=False)],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.", show_default=False)],
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Rename a table in the tracker and the store. Rename its file yourself; nothing is retrained."""
    from harness.api.removal import rename_table

    varied = rename_table(old, new, store)
    typer.echo(f"{old} is now {new}; write its reports: python -m harness report {new}")
    if varied:
        typer.echo(f"write its page on assumptions, without training: python -m harness sensitivity {new}.yaml")
