"""``harness init``: files to start from."""

from pathlib import Path
from typing import Annotated

import typer


def init(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the table and its module.", show_default=False)],
) -> None:
    """Write a table, a recipe and a trainer to start from; they run as they are."""
    from harness.api.begin import begin_table

    *others, table = begin_table(name, Path())
    typer.echo(f"wrote {', '.join(map(str, others))} and {table}; fill the table: python -m harness run {table}")
