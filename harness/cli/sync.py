"""``harness sync``: delivers what the tracker has not got yet."""

import typer

from harness.cli.options import DEFAULT_STORE, StoreOption


def sync(store: StoreOption = DEFAULT_STORE) -> None:
    """Deliver to the tracker what waits since it was down, once. Exit code 1 if it took only a part."""
    from harness.api.tracking import deliver

    delivery = deliver(store)
    typer.echo(str(delivery))
    if delivery.undelivered:
        raise typer.Exit(1)
