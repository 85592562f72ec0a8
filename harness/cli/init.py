"""``harness init``: files to begin with."""

from pathlib import Path
from typing import Annotated

import typer


def init(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the table and its module.", show_default=False)],
) -> None:
    """Write a table, a recipe and a trainer to begin with, which run as they are."""
    from harness.api.begin import begin_table

    *others, table = begin_table(name, Path())
    typer.echo(f"wrote {', '.join(map(str, others))} and {table}; fill the table: python -m harness run {table}")
