"""``harness cache``: what the store holds, and what can be deleted."""

from typing import Annotated

import typer

from harness.cli.options import DEFAULT_STORE, JsonOption, StoreOption
from harness.display.console import print_json
from harness.formatting import counted

cache_app = typer.Typer(name="cache", help="List, check and clean the store of finished stages.", no_args_is_help=True)


@cache_app.command(name="list")
def list_(store: StoreOption = DEFAULT_STORE, json: JsonOption = False) -> None:
    """List every stage: its state, its size and the tables that use it; then what else the store holds."""
    from harness.execute import bytes_of, open_store

    kept = open_store(store)
    entries = kept.list_entries()
    if json:
        print_json(
            [
                {
                    "fingerprint": entry.fingerprint,
                    "name": entry.stage.name if entry.stage else None,
                    "state": entry.state,
                    "damage": entry.damage,
                    "bytes": entry.size_bytes,
                    "tables": list(entry.tables),
                }
                for entry in entries
            ]
        )
        return
    for entry in entries:
        name = entry.stage.name if entry.stage else "?"
        used = ", ".join(entry.tables) or "no table"
        typer.echo(f"{entry.fingerprint[:12]}  {entry.state:<10} {entry.size_bytes / 1e6:8.1f} MB  {name:<10} {used}")
    size = sum(entry.size_bytes for entry in entries)
    typer.echo(f"{counted(len(entries), 'stage')}, {size / 1e6:.1f} MB in {store}")
    beside = {"cache": "decoded images, indexes and measured speeds", "data": "synthetic data sets"}
    for name, what in beside.items():
        if size := bytes_of(kept.root / name):
            message = f"also {what}, {size / 1e6:.1f} MB in {kept.root / name}"
            typer.echo(f"{message}; if deleted, they are remade when needed")


@cache_app.command()
def gc(
    store: StoreOption = DEFAULT_STORE,
    forget: Annotated[
        list[str] | None,
        typer.Option("--forget", metavar="TABLE", help="Also drop what this table needs."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be deleted.")] = False,
) -> None:
    """Delete the stages that no table uses; a table's stages go only when it is named with --forget."""
    from harness.api.removal import clean_store

    collected = clean_store(store, forget or (), dry_run=dry_run)
    for entry in collected.busy:
        typer.echo(f"{entry.fingerprint[:12]} is running and is kept")
    word = "would go" if dry_run else "deleted"
    typer.echo(f"{counted(len(collected.entries), 'stage')} {word}, {collected.size_bytes / 1e6:.1f} MB")


@cache_app.command()
def verify(store: StoreOption = DEFAULT_STORE) -> None:
    """Compare every checksum. Exit code 1 if an entry is damaged; a damaged entry is remade when it is needed."""
    from harness.execute import open_store

    kept = open_store(store)
    entries = kept.list_entries()
    damages = [damage for entry in entries if (damage := kept.verify(entry.fingerprint))]
    for damage in damages:
        typer.echo(damage)
    typer.echo(f"{counted(len(entries), 'stage')} checked, {len(damages)} damaged")
    if damages:
        typer.echo("a run that needs a damaged stage repeats it; nothing else is lost")
        raise typer.Exit(1)
