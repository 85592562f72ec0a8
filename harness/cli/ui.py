"""``harness ui``: MLflow's web pages, opened on the training runs."""

from typing import Annotated

import typer

from harness.display.console import notices


def ui(
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="Port to listen on. Default: a free one.")
    ] = None,
) -> None:
    """Start MLflow's web pages on the tracker's store, and print an address that opens the latest table's runs."""
    from harness.track import start_ui

    console = notices()
    console.print("starting MLflow's pages; this takes up to a minute")
    with start_ui(port=port) as pages:
        typer.echo(pages.address)
        console.print("Ctrl-C ends them")
        pages.wait()
