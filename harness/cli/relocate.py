"""``harness relocate``: records in the tracker that artifacts were moved."""

from typing import Annotated

import typer


def relocate(
    old: Annotated[str, typer.Argument(metavar="OLD", help="The folder, or s3://bucket/prefix, where they were.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Where they are now.")],
) -> None:
    """Tell the tracker that the artifacts of its runs were moved from OLD to NEW.

    Not needed for the default tracker: mlflow.db and the mlartifacts beside it move together, with the project's
    folder or without it. For an MLflow server set MLFLOW_TRACKING_URI to its database for this command.
    """
    from harness.formatting import counted
    from harness.track import relocate as move
    from harness.track import resolve_uri

    changed = move(resolve_uri(), old, new)
    typer.echo(f"{counted(changed, 'artifact location')} changed")
