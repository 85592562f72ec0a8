"""The commands, assembled; the exit codes: 0 all is well, 1 a row failed, 2 bad usage or bad input."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from harness import __version__
from harness.cli.cache import cache_app
from harness.cli.compare import compare
from harness.cli.data import data_app
from harness.cli.doctor import doctor
from harness.cli.ending import INTERRUPTED, MESSAGE, end_at_once_on_signals, end_on_signals
from harness.cli.evaluate import evaluate
from harness.cli.init import init
from harness.cli.plan import plan
from harness.cli.relocate import relocate
from harness.cli.report import report
from harness.cli.run import run
from harness.cli.search import search
from harness.cli.sensitivity import sensitivity
from harness.cli.sync import sync
from harness.cli.tables import list_, remove, rename, show
from harness.cli.ui import ui
from harness.errors import InputError

app = typer.Typer(
    name="harness",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"harness {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Declares, trains, tracks and judges ablation tables."""


app.command()(init)
app.command()(run)
app.command()(plan)
app.command()(search)
app.command()(sensitivity)
app.command()(report)
app.command()(compare)
app.command(name="list")(list_)
app.command()(show)
app.command()(remove)
app.command()(rename)
app.command()(evaluate)
app.command()(ui)
app.command()(sync)
app.command()(relocate)
app.command()(doctor)
app.add_typer(data_app)
app.add_typer(cache_app)


def main() -> None:
    """Runs the command line; bad input ends in one sentence on standard error and exit code 2.

    SIGTERM (a scheduler, ``kill``) ends a command as tidily as Ctrl-C does: workers, servers and tracked runs with it.
    """
    end_on_signals()
    try:
        app()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, SystemExit) as end:
        end_at_once_on_signals()
        # Typer turns an interruption of a command into this exit code, without a word.
        if isinstance(end, SystemExit) and end.code != INTERRUPTED:
            raise
        print(MESSAGE, file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader (head, less) went away: nothing is wrong, and nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        from harness.execute.disk import explain_os_error

        message = explain_os_error(error, Path.cwd())
        if message is None:
            raise
        print(f"error: {message}", file=sys.stderr)
        sys.exit(2)
