"""Shows a table's progress: notes on standard error, live bars on a terminal or in a notebook."""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from harness.api.listener import Listener
from harness.display.console import Counter, notices

if TYPE_CHECKING:
    from harness.execute import Event
    from harness.plan import Plan


class TerminalListener(Listener):
    """Prints notes, and shows progress with rich, in a terminal or a notebook."""

    def __init__(self, seconds_left: Callable[[], float] = lambda: math.inf) -> None:
        self._seconds_left = seconds_left
        self._console = notices()
        self._counter: Counter | None = None

    def note(self, message: str) -> None:
        """Prints the message on standard error."""
        self._console.print(message)

    def seconds_left(self) -> float:
        """Returns how long work may continue after a request to stop."""
        return self._seconds_left()

    @contextmanager
    def busy(self, what: str) -> Iterator[None]:
        """Shows a spinner on a terminal during a job without countable items."""
        if not self._console.is_terminal:
            yield
            return
        with self._console.status(what):
            yield

    def count(self, what: str, done: int, total: int) -> None:
        """Shows a bar during a job with countable items."""
        if self._counter is None or self._counter.title != what:
            self._counter = Counter(what)
        self._counter.advance(done, total)
        if done >= total:
            self._counter.close()
            self._counter = None

    @contextmanager
    def watch(self, plan: "Plan", title: str) -> "Iterator[Callable[[Event], None]]":
        """Shows a bar for each active stage and one for the table, or plain lines off a terminal."""
        from harness.display.progress import monitoring

        with ExitStack() as stack:
            yield stack.enter_context(monitoring(plan, title)).on_event
