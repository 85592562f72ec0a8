"""What a person sees: notices on standard error, answers on standard output, live progress on a terminal only."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

_QUIET_S = 2.0
_WIDTH_OFF_TERMINAL = 140


def notices() -> "Console":
    """A console on standard error, so that standard output holds the answer alone. Text is shown as it is."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


def answers() -> "Console":
    """A console on standard output, of a width that does not depend on a terminal. Text is shown as it is."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _WIDTH_OFF_TERMINAL
    return console


def print_json(answer: Any) -> None:
    """Prints ``answer`` as one JSON document on standard output."""
    json.dump(answer, sys.stdout, indent=2, ensure_ascii=False, allow_nan=False)
    sys.stdout.write("\n")


@contextmanager
def counting(title: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar for a job of countable items, as a callback ``(done, total)``.

    On a terminal a bar appears once the job has taken two seconds; elsewhere one line is printed every ten seconds.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = notices()
    bar = Progress(
        TextColumn(title, markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    task = bar.add_task(title, total=None)
    started = told = time.monotonic()
    shown = False

    def advance(done: int, total: int) -> None:
        nonlocal shown, told
        now = time.monotonic()
        if not shown and now - started > _QUIET_S and console.is_terminal:
            bar.start()
            shown = True
        bar.update(task, completed=done, total=total)
        if not console.is_terminal and now - told > 5 * _QUIET_S:
            told = now
            console.print(f"{title}: {done} of {total}")

    try:
        yield advance
    finally:
        if shown:
            bar.stop()
