"""Logs tables and runs to the tracker without waiting for it.

Every call changes the state that a run should have (``state``), kept in the ``outbox``; a background thread
(``courier``) brings MLflow to it. A tracker that is down delays that and loses nothing.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

from harness.formatting import counted
from harness.names import writable
from harness.track.accepted import (
    MOST_OF_A_PARAM,
    MOST_OF_A_RUN_NAME,
    MOST_OF_A_TAG,
    factor_key,
    fitted,
    key_name,
    row_metric,
    shortened,
)
from harness.track.address import check_address, resolve_uri
from harness.track.courier import Courier, Delivery
from harness.track.fields import dataset_fields, description, now_ms, parent_run, provenance_tags, text_of
from harness.track.outbox import Outbox, older_folders, other_addresses
from harness.track.probe import reach
from harness.track.state import RunState, Status
from harness.track.tags import DESCRIPTION, TAG_PROVENANCE, TAG_REASON
from harness.track.view import study_view, table_view

logger = logging.getLogger(__name__)


class Tracker:
    """Logs tables and runs in the background. One per process.

    Only ``flush`` and ``close`` wait for the tracker. A run is identified by its key: opening a key again, also in
    another process, continues the same run. A finished run never changes. ``open_table`` or ``open_run`` of a key comes
    before any other call with it.

    Args:
        uri: The tracker's address; None: ``MLFLOW_TRACKING_URI``, else ``sqlite:///mlflow.db``.
        outbox: The store's folder for what is not delivered yet.

    Raises:
        TrackerError: If the address is invalid.
    """

    def __init__(self, uri: str | None, outbox: Path) -> None:
        self.uri = resolve_uri(uri)
        check_address(self.uri)
        self._outbox = Outbox(outbox, self.uri)
        self._experiments: dict[str, str] = {}
        """Of every run, by key."""
        self._open: dict[str, tuple[Path, RunState]] = {}
        """The runs that have not ended, by key, with their documents' paths."""
        self._lock = Lock()
        self._courier = Courier(self.uri, self._outbox)
        for address, runs in other_addresses(outbox, self.uri).items():
            waiting = counted(runs, "run")
            logger.warning("%s left for another tracker, %s: set it and run `harness sync`", waiting, address)
        for folder in older_folders(outbox):
            message = "%s: runs of an older version wait there and are not delivered: run the same command again, which"
            logger.warning(f"{message} records them from the store; then delete that folder's *.jsonl files", folder)

    def open_table(
        self,
        key: str,
        *,
        table: str,
        declaration: Mapping[str, Any],
        provenance: Mapping[str, str],
        dataset_source: str = "",
    ) -> None:
        """Opens the parent run of a table, in the experiment of the table's name.

        Args:
            key: Equal for equal tables, of the same declaration, profile, data and code.
            table: The table's name.
            declaration: The matrix as JSON, logged as ``declaration.json``.
            provenance: profile, dataset, dataset_fingerprint, synthetic, commit, device, versions, ... by name.
            dataset_source: Where the data set is, for display.
        """
        state = parent_run(key, "table", table, declaration, provenance, dataset_source)
        self._begin(replace(state, view=table_view(declaration)))

    def open_study(
        self,
        key: str,
        *,
        study: str,
        declaration: Mapping[str, Any],
        provenance: Mapping[str, str],
        metric: str,
        searched: Sequence[str],
        lower_is_better: bool = False,
        dataset_source: str = "",
    ) -> None:
        """Opens the parent run of a study, whose runs are its trials; otherwise like a table.

        Args:
            key: Equal for equal studies.
            study: The study's name.
            declaration: The search as JSON, logged as ``declaration.json``.
            provenance: As for a table.
            metric: The metric that ranks the trials.
            searched: The trials' parameters with the searched values.
            lower_is_better: Whether a lower metric is better.
            dataset_source: Where the data set is, for display.
        """
        state = parent_run(key, "study", study, declaration, provenance, dataset_source)
        self._begin(replace(state, view=study_view(metric, searched, ascending=lower_is_better)))

    def open_run(
        self,
        key: str,
        *,
        table_key: str,
        row: str,
        seed: int,
        name: str,
        factors: Mapping[str, bool | str],
        params: Mapping[str, Any],
        recipe_yaml: str,
        provenance: Mapping[str, str],
        dataset_source: str = "",
    ) -> None:
        """Opens the run of a row under one seed, a child of an open table.

        Each factor becomes a parameter with the value ``on``, ``off`` or its level; other ``params`` should be few:
        they are columns on MLflow's pages. The recipe is logged as ``recipe.yaml``.
        """
        own = {key_name(name): text_of(value) for name, value in params.items()} | {"row": row, "seed": str(seed)}
        values = {
            factor_key(name, own): (level if isinstance(level, str) else "on" if level else "off")
            for name, level in factors.items()
        } | own
        table = self._experiments[table_key]
        kept, whole = fitted(values, "params", MOST_OF_A_PARAM)
        tags, whole_tags = provenance_tags(table, provenance)
        self._begin(
            RunState(
                key=key,
                kind="run",
                experiment=table,
                name=shortened(writable(name), MOST_OF_A_RUN_NAME),
                started_ms=now_ms(),
                parent=table_key,
                params=kept,
                tags=tags,
                texts={"recipe.yaml": writable(recipe_yaml), **whole, **whole_tags},
                dataset=dataset_fields(provenance, dataset_source),
            )
        )

    def deliver(self, key: str, spool: Path, step_offset: int) -> None:
        """Delivers a stage's spool to a run, now and as it grows; ``step_offset`` is added to the spool's steps.

        Call it for a run's stages in their order. Several runs may share a stage; each gets its points.
        """
        followed = (str(spool.absolute()), step_offset)
        self._change(key, lambda state: replace(state, spools=(*state.spools, followed)))

    def finish_run(
        self,
        key: str,
        metrics: Mapping[str, float],
        files: Iterable[Path] = (),
        texts: Mapping[str, str] | None = None,
        provenance: Mapping[str, str] | None = None,
    ) -> None:
        """Ends a run with its final metrics (fractions, and costs) and its files or folders.

        ``provenance`` has what is known only at the end, such as the device.
        """
        tags = {TAG_PROVENANCE + key_name(name): value for name, value in (provenance or {}).items()}
        named = {key_name(name): value for name, value in metrics.items()}
        self._end(key, "FINISHED", metrics=named, files=files, texts=texts, tags=tags)

    def fail_run(self, key: str, reason: str, metrics: Mapping[str, float] | None = None) -> None:
        """Ends a run as failed, with the reason that the table's cell will show."""
        named = {key_name(name): value for name, value in (metrics or {}).items()}
        self._end(key, "FAILED", metrics=named, tags={TAG_REASON: reason})

    def kill_run(self, key: str, reason: str = "interrupted") -> None:
        """Ends a run as killed; opening it again continues it."""
        self._end(key, "KILLED", tags={TAG_REASON: reason})

    def finish_table(
        self,
        key: str,
        *,
        succeeded: bool,
        report: str = "",
        row_metrics: Mapping[tuple[str, str, str], float] | None = None,
        files: Iterable[Path] = (),
        within: Path | None = None,
    ) -> None:
        """Ends a table's parent run; its report (Markdown) becomes the run's description, and ``report.md``.

        ``row_metrics`` are the rows' means ("") and ends of intervals ("low", "high"), by metric, row id and which.
        Files keep their paths relative to ``within``, so that a report finds its figures; without it, their names only.
        """
        texts = {"report.md": report} if report else {}
        tags = {DESCRIPTION: description(report)} if report else {}
        self._end(
            key,
            "FINISHED" if succeeded else "FAILED",
            metrics={row_metric(*name): value for name, value in (row_metrics or {}).items()},
            files=files,
            within=within,
            tags=tags,
            texts=texts,
        )

    def sweep_orphans(self, keep: Collection[str] = ()) -> None:
        """Marks runs as KILLED that dead processes of this machine left RUNNING, except those of these keys.

        ``keep`` are the keys of the current plan's runs, which will be opened and continued.
        """
        self._outbox.request_sweep(keep)
        self._courier.wake()

    def flush(self, patience_s: float = 60.0) -> Delivery:
        """Waits at most ``patience_s`` until the tracker has everything so far, before a read."""
        return self._courier.flush(patience_s)

    def close(self, patience_s: float = 30.0) -> Delivery:
        """Delivers the rest for at most ``patience_s``; what remains stays in the outbox, and the result counts it."""
        for key in list(self._open):
            self.kill_run(key)
        return self._courier.finish(patience_s)

    def _end(
        self,
        key: str,
        status: Status,
        *,
        metrics: Mapping[str, float] | None = None,
        files: Iterable[Path] = (),
        within: Path | None = None,
        tags: Mapping[str, str] | None = None,
        texts: Mapping[str, str] | None = None,
    ) -> None:
        kept, whole = fitted(tags or {}, "tags", MOST_OF_A_TAG)
        whole |= {name: writable(text) for name, text in (texts or {}).items()}
        ending: dict[str, Any] = {
            "status": status,
            "ended_ms": now_ms(),
            "metrics": {name: float(value) for name, value in (metrics or {}).items()},
            "files": tuple(str(path.absolute()) for path in files),
            "within": str(within.absolute()) if within else "",
        }
        self._change(
            key,
            lambda state: replace(state, **ending, tags={**state.tags, **kept}, texts={**state.texts, **whole}),
        )

    def _begin(self, state: RunState) -> None:
        with self._lock:
            self._experiments[state.key] = state.experiment
            path = self._open[state.key][0] if state.key in self._open else self._outbox.new_path()
            self._write(path, state)

    def _change(self, key: str, change: Callable[[RunState], RunState]) -> None:
        if key not in self._experiments:
            raise ValueError(f'the run "{key}" was not opened')
        with self._lock:
            if key in self._open:
                path, state = self._open[key]
                # An end that an interruption kept from the disk is written now.
                self._write(path, state if state.ended else change(state))

    def _write(self, path: Path, state: RunState) -> None:
        self._open[state.key] = path, state
        self._outbox.write(path, state)
        if state.ended:
            del self._open[state.key]
        self._courier.wake()


def sync(uri: str | None, outbox: Path, patience_s: float = 60.0) -> Delivery:
    """Delivers what earlier processes left in the outbox, and marks their unfinished runs as KILLED.

    Raises:
        TrackerError: If the tracker does not answer.
    """
    reach(resolve_uri(uri))
    tracker = Tracker(uri, outbox)
    tracker.sweep_orphans()
    return tracker.close(patience_s)
