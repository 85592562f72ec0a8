"""A run in training: stores the records of its stages' spools as step-wise metrics, each exactly once.

A record is stored in one batch together with its ``train/epoch``, so the largest step of that metric says what MLflow
has, also after a kill.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from harness.spool import SpoolFeed, SpoolRecord
from harness.track.accepted import step_metric
from harness.track.tags import MARKER

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, RunTag

_METRICS_PER_BATCH = 800
"""MLflow splits a batch of more than 1000 entries; the rest is for its 100 parameters and 100 tags."""


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
    artifact_uri: str
    sealed: bool
    """Whether the run has finished before; then it never changes."""
    stored_step: int | None
    """The largest step that the tracker has; None if unknown."""
    stored: Mapping[str, float] | None
    """The metrics that the tracker had when the run was opened; None if unknown."""
    params: Mapping[str, str] = field(default_factory=dict)
    """Parameters that the tracker does not have yet."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Small artifacts that the tracker does not have yet, by file name."""
    feeds: dict[tuple[Path, int], _Feed] = field(default_factory=dict)
    opened_by: dict[Path, list[int]] = field(default_factory=dict)
    """Journals that have the run open, with the ids of their operations on it so far."""

    def follow(self, spool: Path, step_offset: int) -> None:
        """Adds a stage's spool, whose steps are counted from ``step_offset``."""
        self.feeds.setdefault((spool, step_offset), _Feed(SpoolFeed(spool), step_offset))

    def drain(self, client: "MlflowClient", metrics: Sequence["Metric"] = (), tags: Sequence["RunTag"] = ()) -> None:
        """Stores what the tracker does not have yet: parameters, texts and records, then final metrics and tags."""
        from mlflow.entities import Metric

        for feed in self.feeds.values():
            if not feed.backlog:
                feed.backlog.extend(feed.spool.read())
            while feed.backlog:
                stored = self._stored(client)
                points: list[Metric] = []
                taken, last = 0, stored
                for record in feed.backlog:
                    step = feed.step_offset + record.step
                    values = [] if step <= last else list(_metrics_of(record))
                    if points and len(points) + len(values) > _METRICS_PER_BATCH:
                        break
                    points.extend(Metric(name, value, record.time_ms, step) for name, value in values)
                    taken, last = taken + 1, max(last, step)
                self._log(client, points)
                self.stored_step = last
                for _ in range(taken):
                    feed.backlog.popleft()
        self._log(client, metrics, tags)
        if self.texts:
            with TemporaryDirectory() as folder:
                for name, text in self.texts.items():
                    path = Path(folder) / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(text.encode())
                self.artifacts(client).log_artifacts(folder)
            self.texts = {}

    def final(self, client: "MlflowClient") -> Mapping[str, float]:
        """Returns the metrics that the tracker has, as far as they are final."""
        if self.stored is None:
            self.stored = client.get_run(self.run_id).data.metrics
        return self.stored

    def artifacts(self, client: "MlflowClient") -> Any:
        """Returns MLflow's repository of the run's artifacts; its client would request the run for it."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        return get_artifact_repository(self.artifact_uri, client.tracking_uri)

    def forget(self) -> None:
        """Forgets what the tracker has, after a request whose outcome is unknown."""
        self.stored_step = self.stored = None

    def _log(self, client: "MlflowClient", metrics: Sequence["Metric"], tags: Sequence["RunTag"] = ()) -> None:
        from mlflow.entities import Param

        if metrics or tags or self.params:
            params = [Param(key, value) for key, value in self.params.items()]
            client.log_batch(self.run_id, metrics, params, tags)
            self.params = {}

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
