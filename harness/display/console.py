"""Consoles: notices on standard error, answers on standard output, live progress on a terminal only."""

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
    """Returns a console on standard error, which keeps standard output for the answer. Shows text literally."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


def answers() -> "Console":
    """Returns a console on standard output, of a fixed width off a terminal. Shows text literally."""
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


class Counter:
    """Displays the progress of a job with countable items.

    On a terminal a bar appears once the job has taken two seconds; elsewhere one line is printed every ten seconds.
    """

    def __init__(self, title: str) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.title = title
        self._console = notices()
        self._bar = Progress(
            TextColumn(title, markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task(title, total=None)
        self._started = self._printed = time.monotonic()
        self._shown = False

    def advance(self, done: int, total: int) -> None:
        """Shows that ``done`` of ``total`` items are done."""
        now = time.monotonic()
        if not self._shown and now - self._started > _QUIET_S and self._console.is_terminal:
            self._bar.start()
            self._shown = True
        self._bar.update(self._task, completed=done, total=total)
        if not self._console.is_terminal and now - self._printed > 5 * _QUIET_S:
            self._printed = now
            self._console.print(f"{self.title}: {done} of {total}")

    def close(self) -> None:
        """Removes the bar."""
        if self._shown:
            self._bar.stop()


@contextmanager
def counting(title: str) -> Iterator[Callable[[int, int], None]]:
    """Yields a counter as a callback ``(done, total)``."""
    counter = Counter(title)
    try:
        yield counter.advance
    finally:
        counter.close()
