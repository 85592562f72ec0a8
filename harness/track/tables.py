"""Removes or renames a table in the tracker, or adds a later result to it."""

from collections.abc import Iterable
from pathlib import Path

from harness.errors import InputError
from harness.track.address import resolve_uri
from harness.track.client import connect, quoted, search_all_runs
from harness.track.probe import asking
from harness.track.reader import TableEntry
from harness.track.tags import PARENT, TAG_PROVENANCE, TAG_TABLE


def runs_of(uri: str | None, entries: Iterable[TableEntry]) -> list[str]:
    """Returns the ids of the parent runs of tables and of all their children, parents last.

    Raises:
        TrackerError: If the tracker does not answer.
    """
    uri, found = resolve_uri(uri), list[str]()
    with asking(uri):
        for entry in entries:
            query = f"tags.`{PARENT}` = {quoted(entry.parent_id)}"
            found += (run.info.run_id for run in search_all_runs(uri, [entry.experiment_id], query))
            found.append(entry.parent_id)
    return found


def remove_runs(uri: str | None, runs: Iterable[str]) -> None:
    """Marks runs as deleted, children first: reports ignore them, and ``mlflow gc`` deletes them for good.

    Raises:
        TrackerError: If the tracker does not answer.
    """
    uri = resolve_uri(uri)
    with asking(uri):
        for run in runs:
            connect(uri).delete_run(run)


def add_result(uri: str | None, entry: TableEntry, name: str, value: str, files: Iterable[Path]) -> None:
    """Adds a result that was made later to a table's parent run: a fact of its provenance, and files as artifacts.

    Raises:
        TrackerError: If the tracker does not answer.
    """
    uri = resolve_uri(uri)
    with asking(uri):
        client = connect(uri)
        for path in files:
            client.log_artifact(entry.parent_id, str(path))
        client.set_tag(entry.parent_id, TAG_PROVENANCE + name, value)


def rename_table(uri: str | None, entries: Iterable[TableEntry], new: str) -> None:
    """Renames a table: its runs and its experiment.

    Raises:
        TrackerError: If the tracker does not answer.
        InputError: If there is an experiment of the new name.
    """
    uri, entries = resolve_uri(uri), list(entries)
    with asking(uri):
        client = connect(uri)
        if client.get_experiment_by_name(new) is not None:
            raise InputError(f'the tracker has an experiment "{new}" already; choose another name')
        for run in runs_of(uri, entries):
            client.set_tag(run, TAG_TABLE, new)
        for entry in entries:
            experiment = client.get_experiment(entry.experiment_id)
            if experiment.name == entry.table:
                client.rename_experiment(entry.experiment_id, new)
