"""``harness sync``: delivers what the tracker does not have yet."""

import typer

from harness.cli.options import DEFAULT_STORE, StoreOption


def sync(store: StoreOption = DEFAULT_STORE) -> None:
    """Deliver, once, the results that wait for the tracker. Exit code 1 if it accepted only some."""
    from harness.api.tracking import deliver

    delivery = deliver(store)
    typer.echo(str(delivery))
    if delivery.undelivered:
        raise typer.Exit(1)
