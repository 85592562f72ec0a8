"""What settling a table will take, on the terminal: the readable form of ``settle`` in ``plan --settle --json``."""

from collections.abc import Iterator, Mapping
from typing import Any

from harness.display.console import answers
from harness.formatting import counted


def show_settling(told: Mapping[str, Any]) -> None:
    """Prints what settling takes at most, and what to expect."""
    for line in _lines(told):
        answers().print(line, soft_wrap=True)


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    compared = counted(told["comparisons"], "comparison")
    yield f"Settling {compared}, {told['margins']} with a margin; looks at {', '.join(map(str, told['looks']))} seeds."
    yield (
        f"At most {counted(told['runs_at_most'], 'run')} ({counted(told['stages_at_most'], 'stage')}); "
        f"{told['runs_declared']} of them are the declared seeds'."
    )
    for estimate in told["estimates_at_most"]:
        yield f"  at most {estimate['device_hours']:.2g} hours of stages' time on {estimate['device']}"
    yield "Expected if comparisons differ by so many standard deviations between seeds (margins may end it before):"
    for one in told["expected"]:
        yield f"  {one['effect']:g}: {one['runs']:.0f} runs, {100 * one['decided']:.0f} % of the comparisons decided"
