"""Reads a table's parent run and all its children as one frozen snapshot, with few requests to the tracker."""

import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from harness.errors import InputError, did_you_mean, nearest
from harness.files import regular_file
from harness.track.accepted import is_final, text_of_key, whole_value
from harness.track.address import is_server, resolve_uri, sqlite_path, without_password
from harness.track.client import (
    connect,
    local_folder,
    our_experiments,
    quoted,
    search_all_runs,
)
from harness.track.probe import asking
from harness.track.snapshot import History, RunRecord, Snapshot
from harness.track.tags import (
    BOOKKEEPING,
    DECLARATION,
    PARENT,
    TAG_KEY,
    TAG_KIND,
    TAG_OPENED,
    TAG_PROVENANCE,
    TAG_REASON,
    TAG_TABLE,
)
from harness.track.view import run_page

if TYPE_CHECKING:
    from mlflow.entities import Run

_STATUSES = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "killed"}
_DOWNLOADS_AT_ONCE = 8


@dataclass(frozen=True)
class TableEntry:
    """A table or a study in the tracker: one parent run."""

    table: str
    kind: str
    """table or study."""
    profile: str
    dataset: str
    experiment_id: str
    parent_id: str
    key: str
    status: str
    """finished, failed, killed or running."""
    opened_ms: int
    """When it was last run, Unix time."""
    url: str | None
    commit: str = ""
    dirty: bool = False
    """Whether the code differed from the commit."""
    code: str = ""
    """The digest of the code."""


def list_tables(uri: str | None = None, kinds: Sequence[str] = ("table",)) -> list[TableEntry]:
    """Returns the tracker's tables, the most recently run first; none if the store does not exist.

    Args:
        uri: The tracker's address; None as for ``Tracker``.
        kinds: Of parent runs: ``table``, ``study``.

    Raises:
        TrackerError: If the tracker does not answer.
    """
    uri = resolve_uri(uri)
    with asking(uri):
        path = sqlite_path(uri)
        # Reading must not create an empty store.
        if path is not None and not path.exists():
            return []
        entries = [_entry(uri, run) for kind in kinds for run in _parents(uri, kind)]
    return sorted(entries, key=lambda entry: (-entry.opened_ms, entry.parent_id))


def read_snapshot(
    uri: str | None,
    table: str,
    *,
    parent_id: str | None = None,
    key: str | None = None,
    profile: str | None = None,
    downloads: Path | None = None,
) -> Snapshot:
    """Reads a table's latest run (of a profile, if given), or that of a given parent run, and all its children.

    Runs are ordered by the declaration's rows, then by seed. Their metrics are the final ones, without learning curves.

    Args:
        uri: The tracker's address; None as for ``Tracker``.
        table: The table's name.
        parent_id: The MLflow id of the parent run.
        key: The key under which the table was opened.
        profile: Only runs of this profile.
        downloads: Folder for the artifacts of a remote tracker; those of finished runs are downloaded once. Without it
            such runs have ``artifacts`` None.

    Raises:
        TrackerError: If the tracker does not answer.
        InputError: If the tracker has no such table; names those it has.
    """
    uri = resolve_uri(uri)
    entries = list_tables(uri)
    chosen = [
        entry
        for entry in entries
        if entry.table == table
        and (profile is None or entry.profile == profile)
        and (parent_id is None or entry.parent_id == parent_id)
        and (key is None or entry.key == key)
    ]
    if not chosen:
        raise InputError(_nothing_found(uri, table, parent_id or key, profile, entries))
    with asking(uri):
        parent = connect(uri).get_run(chosen[0].parent_id)
        declaration = _declaration(uri, parent)
        query = f"tags.`{PARENT}` = {quoted(chosen[0].parent_id)}"
        children = list(search_all_runs(uri, [parent.info.experiment_id], query))
        with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
            records = list(pool.map(partial(_record, uri, downloads), children))
    order = {str(row.get("id")): index for index, row in enumerate(declaration.get("rows", []))}
    return Snapshot(
        parent_id=chosen[0].parent_id,
        table=table,
        declaration=declaration,
        provenance=_provenance(parent),
        runs=tuple(sorted(records, key=lambda run: (order.get(run.row, len(order)), run.row, run.seed, run.run_id))),
        parent_url=page_of(uri, parent),
    )


def find_run(uri: str | None, run_id: str) -> tuple[str, str, str]:
    """The whole id of a row's run under a seed, its table and the id of its parent run.

    Args:
        uri: The tracker's address; None as for ``Tracker``.
        run_id: Its MLflow id, or the first characters of it.

    Raises:
        TrackerError: The tracker cannot be queried.
        InputError: None of our runs has the id, or several begin so.
    """
    uri = resolve_uri(uri)
    with asking(uri):
        path = sqlite_path(uri)
        if path is not None and not path.exists():
            raise InputError(f"{path}: no such store; run a table first")
        known = {
            run.info.run_id: run.data.tags
            for run in search_all_runs(uri, our_experiments(uri), f"tags.`{TAG_KIND}` = 'run'")
        }
    found = [one for one in known if one.startswith(run_id)]
    if len(found) > 1:
        raise InputError(f"run {run_id}: {len(found)} runs start with that, such as {found[0]} and {found[1]}")
    if not found:
        near = nearest(run_id, known)
        meant = f"; did you mean {near}?" if near else "; expected a row's run, as a report's provenance lists them"
        raise InputError(f"run {run_id}: {without_password(uri)} holds no such run of a table{meant}")
    tags = known[found[0]]
    return found[0], tags.get(TAG_TABLE, ""), tags.get(PARENT, "")


def read_histories(uri: str | None, run_ids: Iterable[str], metrics: Sequence[str]) -> dict[str, dict[str, History]]:
    """Reads step-wise metrics, by run and metric; one request for each, so ask only for what is shown.

    Raises:
        TrackerError: If the tracker does not answer.
    """
    uri = resolve_uri(uri)

    def read(asked: tuple[str, str]) -> History:
        return tuple(sorted((point.step, point.value) for point in connect(uri).get_metric_history(*asked)))

    asked = [(run_id, name) for run_id in run_ids for name in metrics]
    found: dict[str, dict[str, History]] = {}
    with asking(uri), ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
        for (run_id, name), history in zip(asked, pool.map(read, asked), strict=True):
            found.setdefault(run_id, {})[name] = history
    return found


def status_of(run: "Run") -> str:
    """Returns finished, failed, killed or running."""
    return _STATUSES.get(run.info.status, "running")


def page_of(uri: str, run: "Run") -> str | None:
    """Returns the URL of a run's page; None unless the tracker is a server."""
    return run_page(uri, run.info.experiment_id, run.info.run_id) if is_server(uri) else None


def _parents(uri: str, kind: str) -> "Iterator[Run]":
    return search_all_runs(uri, our_experiments(uri), f"tags.`{TAG_KIND}` = {quoted(kind)}")


def _entry(uri: str, run: "Run") -> TableEntry:
    tags = run.data.tags
    return TableEntry(
        table=tags.get(TAG_TABLE, ""),
        kind=tags.get(TAG_KIND, ""),
        profile=tags.get(TAG_PROVENANCE + "profile", ""),
        dataset=tags.get(TAG_PROVENANCE + "dataset", ""),
        experiment_id=run.info.experiment_id,
        parent_id=run.info.run_id,
        key=tags.get(TAG_KEY, ""),
        status=status_of(run),
        opened_ms=int(tags.get(TAG_OPENED) or run.info.start_time),
        url=page_of(uri, run),
        commit=tags.get(TAG_PROVENANCE + "commit", ""),
        dirty=tags.get(TAG_PROVENANCE + "dirty") == "true",
        code=tags.get(TAG_PROVENANCE + "code_digest", ""),
    )


def _record(uri: str, downloads: Path | None, run: "Run") -> RunRecord:
    data, info, artifacts = run.data, run.info, artifacts_of(uri, run, downloads)
    tags = {name: value for name, value in sorted(data.tags.items()) if name.startswith(TAG_PROVENANCE)}
    return RunRecord(
        run_id=info.run_id,
        row=whole_value(data.params.get("row", ""), artifacts),
        seed=int(data.params.get("seed", 0)),
        status=status_of(run),
        reason=whole_value(data.tags.get(TAG_REASON, ""), artifacts),
        metrics={name: value for name, value in sorted(data.metrics.items()) if is_final(name)},
        params={name: whole_value(value, artifacts) for name, value in sorted(data.params.items())},
        tags={name: whole_value(value, artifacts) for name, value in tags.items()},
        artifacts=artifacts,
        url=page_of(uri, run),
    )


def artifacts_of(uri: str, run: "Run", downloads: Path | None) -> Path | None:
    """Returns the local folder of a run's artifacts, downloaded if there is a folder for that; else None."""
    folder: Path | None = local_folder(run.info.artifact_uri)
    if folder is not None:
        return folder if folder.is_dir() else None
    if downloads is None:
        return None
    # A run's files change until it has finished; the stamp records which state was downloaded.
    target: Path = downloads / run.info.run_id
    stamp = target / f".{run.info.status}-{run.info.end_time}"
    if not stamp.exists():
        target.mkdir(parents=True, exist_ok=True)
        connect(uri).download_artifacts(run.info.run_id, "", str(target))
        stamp.touch()
    return target


def _declaration(uri: str, parent: "Run") -> dict[str, Any]:
    folder = local_folder(parent.info.artifact_uri)
    with TemporaryDirectory() as elsewhere:
        if folder is None:
            folder = Path(elsewhere)
            connect(uri).download_artifacts(parent.info.run_id, DECLARATION, elsewhere)
        try:
            declaration: dict[str, Any] = json.loads(regular_file(folder / DECLARATION).read_text())
        except FileNotFoundError:
            raise InputError(
                f"{folder / DECLARATION}: not found; it belongs to the run {parent.info.run_id} of "
                f"{without_password(uri)}, whose artifacts were moved (then: `harness relocate OLD NEW`) or deleted"
            ) from None
    return declaration


def _provenance(parent: "Run") -> dict[str, str]:
    return {
        text_of_key(name.removeprefix(TAG_PROVENANCE)): value
        for name, value in sorted(parent.data.tags.items())
        if name.startswith(TAG_PROVENANCE) and name not in BOOKKEEPING
    }


def _nothing_found(uri: str, table: str, identity: str | None, profile: str | None, entries: list[TableEntry]) -> str:
    wanted = f'run of the table "{table}"'
    wanted += f' under the profile "{profile}"' if profile else ""
    wanted += f" with the id or key {identity}" if identity else ""
    message = f"{without_password(uri)}: found no {wanted}; "
    names = sorted({entry.table for entry in entries})
    if not names:
        return message + f"it holds no tables yet: make one with `python -m harness run ablations/{table}.yaml`"
    if table not in names:
        return message + did_you_mean(table, names)
    held = ", ".join(f"{entry.profile} ({entry.parent_id})" for entry in entries if entry.table == table)
    return message + f"expected one of: {held}"
