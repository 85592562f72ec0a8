"""Progress of a run: a bar per active stage and one for the table, or plain lines off a terminal."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from harness.display.console import notices
from harness.execute.protocol import Event
from harness.formatting import counted
from harness.plan import Plan, Stage

if TYPE_CHECKING:
    from rich.progress import Progress, Task, TaskID


_COUNTED_S = 10.0
"""Seconds between two lines about one count, off a terminal."""


class Monitor:
    """Displays an executor's events.

    On a terminal as bars, elsewhere as a line per start and end of a stage. What a stage does before its first step is
    printed there once per run, and counts again every ten seconds.
    """

    def __init__(self, plan: Plan, bars: "Progress | None", table: str) -> None:
        self._plan = plan
        self._bars = bars
        self._console = bars.console if bars is not None else notices()
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}
        self._printed: dict[str, float] = {}
        """When each kind of preparation was last printed."""
        self._warnings: Counter[str] = Counter()
        self._done = 0
        self._all = len(plan.to_execute)
        self._whole = None if bars is None else bars.add_task(table, total=self._all, status="")

    def on_event(self, event: Event) -> None:
        """Displays one event."""
        stage = self._plan.stages[event.fingerprint]
        match event.kind:
            case "starting":
                self._add_bar(stage)
                self._progress(stage, event.detail)
            case "started":
                self._started[event.fingerprint] = time.monotonic()
                self._print(f"started    {self._title(stage)}")
                self._add_bar(stage)
            case "progress":
                self._progress(stage, event.detail)
            case "waiting":
                self._print(f"waiting    {self._title(stage)}: another process is running it")
                self._remove_bar(stage)
            case _:
                self._end(stage, event)

    def _progress(self, stage: Stage, detail: Mapping[str, Any]) -> None:
        if "warning" in detail:
            self._warn(stage, str(detail["warning"]))
        if "doing" in detail:
            self._prepare(stage, detail["doing"], detail.get("done", 0), detail.get("of", 0))
        if self._bars is None or stage.fingerprint not in self._tasks or "steps" not in detail:
            return
        parts = []
        if "epoch" in detail:
            parts.append(f"epoch {detail['epoch']:.1f}/{detail['epochs']}")
        if "loss" in detail:
            parts.append(f"loss {detail['loss']:.3f}")
        if "images_per_s" in detail:
            parts.append(f"{detail['images_per_s']:.0f} images/s")
        self._bars.update(
            self._tasks[stage.fingerprint], completed=detail["step"], total=detail["steps"], status="  ".join(parts)
        )

    def _warn(self, stage: Stage, message: str) -> None:
        """Prints a warning with its stage the first time; ``summarize`` counts the others."""
        self._warnings[message] += 1
        if self._warnings[message] == 1:
            self._console.print(f"warning: {self._title(stage)}: {message}")

    def summarize(self) -> None:
        """Prints how often the warnings that came more than once were repeated."""
        for message, times in self._warnings.items():
            if times > 1:
                self._console.print(f"warning, {counted(times - 1, 'more time')}: {message}")

    def _prepare(self, stage: Stage, doing: str, done: int, of: int) -> None:
        """Displays what a stage does between its steps, or before the first."""
        status = f"{doing} {done:,} of {of:,}" if of else doing
        if self._bars is not None:
            if stage.fingerprint in self._tasks:
                self._bars.update(self._tasks[stage.fingerprint], status=status, refresh=True)
            return
        now = time.monotonic()
        if doing not in self._printed or (of and now - self._printed[doing] > _COUNTED_S):
            self._printed[doing] = now
            self._print(f"preparing  {self._title(stage)}: {status}")

    def _add_bar(self, stage: Stage) -> None:
        if self._bars is not None and stage.fingerprint not in self._tasks:
            self._tasks[stage.fingerprint] = self._bars.add_task(self._title(stage), total=None, status="")

    def _remove_bar(self, stage: Stage) -> None:
        task = self._tasks.pop(stage.fingerprint, None)
        if self._bars is not None and task is not None:
            self._bars.remove_task(task)

    def _end(self, stage: Stage, event: Event) -> None:
        self._done += 1
        seconds = time.monotonic() - self._started.get(stage.fingerprint, time.monotonic())
        took = f" in {seconds:.0f} s" if event.kind == "succeeded" else ""
        reason = f": {event.detail['reason']}" if event.detail.get("reason") else ""
        word = {"succeeded": "done", "cached": "cached", "failed": "FAILED", "not_run": "not run"}[event.kind]
        if event.kind in {"failed", "not_run"}:
            self._console.print(f"{word:<10} {self._title(stage)}{reason}")
        elif event.kind == "succeeded":
            self._print(f"{word:<10} {self._title(stage)}{took}  [{self._done}/{self._all}]")
        if self._bars is not None and self._whole is not None:
            self._bars.update(self._whole, completed=self._done)
        self._remove_bar(stage)

    def _print(self, line: str) -> None:
        """Prints a line off a terminal; on one, the bars show the same."""
        if self._bars is None:
            self._console.print(line)

    def _title(self, stage: Stage) -> str:
        runs = self._plan.runs_of(stage.fingerprint)
        rows = list(dict.fromkeys(run.row for run in runs))
        seeds = sorted({run.seed for run in runs})
        seed = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {', '.join(map(str, seeds))}"
        return f"{stage.name} · {'row' if len(rows) == 1 else 'rows'} {', '.join(rows)} · {seed}"


@contextmanager
def monitoring(plan: Plan, table: str) -> Iterator[Monitor]:
    """Yields a monitor, with live bars if standard error is a terminal."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Count(MofNCompleteColumn):
        """Steps done of the total; blank while the total is unknown."""

        def render(self, task: "Task") -> Text:
            return Text("") if task.total is None else super().render(task)

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        Count(),
        TextColumn("{task.fields[status]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = notices()
    live = Progress(*columns, console=console, transient=True) if console.is_terminal else None
    with live or nullcontext():
        monitor = Monitor(plan, live, table)
        yield monitor
    monitor.summarize()
