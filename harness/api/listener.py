"""Receives what happens while a table is prepared and run: for a terminal, a notebook, a test."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.execute import Event
    from harness.plan import Plan


class Listener:
    """Receives notes and progress; this one ignores them. Override what you want to see."""

    def note(self, message: str) -> None:
        """Receives a sentence for the user."""

    def seconds_left(self) -> float:
        """Returns how long work may continue after a request to stop; infinite without one."""
        return math.inf

    @contextmanager
    def busy(self, what: str) -> Iterator[None]:  # noqa: ARG002
        """Surrounds a job without countable items."""
        yield

    def count(self, what: str, done: int, total: int) -> None:
        """Receives the progress of a job of countable items."""

    @contextmanager
    def watch(self, plan: "Plan", title: str) -> "Iterator[Callable[[Event], None]]":  # noqa: ARG002
        """Yields the function that receives the executor's events while stages run."""
        yield lambda _event: None
