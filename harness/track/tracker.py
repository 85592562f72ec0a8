"""The tracker's front: what a harness says about its table and runs, without ever waiting for the tracker.

Saying is journalling (``outbox``); one background thread delivers (``delivery``), importing MLflow when there is
something to deliver. A tracker that is down costs nothing but lateness.
"""

import json
import logging
import re
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import unquote

from harness.formatting import counted
from harness.names import writable
from harness.track.accepted import (
    MOST_OF_A_DATASET_NAME,
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
from harness.track.outbox import End, Follow, Kind, Open, Operation, Outbox, Status, Sweep, other_addresses
from harness.track.probe import reach
from harness.track.tags import (
    DECLARATION,
    DESCRIPTION,
    DESCRIPTION_LIMIT,
    TAG_OPENED,
    TAG_PROVENANCE,
    TAG_REASON,
    TAG_TABLE,
)
from harness.track.view import columns_of, study_columns

logger = logging.getLogger(__name__)

_PICTURE = re.compile(r"^!\[(.*)\]\((.*)\)$", flags=re.M)
"""A picture on a line of its own, in Markdown: caption and address."""


class Tracker:
    """Takes what is to be tracked, and delivers it beside the training. For one process.

    Nothing but ``flush`` and ``close`` ever waits for the tracker.
    A run is named by its key: opening a key again, in another process too, goes on with the same run. A run that
    finished is never changed. ``open_table`` and ``open_run`` of a key come before anything else about it.

    Args:
        uri: The tracker's address; None: ``MLFLOW_TRACKING_URI``, else ``sqlite:///mlflow.db``.
        outbox: The store's folder for what is not delivered yet.

    Raises:
        TrackerError: Nothing could ever be delivered to this address.
    """

    def __init__(self, uri: str | None, outbox: Path) -> None:
        self.uri = resolve_uri(uri)
        check_address(self.uri)
        self._outbox = Outbox(outbox, self.uri)
        self._journal = self._outbox.new_journal()
        self._experiments: dict[str, str] = {}
        self._lock = Lock()
        self._courier = Courier(self.uri, self._outbox, self._journal.path)
        for address, journals in other_addresses(outbox, self.uri).items():
            waiting = counted(journals, "journal")
            logger.warning("%s left for another tracker, %s: set it and run `harness sync`", waiting, address)

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
            key: Equal for equal tables: of one declaration, profile, data and code.
            table: The table's name.
            declaration: The matrix as JSON, kept whole as ``declaration.json``.
            provenance: profile, dataset, dataset_fingerprint, synthetic, commit, device, versions, ... by name.
            dataset_source: Where the data set lies, for people.
        """
        opened = _parent(key, "table", table, declaration, provenance, dataset_source)
        self._experiments[key] = table
        self._say(replace(opened, columns=columns_of(declaration)))

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
        """Opens the parent run of a study, whose runs are its trials; otherwise as a table.

        Args:
            key: Equal for equal studies.
            study: The study's name.
            declaration: The search as JSON, kept whole as ``declaration.json``.
            provenance: As for a table.
            metric: What the trials are compared by.
            searched: The parameters of the trials that hold the searched values.
            lower_is_better: Of the metric.
            dataset_source: Where the data set lies, for people.
        """
        opened = _parent(key, "study", study, declaration, provenance, dataset_source)
        names = tuple(searched)
        self._experiments[key] = study
        self._say(replace(opened, columns=study_columns(metric, names), searched=names, falling=lower_is_better))

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
        """Opens the run of a row under one seed, below a table that is open.

        Each factor becomes a parameter that reads ``on``, ``off`` or its level; further ``params`` should be few, since
        they are the columns of MLflow's pages. The recipe is kept whole as ``recipe.yaml``.
        """
        own = {key_name(name): _text(value) for name, value in params.items()} | {"row": row, "seed": str(seed)}
        values = {
            factor_key(name, own): (level if isinstance(level, str) else "on" if level else "off")
            for name, level in factors.items()
        } | own
        table = self._experiments[table_key]
        kept, whole = fitted(values, "params", MOST_OF_A_PARAM)
        tags, whole_tags = _provenance_tags(table, provenance)
        self._say(
            Open(
                run=key,
                kind="run",
                experiment=table,
                name=shortened(writable(name), MOST_OF_A_RUN_NAME),
                time_ms=_now_ms(),
                parent=table_key,
                params=kept,
                tags=tags,
                texts={"recipe.yaml": writable(recipe_yaml), **whole, **whole_tags},
                dataset=_dataset(provenance, dataset_source),
            )
        )
        self._experiments[key] = table

    def deliver(self, key: str, spool: Path, step_offset: int) -> None:
        """Delivers a stage's spool to a run, now and as it grows; ``step_offset`` is added to the spool's steps.

        Stages are named in their order. Several runs may share a stage, and each gets its points.
        """
        self._known(key)
        self._say(Follow(key, str(spool.absolute()), step_offset))

    def finish_run(
        self,
        key: str,
        metrics: Mapping[str, float],
        files: Iterable[Path] = (),
        texts: Mapping[str, str] | None = None,
        provenance: Mapping[str, str] | None = None,
    ) -> None:
        """Ends a run with its final metrics (fractions, and costs) and its files, or whole folders of them.

        ``provenance`` is what only the end tells, such as the device.
        """
        tags = {TAG_PROVENANCE + key_name(name): value for name, value in (provenance or {}).items()}
        named = {key_name(name): value for name, value in metrics.items()}
        self._end(key, "FINISHED", metrics=named, files=files, texts=texts, tags=tags)

    def fail_run(self, key: str, reason: str, metrics: Mapping[str, float] | None = None) -> None:
        """Ends a run as failed, with the reason that the table's cell will show."""
        named = {key_name(name): value for name, value in (metrics or {}).items()}
        self._end(key, "FAILED", metrics=named, tags={TAG_REASON: reason})

    def kill_run(self, key: str, reason: str = "interrupted") -> None:
        """Ends a run as killed; opening it again goes on with it."""
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
        Files keep their places below ``within``, so that a report finds its figures; else they stand side by side.
        """
        texts = {"report.md": report} if report else {}
        tags = {DESCRIPTION: _shortened(report)} if report else {}
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
        """Marks KILLED what dead processes of this machine left RUNNING, except the runs of these keys.

        ``keep`` names the present plan's runs, which are going to be opened and continued.
        """
        self._say(Sweep(tuple(keep), _now_ms()))

    def flush(self, patience_s: float = 60.0) -> Delivery:
        """Waits, at most ``patience_s``, until the tracker has all that was said so far, for whoever reads it next."""
        return self._courier.flush(patience_s)

    def close(self, patience_s: float = 30.0) -> Delivery:
        """Delivers the rest, for at most ``patience_s``; what then remains is kept, and told by the result."""
        with self._lock:
            self._journal.close()
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
        self._known(key)
        figures = {name: float(value) for name, value in (metrics or {}).items()}
        kept, whole = fitted(tags or {}, "tags", MOST_OF_A_TAG)
        whole |= {name: writable(text) for name, text in (texts or {}).items()}
        paths = tuple(str(path.absolute()) for path in files)
        root = str(within.absolute()) if within else ""
        self._say(End(key, status, _now_ms(), figures, kept, whole, paths, root))

    def _known(self, key: str) -> None:
        if key not in self._experiments:
            raise ValueError(f'the run "{key}" was not opened')

    def _say(self, operation: Operation) -> None:
        with self._lock:
            self._journal.append(operation)
        self._courier.wake()


def sync(uri: str | None, outbox: Path, patience_s: float = 60.0) -> Delivery:
    """Delivers what earlier processes left in the outbox, and marks KILLED the runs that died with them.

    Raises:
        TrackerError: The tracker cannot be told now.
    """
    reach(resolve_uri(uri))
    tracker = Tracker(uri, outbox)
    tracker.sweep_orphans()
    return tracker.close(patience_s)


def _parent(
    key: str, kind: Kind, name: str, declaration: Mapping[str, Any], provenance: Mapping[str, str], source: str
) -> Open:
    profile = provenance.get("profile", "")
    tags, whole = _provenance_tags(name, provenance)
    return Open(
        run=key,
        kind=kind,
        experiment=name,
        name=shortened(writable(f"{name} · {profile}" if profile else name), MOST_OF_A_RUN_NAME),
        time_ms=_now_ms(),
        tags={**tags, TAG_OPENED: str(_now_ms())},
        texts={DECLARATION: writable(json.dumps(declaration, indent=2, ensure_ascii=False)), **whole},
        dataset=_dataset(provenance, source),
    )


def _provenance_tags(table: str, provenance: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Tags of where a run comes from, and the texts of those that are too long for one."""
    tags = {TAG_PROVENANCE + key_name(name): _text(value) for name, value in provenance.items()}
    if "commit" in provenance:
        tags["mlflow.source.git.commit"] = provenance["commit"]
    return fitted({**tags, TAG_TABLE: table}, "tags", MOST_OF_A_TAG)


def _dataset(provenance: Mapping[str, str], source: str) -> dict[str, str]:
    """The data set as MLflow knows one: by its name and a digest of at most 36 characters."""
    if not provenance.get("dataset"):
        return {}
    return {
        "name": shortened(writable(provenance["dataset"]), MOST_OF_A_DATASET_NAME),
        "digest": provenance.get("dataset_fingerprint", "unknown")[:16],
        "source": writable(source),
    }


def _text(value: Any) -> str:
    """A value as people and queries read it: true, not True.

    >>> _text(True), _text(0.5), _text("resnet50")
    ('true', '0.5', 'resnet50')
    """
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shortened(report: str) -> str:
    """The report, cut at a line where it is longer than a description may be.

    A description cannot show the run's own artifacts: pictures give way to their names.

    >>> _shortened("![A curve](figures/t-curves.svg)")
    '- A curve: the artifact `figures/t-curves.svg`'
    """
    report = _PICTURE.sub(lambda found: f"- {found[1]}: the artifact `{unquote(found[2])}`", report)
    if len(report) <= DESCRIPTION_LIMIT:
        return report
    more = "\n\n… the rest is in the artifact report.md"
    return report[: DESCRIPTION_LIMIT - len(more)].rpartition("\n")[0] + more


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
