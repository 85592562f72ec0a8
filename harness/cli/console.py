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
    """Prints ``answer`` as one JSON document on standard output: a line for each item of its outer two levels."""
    sys.stdout.write(_laid_out(answer, levels=2) + "\n")


def _laid_out(value: Any, levels: int, margin: str = "") -> str:
    """JSON with line breaks in the outer levels alone; below them the encoder is many times faster without.

    >>> print(_laid_out({"a": [1, {"b": [2, 3]}], "c": {}}, levels=2))
    {
      "a": [
        1,
        {"b": [2, 3]}
      ],
      "c": {}
    }
    """
    inner = margin + "  "
    if levels and isinstance(value, dict) and value:
        named = (
            f"{inner}{json.dumps(key, ensure_ascii=False)}: {_laid_out(each, levels - 1, inner)}"
            for key, each in value.items()
        )
        return "{\n" + ",\n".join(named) + f"\n{margin}}}"
    if levels and isinstance(value, list | tuple) and value:
        return "[\n" + ",\n".join(inner + _laid_out(each, levels - 1, inner) for each in value) + f"\n{margin}]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


@contextmanager
def working(title: str) -> Iterator[None]:
    """Shows, on a terminal, that a job without countable items goes on."""
    console = notices()
    if not console.is_terminal:
        yield
        return
    with console.status(title):
        yield


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
