"""Delivers the outbox's operations and the spools' records to MLflow, each exactly once.

The only code that writes to MLflow; the outbox's lock lets one process at a time run it. Delivery is exactly once, even
if the process is killed: a run is found again by its key; stored steps are known by the largest step of
``train/epoch``, which MLflow stores together with a record's other metrics (``live_run``); everything else (parameters,
tags, files, status) can be set twice.
"""

import json
import logging
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import InputError
from harness.track.client import artifact_root, connect, load_mlflow, our_experiments, quoted, search_all_runs
from harness.track.identity import Owner
from harness.track.live_run import LiveRun
from harness.track.operations import Close, End, Follow, Open, Operation, Sweep
from harness.track.outbox import Journal, Outbox
from harness.track.tags import (
    EXPERIMENT_TAGS,
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

_REFUSALS = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "INVALID_STATE", "RESOURCE_DOES_NOT_EXIST"}
"""MLflow's error codes for requests that it will never accept."""


class TrackerUnreachableError(Exception):
    """The tracker did not accept an operation now; it may do so later."""


class Deliverer:
    """Delivers everything in an outbox. The caller holds the outbox's lock."""

    def __init__(self, uri: str, outbox: Outbox, on_progress: Callable[[], None] = lambda: None) -> None:
        """Takes the tracker's address, the outbox, and a callback for each delivered operation."""
        self._uri = uri
        self._on_progress = on_progress
        self._outbox = outbox
        self._journals: dict[Path, Journal] = {}
        self._queue: deque[tuple[Journal, int, Operation]] = deque()
        self._runs: dict[str, LiveRun] = {}
        self._experiments: dict[str, str] = {}

    def pump(self) -> None:
        """Delivers everything in the outbox and the spools, then deletes the journals of processes that have ended.

        Raises:
            TrackerUnreachableError: If the tracker does not accept something; call again later.
        """
        complete = self._read_journals()
        try:
            while self._queue:
                self._apply(*self._queue[0])
                self._queue.popleft()
                self._on_progress()
            self._drain_all()
        except TrackerUnreachableError:
            # It is unknown whether the interrupted batch was stored, or by which server.
            self._experiments.clear()
            for run in self._runs.values():
                run.forget()
            raise
        for journal in complete:
            self._forget(journal)

    def _read_journals(self) -> list[Journal]:
        """Queues new operations; returns complete journals, whose process closed them or died."""
        complete = []
        for journal in self._outbox.journals():
            journal = self._journals.setdefault(journal.path, journal)
            # Read again after the owner's end: only then is the journal known to be complete.
            self._queue.extend((journal, number, operation) for number, operation in journal.read())
            if journal.ended():
                self._queue.extend((journal, number, operation) for number, operation in journal.read())
                complete.append(journal)
        return complete

    def _apply(self, journal: Journal, number: int, operation: Operation) -> None:
        key = getattr(operation, "run", None)
        if isinstance(operation, Follow | End) and (
            key not in self._runs or journal.path not in self._runs[key].opened_by
        ):
            # The run could not be opened, which was logged.
            journal.mark_done([number])
        elif not self._attempt(partial(self._dispatch, journal, number, operation)):
            journal.mark_done([number])

    def _dispatch(self, journal: Journal, number: int, operation: Operation) -> None:
        match operation:
            case Open():
                self._open(journal, number, operation)
            case Follow():
                self._runs[operation.run].follow(Path(operation.spool), operation.step_offset)
                self._runs[operation.run].opened_by[journal.path].append(number)
            case End():
                self._end(journal, number, operation)
            case Sweep():
                self._sweep(operation)
                journal.mark_done([number])
            case Close():
                pass

    def _attempt(self, action: Callable[[], None]) -> bool:
        """Runs an action against MLflow; logs and returns False if MLflow will never accept it."""
        load_mlflow()
        from mlflow.exceptions import MlflowException

        try:
            action()
        except MlflowException as error:
            if error.error_code in _REFUSALS:
                logger.error("the tracker rejected an operation: %s", error)
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
        live = self._runs.get(operation.run)
        if live is None or live.run_id != run.info.run_id:  # another id: the old run was deleted
            live = LiveRun(run.info.run_id, run.info.artifact_uri, sealed, stored_step, run.data.metrics)
        if not sealed:
            if found is not None:
                self._reopen(run, tags, operation.name)
            live.params = {key: value for key, value in operation.params.items() if key not in run.data.params}
            live.texts = operation.texts
            self._log_dataset(live.run_id, operation.dataset)
        if operation.columns:
            client.set_experiment_tag(experiment_id, VIEW_TAG, view_state(live.run_id, operation))
        live.sealed = sealed
        live.opened_by.setdefault(journal.path, []).append(number)
        self._runs[operation.run] = live

    def _reopen(self, run: "Run", tags: Mapping[str, str], name: str) -> None:
        client = connect(self._uri)
        self._set_tags(run.info.run_id, {key: value for key, value in tags.items() if run.data.tags.get(key) != value})
        if TAG_REASON in run.data.tags:
            client.delete_tag(run.info.run_id, TAG_REASON)
        client.update_run(run.info.run_id, status="RUNNING", name=name)

    def _log_dataset(self, run_id: str, dataset: Mapping[str, str]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        if dataset:
            source = json.dumps({"uri": dataset["source"]})
            entity = Dataset(dataset["name"], dataset["digest"], "local", source)
            connect(self._uri).log_inputs(run_id, [DatasetInput(entity, [InputTag("mlflow.data.context", "training")])])

    def _end(self, journal: Journal, number: int, operation: End) -> None:
        run = self._runs[operation.run]
        others = [path for path in run.opened_by if path != journal.path and not self._journals[path].ended()]
        # A run that another process continues has neither failed nor been killed.
        if not run.sealed and (operation.status == "FINISHED" or not others):
            self._complete(run, operation)
            run.sealed = operation.status == "FINISHED"
        journal.mark_done([*run.opened_by.pop(journal.path), number])
        if not run.opened_by:
            del self._runs[operation.run]

    def _complete(self, run: LiveRun, operation: End) -> None:
        from mlflow.entities import Metric, RunTag

        client = connect(self._uri)
        stored = run.final(client) if operation.metrics else {}
        # Only those that differ: a retry must not store a metric twice.
        new = {name: value for name, value in operation.metrics.items() if stored.get(name) != value}
        run.texts = {**run.texts, **operation.texts}
        run.drain(
            client,
            [Metric(name, value, operation.time_ms, 0) for name, value in new.items()],
            [RunTag(key, value) for key, value in operation.tags.items()],
        )
        for path in map(Path, operation.files):
            if path.is_dir():
                run.artifacts(client).log_artifacts(str(path))
            elif path.is_file():
                place = path.parent.relative_to(operation.within).as_posix() if operation.within else "."
                run.artifacts(client).log_artifact(str(path), None if place == "." else place)
            else:
                logger.warning("%s was deleted before it could be logged", path)
        client.set_terminated(run.run_id, operation.status, operation.time_ms)
        run.stored = None

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
            # A run that rejects points (it was deleted) is skipped from now on, and was logged once.
            if not run.sealed and not self._attempt(partial(self._drain, run)):
                run.sealed = True

    def _drain(self, run: LiveRun) -> None:
        run.drain(connect(self._uri))

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

        if tags:
            connect(self._uri).log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def _forget(self, journal: Journal) -> None:
        """Deletes a fully delivered journal; runs that it left open stay RUNNING, for a sweep or another process."""
        for key, run in list(self._runs.items()):
            run.opened_by.pop(journal.path, None)
            if not run.opened_by:
                del self._runs[key]
        journal.remove()
        del self._journals[journal.path]


def _why(error: Exception) -> str:
    """Returns the cause of an error in one line: the system's message (a refused connection) if there is one."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, OSError) and below.strerror:
            return f"{below.strerror}: {below.filename}" if below.filename else below.strerror
        if isinstance(below, InputError):
            return str(below)
        below = below.__cause__ or below.__context__
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0][:300]}" if text else type(error).__name__
