"""Prints the expected cost of settling a table: the readable form of ``settle`` in ``plan --settle --json``."""

from collections.abc import Iterator, Mapping
from typing import Any

from harness.display.console import answers
from harness.formatting import counted


def show_settling(forecast: Mapping[str, Any]) -> None:
    """Prints what settling takes at most, and what to expect."""
    for line in _lines(forecast):
        answers().print(line, soft_wrap=True)


def _lines(forecast: Mapping[str, Any]) -> Iterator[str]:
    compared = counted(forecast["comparisons"], "comparison")
    looks = ", ".join(map(str, forecast["looks"]))
    yield f"Settling {compared}, {forecast['margins']} with a margin; looks at {looks} seeds."
    yield (
        f"At most {counted(forecast['runs_at_most'], 'run')} ({counted(forecast['stages_at_most'], 'stage')}); "
        f"{forecast['runs_declared']} of them are the declared seeds'."
    )
    for estimate in forecast["estimates_at_most"]:
        yield f"  at most {estimate['device_hours']:.2g} hours of stage time on {estimate['device']}"
    yield "Expected if comparisons differ by so many standard deviations between seeds (margins may end it earlier):"
    for one in forecast["expected"]:
        yield f"  {one['effect']:g}: {one['runs']:.0f} runs, {100 * one['decided']:.0f} % of the comparisons decided"
