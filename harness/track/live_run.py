"""A run in training: stores the records of its stages' spools as step-wise metrics, each exactly once.

A record is stored in one batch together with its ``train/epoch``, so the largest step of that metric says what MLflow
has, also after a kill.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from harness.spool import SpoolFeed, SpoolRecord
from harness.track.accepted import step_metric
from harness.track.tags import MARKER

if TYPE_CHECKING:
    from mlflow import MlflowClient

T = TypeVar("T")

METRICS_PER_BATCH = 1000
"""MLflow's limit."""


@dataclass
class _Feed:
    """A spool that a run follows, and the records read from it that are not stored yet."""

    spool: SpoolFeed
    step_offset: int
    backlog: deque[SpoolRecord] = field(default_factory=deque)


@dataclass
class LiveRun:
    """A run that some journal has opened and not ended."""

    run_id: str
    sealed: bool
    """Whether the run has finished before; then it never changes."""
    stored_step: int | None
    """The largest step that the tracker has; None if unknown."""
    feeds: dict[tuple[Path, int], _Feed] = field(default_factory=dict)
    opened_by: dict[Path, list[int]] = field(default_factory=dict)
    """Journals that have the run open, with the ids of their operations on it so far."""

    def follow(self, spool: Path, step_offset: int) -> None:
        """Adds a stage's spool, whose steps are counted from ``step_offset``."""
        self.feeds.setdefault((spool, step_offset), _Feed(SpoolFeed(spool), step_offset))

    def drain(self, client: "MlflowClient") -> None:
        """Stores the records that the tracker does not have yet, in batches of whole records."""
        from mlflow.entities import Metric

        for feed in self.feeds.values():
            if not feed.backlog:
                feed.backlog.extend(feed.spool.read())
            while feed.backlog:
                stored = self._stored(client)
                metrics: list[Metric] = []
                taken, last = 0, stored
                for record in feed.backlog:
                    step = feed.step_offset + record.step
                    values = [] if step <= last else list(_metrics_of(record))
                    if metrics and len(metrics) + len(values) > METRICS_PER_BATCH:
                        break
                    metrics.extend(Metric(name, value, record.time_ms, step) for name, value in values)
                    taken, last = taken + 1, max(last, step)
                if metrics:
                    client.log_batch(self.run_id, metrics=metrics)
                    self.stored_step = last
                for _ in range(taken):
                    feed.backlog.popleft()

    def _stored(self, client: "MlflowClient") -> int:
        if self.stored_step is None:
            history = client.get_metric_history(self.run_id, MARKER)
            self.stored_step = max((metric.step for metric in history), default=0)
        return self.stored_step


def _metrics_of(record: SpoolRecord) -> Iterator[tuple[str, float]]:
    """Yields a record's metrics and, last, the marker (MLflow's pages start with the first metric)."""
    for name, value in record.metrics.items():
        if (metric := step_metric(name)) != MARKER:
            yield metric, value
    yield MARKER, record.epoch


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Splits a sequence into chunks of at most ``size`` items."""
    return (items[start : start + size] for start in range(0, len(items), size))
