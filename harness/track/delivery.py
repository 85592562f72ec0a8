"""Delivers the outbox to MLflow: compares its documents with what MLflow holds, and sends what is missing.

The only code that writes runs to MLflow; the outbox's lock lets one process at a time run it. A run is found again by
its key, so that a killed delivery is continued by the next one (``live_run`` says why nothing is stored twice). A
document that was delivered and will not change any more is removed: nothing else remembers what was delivered.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import InputError
from harness.track.client import artifact_root, connect, load_mlflow, our_experiments, quoted, search_all_runs
from harness.track.identity import Owner
from harness.track.live_run import LiveRun
from harness.track.outbox import Document, Outbox
from harness.track.tags import EXPERIMENT_TAGS, PARENT, TAG_KEY, TAG_KIND, TAG_OWNER, TAG_REASON
from harness.track.view import VIEW_TAG, view_state

if TYPE_CHECKING:
    from mlflow.entities import Run

logger = logging.getLogger(__name__)

_REFUSALS = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "INVALID_STATE", "RESOURCE_DOES_NOT_EXIST"}
"""MLflow's error codes for requests that it will never accept."""


class TrackerUnreachableError(Exception):
    """The tracker did not accept a request now; it may do so later."""


class Deliverer:
    """Delivers everything in an outbox. The caller holds the outbox's lock."""

    def __init__(self, uri: str, outbox: Outbox, on_progress: Callable[[], None] = lambda: None) -> None:
        """Takes the tracker's address, the outbox, and a callback for each document that was delivered and removed."""
        self._uri = uri
        self._on_progress = on_progress
        self._outbox = outbox
        self._rejected: set[Path] = set()
        """Paths of documents that MLflow will never accept."""
        self._forget()

    def pump(self) -> None:
        """Delivers all documents and spools, and removes the documents that will not change any more.

        Raises:
            TrackerUnreachableError: If the tracker does not accept something; call again later.
        """
        by_key: dict[str, list[Document]] = {}
        for document in sorted(self._outbox.read(), key=lambda document: document.state.kind == "run"):  # parents first
            by_key.setdefault(document.state.key, []).append(document)
        try:
            for key, documents in by_key.items():
                self._deliver(key, documents)
            for path, keep in self._outbox.sweeps().items():
                self._attempt("a sweep", partial(self._sweep, keep))
                path.unlink(missing_ok=True)
        except TrackerUnreachableError:
            self._forget()
            raise

    def _forget(self) -> None:
        """Forgets what MLflow holds: it is unknown what the interrupted request stored, or in which server."""
        self._runs: dict[str, LiveRun] = {}
        self._experiments: dict[str, str] = {}
        self._parents: dict[str, str | None] = {}
        self._views: dict[str, str] = {}

    def _deliver(self, key: str, documents: Sequence[Document]) -> None:
        """Brings a run to the state that its processes' documents give it."""
        accepted = [document for document in documents if document.path not in self._rejected]
        what = f"the run {documents[-1].state.name}"
        if accepted and not self._attempt(what, partial(self._reconcile, accepted)):
            self._rejected.update(document.path for document in accepted)
            self._runs.pop(key, None)
        for document in sorted(documents, key=_rank):  # the one that decides is removed last
            if document.settled:
                document.path.unlink(missing_ok=True)
                self._on_progress()
        if all(document.settled for document in documents):
            self._runs.pop(key, None)

    def _attempt(self, what: str, action: Callable[[], None]) -> bool:
        """Runs an action against MLflow; logs and returns False if MLflow will never accept it."""
        load_mlflow()
        from mlflow.exceptions import MlflowException

        try:
            action()
        except MlflowException as error:
            if error.error_code in _REFUSALS:
                logger.error("the tracker rejected %s: %s", what, error)
                return False
            raise TrackerUnreachableError(_why(error)) from error
        except Exception as error:
            raise TrackerUnreachableError(_why(error)) from error
        return True

    def _reconcile(self, documents: Sequence[Document]) -> None:
        chosen = max(documents, key=_rank)
        state = chosen.state
        experiment_id = self._experiment(state.experiment)
        tags = {**state.tags, TAG_KEY: state.key, TAG_KIND: state.kind, TAG_OWNER: str(chosen.owner)}
        if state.parent is not None and (parent_id := self._parent_id(state.parent, experiment_id)):
            tags[PARENT] = parent_id
        client, run = connect(self._uri), self._runs.get(state.key)
        if run is None:
            found = self._find(state.key, experiment_id)
            run = LiveRun.of(found or client.create_run(experiment_id, state.started_ms, tags, state.name))
            self._runs[state.key] = run
        if state.kind != "run":
            self._parents[state.key] = run.run_id
            self._show(experiment_id, view_state(state.view, run.run_id))
        elif run.status == "FINISHED":  # it never changes
            return
        for document in documents:
            run.follow(document.state.spools)
        run.bring(client, state, tags)

    def _show(self, experiment_id: str, view: str) -> None:
        """Has MLflow's page of the experiment show a table's or a study's runs."""
        if self._views.get(experiment_id) != view:
            connect(self._uri).set_experiment_tag(experiment_id, VIEW_TAG, view)
            self._views[experiment_id] = view

    def _sweep(self, keep: Sequence[str]) -> None:
        """Marks runs as KILLED that a dead process of this machine left RUNNING, and that no living one continues."""
        from mlflow.entities import RunTag

        client, here = connect(self._uri), Owner.this_process()
        pattern = quoted(f"{here.host}/%")
        orphans = f"attributes.status = 'RUNNING' AND tags.`{TAG_OWNER}` LIKE {pattern}"
        for run in list(search_all_runs(self._uri, our_experiments(self._uri), orphans)):
            owner = Owner.parse(run.data.tags[TAG_OWNER])
            if owner is not None and owner.is_dead() and run.data.tags.get(TAG_KEY) not in keep:
                reason = RunTag(TAG_REASON, f"its process ({owner.pid} on {owner.host}) died")
                client.log_batch(run.info.run_id, tags=[reason])
                client.set_terminated(run.info.run_id, "KILLED")

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

    def _parent_id(self, key: str, experiment_id: str) -> str | None:
        if key not in self._parents:
            found = self._find(key, experiment_id)
            self._parents[key] = None if found is None else found.info.run_id
        return self._parents[key]


def _rank(document: Document) -> tuple[int, int, str]:
    """Orders the documents of one run by what decides its state.

    What has finished once has finished; a run that some process continues has neither failed nor been killed; a process
    that is dead knows least.
    """
    state = document.state
    what = 3 if state.status == "FINISHED" else 2 if not document.settled else 1 if state.ended else 0
    return what, state.ended_ms, document.path.name


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
