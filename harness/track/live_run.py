"""A run in MLflow: what MLflow holds of it, as far as is known, and the requests that add what it lacks.

Everything is stored once, however often it is sent. A spool's record is stored in one batch together with its
``train/epoch``, so the largest step of that metric says which records MLflow has, also after a kill; final metrics are
sent if they differ; parameters, tags, files and the status can be set twice.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

from harness.spool import SpoolFeed, SpoolRecord
from harness.track.accepted import step_metric
from harness.track.state import RunState
from harness.track.tags import MARKER, TAG_REASON

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

logger = logging.getLogger(__name__)

_METRICS_PER_BATCH = 800
"""MLflow splits a batch of more than 1000 entries; the rest is for its 100 parameters and 100 tags."""


@dataclass
class LiveRun:
    """A run that MLflow has; to be forgotten after a request whose outcome is unknown."""

    run_id: str
    artifact_uri: str
    name: str
    status: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]
    stored_step: int | None
    """The largest step of a spool's record; None if unknown."""
    texts: dict[str, str] = field(default_factory=dict)
    dataset: Mapping[str, str] = field(default_factory=dict)
    feeds: dict[tuple[str, int], SpoolFeed] = field(default_factory=dict)
    """The spools that it follows, by path and offset of steps."""

    @classmethod
    def of(cls, run: "Run") -> Self:
        """Returns what MLflow holds, as it says."""
        info, data = run.info, run.data
        step = None if MARKER in data.metrics else 0
        return cls(
            info.run_id, info.artifact_uri, info.run_name, info.status, data.tags, data.params, data.metrics, step
        )

    def follow(self, spools: Iterable[tuple[str, int]]) -> None:
        """Adds stages' spools, with what is added to the steps of each."""
        for spool, offset in spools:
            if (spool, offset) not in self.feeds:
                self.feeds[spool, offset] = SpoolFeed(Path(spool))

    def bring(self, client: "MlflowClient", state: RunState, tags: Mapping[str, str]) -> None:
        """Brings the run to a state: all that MLflow lacks is sent, the status last."""
        if self.name != state.name or (self.status != "RUNNING" and not state.ended):
            client.update_run(self.run_id, status="RUNNING", name=state.name)
            self.name, self.status = state.name, "RUNNING"
        if TAG_REASON in self.tags and TAG_REASON not in tags:
            client.delete_tag(self.run_id, TAG_REASON)
            del self.tags[TAG_REASON]
        if self.dataset != state.dataset:
            self._log_dataset(client, state.dataset)
        self._log_batches(client, state, tags)
        self._log_texts(client, {name: text for name, text in state.texts.items() if self.texts.get(name) != text})
        if state.ended:
            self._log_files(client, state)
            client.set_terminated(self.run_id, state.status, state.ended_ms)
            self.status = state.status

    def _log_batches(self, client: "MlflowClient", state: RunState, tags: Mapping[str, str]) -> None:
        from mlflow.entities import Metric, Param, RunTag

        params = [Param(key, value) for key, value in state.params.items() if key not in self.params]
        changed = [RunTag(key, value) for key, value in tags.items() if self.tags.get(key) != value]
        final = {name: value for name, value in state.metrics.items() if self.metrics.get(name) != value}
        groups = [*self._news(client), [Metric(name, value, state.ended_ms, 0) for name, value in final.items()]]
        for points in _batches(groups):
            client.log_batch(self.run_id, points, params, changed)
            params, changed = [], []
        self.params |= state.params
        self.tags |= tags
        self.metrics |= final

    def _news(self, client: "MlflowClient") -> "Iterator[list[Metric]]":
        """Yields the points of each record that MLflow has not stored; they must be sent together."""
        from mlflow.entities import Metric

        for (_, offset), feed in self.feeds.items():
            for record in feed.read():
                if self.stored_step is None:
                    history = client.get_metric_history(self.run_id, MARKER)
                    self.stored_step = max((metric.step for metric in history), default=0)
                step = offset + record.step
                if step > self.stored_step:
                    self.stored_step = step
                    yield [Metric(name, value, record.time_ms, step) for name, value in _metrics_of(record)]

    def _log_dataset(self, client: "MlflowClient", dataset: Mapping[str, str]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        source = json.dumps({"uri": dataset["source"]})
        entity = Dataset(dataset["name"], dataset["digest"], "local", source)
        client.log_inputs(self.run_id, [DatasetInput(entity, [InputTag("mlflow.data.context", "training")])])
        self.dataset = dataset

    def _log_texts(self, client: "MlflowClient", texts: Mapping[str, str]) -> None:
        if texts:
            with TemporaryDirectory() as folder:
                for name, text in texts.items():
                    path = Path(folder) / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(text.encode())
                self._artifacts(client).log_artifacts(folder)
            self.texts |= texts

    def _log_files(self, client: "MlflowClient", state: RunState) -> None:
        for path in map(Path, state.files):
            if path.is_dir():
                self._artifacts(client).log_artifacts(str(path))
            elif path.is_file():
                place = path.parent.relative_to(state.within).as_posix() if state.within else "."
                self._artifacts(client).log_artifact(str(path), None if place == "." else place)
            else:
                logger.warning("%s was deleted before it could be logged", path)

    def _artifacts(self, client: "MlflowClient") -> Any:
        """Returns MLflow's repository of the run's artifacts; its client would request the run for it."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        return get_artifact_repository(self.artifact_uri, client.tracking_uri)


def _batches(groups: "list[list[Metric]]") -> "Iterator[list[Metric]]":
    """Joins groups that must not be divided; at least one batch, which may be empty."""
    batch: list[Metric] = []
    for group in groups:
        if batch and len(batch) + len(group) > _METRICS_PER_BATCH:
            yield batch
            batch = []
        batch += group
    yield batch


def _metrics_of(record: SpoolRecord) -> Iterator[tuple[str, float]]:
    """Yields a record's metrics and, last, the marker (MLflow's pages start with the first metric)."""
    for name, value in record.metrics.items():
        if (metric := step_metric(name)) != MARKER:
            yield metric, value
    yield MARKER, record.epoch
