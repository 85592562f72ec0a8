"""Delivery: carries the outbox's operations and the spools' records into MLflow, each exactly once.

The only code that writes to MLflow, and one process at a time runs it (the outbox's lock). What makes "once" true after
a kill at any moment: a run is found again by its key; a stored step is known by the largest step of ``train/epoch``,
which every record carries and which MLflow stores together with the record's other figures; everything else
(parameters, tags, files, status) may be set twice without a trace.
"""

import json
import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from harness.errors import InputError
from harness.spool import SpoolFeed, SpoolRecord
from harness.track.accepted import step_metric
from harness.track.client import artifact_root, connect, load_mlflow, our_experiments, quoted, search_all_runs
from harness.track.identity import Owner
from harness.track.outbox import Close, End, Follow, Journal, Open, Operation, Outbox, Sweep
from harness.track.tags import (
    EXPERIMENT_TAGS,
    MARKER,
    PARENT,
    TAG_KEY,
    TAG_KIND,
    TAG_OWNER,
    TAG_REASON,
)
from harness.track.view import VIEW_TAG, view_state

if TYPE_CHECKING:
    from mlflow.entities import Run

logger = logging.getLogger(__name__)
T = TypeVar("T")

_METRICS_A_BATCH = 1000
_PARAMS_OR_TAGS_A_BATCH = 100

_REFUSALS = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "INVALID_STATE", "RESOURCE_DOES_NOT_EXIST"}
"""MLflow's codes for what will never be accepted, however often it is sent."""


class TrackerUnreachableError(Exception):
    """The tracker did not take an operation now; the same operation may succeed later."""


@dataclass
class _Feed:
    """A spool that a run follows, and what was read from it and is not stored yet."""

    spool: SpoolFeed
    step_offset: int
    backlog: deque[SpoolRecord] = field(default_factory=deque)


@dataclass
class _LiveRun:
    """A run that some journal opened and has not ended."""

    run_id: str
    sealed: bool
    """Finished before: its figures stand, nothing is added."""
    stored_step: int | None
    """The largest step the tracker holds; None: ask it."""
    feeds: dict[tuple[str, int], _Feed] = field(default_factory=dict)
    opened_by: dict[Path, list[int]] = field(default_factory=dict)
    """Journals that have the run open, with the operations on it so far."""


class Deliverer:
    """Carries out everything in an outbox. The caller holds the outbox's lock."""

    def __init__(self, uri: str, outbox: Outbox, on_progress: Callable[[], None] = lambda: None) -> None:
        """Takes the tracker's address, the outbox, and what to call after each operation that was carried out."""
        self._uri = uri
        self._on_progress = on_progress
        self._outbox = outbox
        self._journals: dict[Path, Journal] = {}
        self._queue: deque[tuple[Journal, int, Operation]] = deque()
        self._runs: dict[str, _LiveRun] = {}
        self._experiments: dict[str, str] = {}

    def pump(self) -> None:
        """Delivers all that the outbox and the spools hold at this moment, then drops the journals of the departed.

        Raises:
            TrackerUnreachableError: The tracker did not take something. What was delivered stays so; call again later.
        """
        departed = self._read_journals()
        try:
            while self._queue:
                self._apply(*self._queue[0])
                self._queue.popleft()
                self._on_progress()
            self._drain_all()
        except TrackerUnreachableError:
            # Whether the interrupted batch was stored is unknown, and so is what will answer next.
            self._experiments.clear()
            for run in self._runs.values():
                run.stored_step = None
            raise
        for journal in departed:
            self._forget(journal)

    def _read_journals(self) -> list[Journal]:
        """Queues new operations; returns the journals that are complete, since their process closed them or died."""
        departed = []
        for journal in self._outbox.journals():
            journal = self._journals.setdefault(journal.path, journal)
            # Twice, since only what is read after the owner's end is known to be all.
            self._queue.extend((journal, number, operation) for number, operation in journal.read())
            if journal.ended():
                self._queue.extend((journal, number, operation) for number, operation in journal.read())
                departed.append(journal)
        return departed

    def _apply(self, journal: Journal, number: int, operation: Operation) -> None:
        key = getattr(operation, "run", None)
        if isinstance(operation, Follow | End) and (
            key not in self._runs or journal.path not in self._runs[key].opened_by
        ):
            # Its opening was refused, and told.
            journal.mark_done([number])
        elif not self._attempt(partial(self._carry_out, journal, number, operation)):
            journal.mark_done([number])

    def _carry_out(self, journal: Journal, number: int, operation: Operation) -> None:
        match operation:
            case Open():
                self._open(journal, number, operation)
            case Follow():
                run = self._runs[operation.run]
                feed = _Feed(SpoolFeed(Path(operation.spool)), operation.step_offset)
                run.feeds.setdefault((operation.spool, operation.step_offset), feed)
                run.opened_by[journal.path].append(number)
            case End():
                self._end(journal, number, operation)
            case Sweep():
                self._sweep(operation)
                journal.mark_done([number])
            case Close():
                pass

    def _attempt(self, action: Callable[[], None]) -> bool:
        """Runs an action against MLflow; False if it was refused for good, which is told."""
        load_mlflow()
        from mlflow.exceptions import MlflowException

        try:
            action()
        except MlflowException as error:
            if error.error_code in _REFUSALS:
                logger.error("the tracker refuses what it was sent: %s", error)
                return False
            raise TrackerUnreachableError(_why(error)) from error
        except Exception as error:
            raise TrackerUnreachableError(_why(error)) from error
        return True

    # Runs ------------------------------------------------------------------------------------------------------------

    def _open(self, journal: Journal, number: int, operation: Open) -> None:
        from mlflow.entities import RunStatus

        client = connect(self._uri)
        experiment_id = self._experiment(operation.experiment)
        tags = {**operation.tags, TAG_KEY: operation.run, TAG_KIND: operation.kind, TAG_OWNER: str(journal.owner)}
        parent_id = self._run_id(operation.parent, experiment_id) if operation.parent is not None else None
        if parent_id is not None:
            tags[PARENT] = parent_id
        found = self._find(operation.run, experiment_id)
        if found is None:
            run = client.create_run(experiment_id, operation.time_ms, tags, operation.name)
            sealed, stored_step = False, 0
        else:
            run, stored_step = found, None
            finished = run.info.status == RunStatus.to_string(RunStatus.FINISHED)
            sealed = finished and operation.kind == "run"
        if not sealed:
            if found is not None:
                self._reopen(run, tags, operation.name)
            self._describe(run, operation)
        run_id = run.info.run_id
        if operation.columns:
            client.set_experiment_tag(experiment_id, VIEW_TAG, view_state(run_id, operation))
        live = self._runs.get(operation.run)
        if live is None or live.run_id != run_id:  # another id: somebody deleted the run that was there
            live = self._runs[operation.run] = _LiveRun(run_id, sealed, stored_step)
        live.sealed = sealed
        live.opened_by.setdefault(journal.path, []).append(number)

    def _reopen(self, run: "Run", tags: Mapping[str, str], name: str) -> None:
        client = connect(self._uri)
        self._set_tags(run.info.run_id, {key: value for key, value in tags.items() if run.data.tags.get(key) != value})
        if TAG_REASON in run.data.tags:
            client.delete_tag(run.info.run_id, TAG_REASON)
        client.update_run(run.info.run_id, status="RUNNING", name=name)

    def _describe(self, run: "Run", operation: Open) -> None:
        """Adds what the run lacks of its parameters, texts and data set."""
        from mlflow.entities import Dataset, DatasetInput, InputTag, Param

        client, run_id = connect(self._uri), run.info.run_id
        params = [Param(key, value) for key, value in operation.params.items() if key not in run.data.params]
        for chunk in _chunks(params, _PARAMS_OR_TAGS_A_BATCH):
            client.log_batch(run_id, params=chunk)
        for name, text in operation.texts.items():
            client.log_text(run_id, text, name)
        if operation.dataset:
            source = json.dumps({"uri": operation.dataset["source"]})
            dataset = Dataset(operation.dataset["name"], operation.dataset["digest"], "local", source)
            client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])

    def _end(self, journal: Journal, number: int, operation: End) -> None:
        run = self._runs[operation.run]
        others = [path for path in run.opened_by if path != journal.path and not self._journals[path].ended()]
        # A run that another process goes on with has neither failed nor been killed.
        if not run.sealed and (operation.status == "FINISHED" or not others):
            self._drain(run)
            self._complete(run, operation)
            run.sealed = operation.status == "FINISHED"
        journal.mark_done([*run.opened_by.pop(journal.path), number])
        if not run.opened_by:
            del self._runs[operation.run]

    def _complete(self, run: _LiveRun, operation: End) -> None:
        from mlflow.entities import Metric

        client, run_id = connect(self._uri), run.run_id
        stored = client.get_run(run_id).data.metrics if operation.metrics else {}
        # Only what differs: a figure that was stored before the status could be set is not stored again.
        new = {name: value for name, value in operation.metrics.items() if stored.get(name) != value}
        metrics = [Metric(name, value, operation.time_ms, 0) for name, value in new.items()]
        for chunk in _chunks(metrics, _METRICS_A_BATCH):
            client.log_batch(run_id, metrics=chunk)
        self._set_tags(run_id, operation.tags)
        for name, text in operation.texts.items():
            client.log_text(run_id, text, name)
        for path in map(Path, operation.files):
            if path.is_dir():
                client.log_artifacts(run_id, str(path))
            elif path.is_file():
                place = path.parent.relative_to(operation.within).as_posix() if operation.within else "."
                client.log_artifact(run_id, str(path), None if place == "." else place)
            else:
                logger.warning("%s is gone before the tracker could take it", path)
        client.set_terminated(run_id, operation.status, operation.time_ms)

    def _sweep(self, operation: Sweep) -> None:
        self._drain_all()
        client, here = connect(self._uri), Owner.this_process()
        pattern = quoted(f"{here.host}/%")
        orphans = f"attributes.status = 'RUNNING' AND tags.`{TAG_OWNER}` LIKE {pattern}"
        alive = {
            run.run_id for run in self._runs.values() if any(not self._journals[path].ended() for path in run.opened_by)
        }
        for run in list(search_all_runs(self._uri, our_experiments(self._uri), orphans)):
            owner = Owner.parse(run.data.tags[TAG_OWNER])
            kept = run.data.tags.get(TAG_KEY) in operation.keep or run.info.run_id in alive
            if owner is not None and owner.is_dead() and not kept:
                self._set_tags(run.info.run_id, {TAG_REASON: f"its process ({owner.pid} on {owner.host}) died"})
                client.set_terminated(run.info.run_id, "KILLED")

    # Spools ----------------------------------------------------------------------------------------------------------

    def _drain_all(self) -> None:
        for run in self._runs.values():
            # A run that takes no points any more (somebody deleted it) is left alone, and was told once.
            if not run.sealed and not self._attempt(partial(self._drain, run)):
                run.sealed = True

    def _drain(self, run: _LiveRun) -> None:
        """Stores what the run's spools hold and the tracker does not, whole records at a time."""
        from mlflow.entities import Metric

        client = connect(self._uri)
        for feed in run.feeds.values():
            if not feed.backlog:
                feed.backlog.extend(feed.spool.read())
            while feed.backlog:
                stored = self._stored_step(run)
                metrics: list[Metric] = []
                taken, last = 0, stored
                for record in feed.backlog:
                    step = feed.step_offset + record.step
                    figures = [] if step <= last else list(_figures(record))
                    if metrics and len(metrics) + len(figures) > _METRICS_A_BATCH:
                        break
                    metrics.extend(Metric(name, value, record.time_ms, step) for name, value in figures)
                    taken, last = taken + 1, max(last, step)
                if metrics:
                    client.log_batch(run.run_id, metrics=metrics)
                    run.stored_step = last
                for _ in range(taken):
                    feed.backlog.popleft()

    def _stored_step(self, run: _LiveRun) -> int:
        if run.stored_step is None:
            history = connect(self._uri).get_metric_history(run.run_id, MARKER)
            run.stored_step = max((metric.step for metric in history), default=0)
        return run.stored_step

    # Finding ---------------------------------------------------------------------------------------------------------

    def _experiment(self, name: str) -> str:
        if name not in self._experiments:
            client = connect(self._uri)
            found = client.get_experiment_by_name(name)
            if found is None:
                experiment_id = client.create_experiment(name, artifact_root(self._uri, name))
            else:
                experiment_id = found.experiment_id
                if found.lifecycle_stage == "deleted":
                    client.restore_experiment(experiment_id)
            for key, value in EXPERIMENT_TAGS.items():
                client.set_experiment_tag(experiment_id, key, value)
            self._experiments[name] = experiment_id
        return self._experiments[name]

    def _find(self, key: str, experiment_id: str) -> "Run | None":
        query = f"tags.`{TAG_KEY}` = {quoted(key)}"
        return next(search_all_runs(self._uri, [experiment_id], query), None)

    def _run_id(self, key: str, experiment_id: str) -> str | None:
        if key in self._runs:
            return self._runs[key].run_id
        found = self._find(key, experiment_id)
        return None if found is None else found.info.run_id

    def _set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        for chunk in _chunks([RunTag(key, value) for key, value in tags.items()], _PARAMS_OR_TAGS_A_BATCH):
            connect(self._uri).log_batch(run_id, tags=chunk)

    def _forget(self, journal: Journal) -> None:
        """Removes a journal that is delivered whole; runs it left open stay RUNNING for a sweep, or a successor."""
        for key, run in list(self._runs.items()):
            run.opened_by.pop(journal.path, None)
            if not run.opened_by:
                del self._runs[key]
        journal.remove()
        del self._journals[journal.path]


def _figures(record: SpoolRecord) -> Iterator[tuple[str, float]]:
    """What a record stores: its metrics and, last, the marker (pages of MLflow start with the first metric)."""
    for name, value in record.metrics.items():
        if (metric := step_metric(name)) != MARKER:
            yield metric, value
    yield MARKER, record.epoch


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _why(error: Exception) -> str:
    """What stood in the way, in a line: what the system said, such as a refused connection; else the error itself."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, OSError) and below.strerror:
            return f"{below.strerror}: {below.filename}" if below.filename else below.strerror
        if isinstance(below, InputError):
            return str(below)
        below = below.__cause__ or below.__context__
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0][:300]}" if text else type(error).__name__
