"""Lists the tables in the tracker and the store: names, rows, state, and disk space."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from harness.api.labels import label_of, labels_of
from harness.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from harness.track import TableEntry


def held_tables() -> "list[TableEntry]":
    """The newest run of each table and study under each profile, the one that ran last first.

    Raises:
        TrackerError: The tracker cannot be queried.
    """
    from harness.track import list_tables

    newest: dict[tuple[str, str, str, str], TableEntry] = {}
    for entry in list_tables(None, ("table", "study")):
        newest.setdefault((entry.kind, entry.table, entry.profile, entry.dataset), entry)
    return list(newest.values())


def describe_table(name: str, profile: str | None, store: str) -> dict[str, Any]:
    """A table's newest run as plain data: its rows, each with its state under every seed, and its stages on disk.

    Raises:
        TrackerError: The tracker cannot be queried.
        InputError: It holds no such table.
    """
    from harness.execute import open_store
    from harness.track import read_snapshot

    snapshot = read_snapshot(None, name, profile=profile)
    states = {(run.row, run.seed): run for run in snapshot.runs}
    kept = snapshot.provenance.get("profile", ""), snapshot.provenance.get("dataset", "")
    label = label_of(name, *kept)
    stages = [entry for entry in open_store(store).list_entries() if label in entry.tables]
    rows = []
    for row in snapshot.declaration["rows"]:
        seeds = {}
        for seed in sorted({*snapshot.declaration["seeds"], *(key[1] for key in states if key[0] == row["id"])}):
            run = states.get((row["id"], seed))
            seeds[str(seed)] = {"state": run.status if run else "not run", "reason": run.reason if run else ""}
        rows.append({"id": row["id"], "seeds": seeds})
    return {
        "table": name,
        "title": snapshot.declaration.get("title", ""),
        "profile": kept[0],
        "dataset": kept[1],
        "rows": rows,
        "stages": len(stages),
        "bytes": sum(entry.size_bytes for entry in stages),
        "bytes_alone": sum(entry.size_bytes for entry in stages if len(entry.tables) == 1),
    }


def disk_of(store: str) -> dict[str, int]:
    """Returns the bytes that everything takes here: finished stages, caches, data, the default tracker, by name."""
    from harness.execute import bytes_of, open_store
    from harness.track import resolve_uri
    from harness.track.address import sqlite_path
    from harness.track.client import artifact_folder

    root = open_store(store).root
    found = {name: bytes_of(root / folder) for name, folder in _FOLDERS.items()}
    database = sqlite_path(uri := resolve_uri())
    if database is not None:
        found["the tracker"] = bytes_of(database) + bytes_of(artifact_folder(uri))
    return {name: size for name, size in found.items() if size}


_FOLDERS = {"stages": "stages", "decoded images and indexes": "cache", "synthetic data": "data", "reports": "reports"}


def remembered(name: str, known: Mapping[str, object] | Iterable[str]) -> str:
    """The label by which a store remembers a table: the name itself, or the only label of that plain name.

    >>> remembered("smoothing", ["smoothing (demo, market1501)", "study smoothing (demo, market1501)"])
    'smoothing (demo, market1501)'

    Raises:
        InputError: There is none, or there are several.
    """
    labels = list(known)
    if name in labels:
        return name
    found = labels_of(name, None, labels)
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(map(repr, sorted(found)))
        raise InputError(f'--forget: "{name}" is remembered more than once; name one of: {several}')
    known_names = did_you_mean(name, labels) if labels else "the store remembers none"
    raise InputError(f'--forget: no table "{name}" is remembered; {known_names}')
