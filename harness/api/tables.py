"""What the tracker and the store hold of tables: their names, their rows and state, and the disk that they take."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from harness.execute import Store
    from harness.track import TableEntry


def held_tables() -> "list[TableEntry]":
    """The newest run of each table and study under each profile, the one that ran last first.

    Raises:
        TrackerError: The tracker cannot be asked.
    """
    from harness.track import list_tables

    newest: dict[tuple[str, str, str, str], TableEntry] = {}
    for entry in list_tables(None, ("table", "study")):
        newest.setdefault((entry.kind, entry.table, entry.profile, entry.dataset), entry)
    return list(newest.values())


def describe_table(name: str, profile: str | None, store: str) -> dict[str, Any]:
    """A table's newest run as plain data: its rows, each with its state under every seed, and its stages on disk.

    Raises:
        TrackerError: The tracker cannot be asked.
        InputError: It holds no such table.
    """
    from harness.execute import open_store
    from harness.track import read_snapshot

    snapshot = read_snapshot(None, name, profile=profile)
    states = {(run.row, run.seed): run for run in snapshot.runs}
    kept = snapshot.provenance.get("profile", ""), snapshot.provenance.get("dataset", "")
    label = f"{name} ({kept[0]}, {kept[1]})"
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
    from harness.execute import open_store
    from harness.track import resolve_uri
    from harness.track.address import sqlite_path
    from harness.track.store import artifact_folder

    root = open_store(store).root
    found = {name: _size(root / folder) for name, folder in _FOLDERS.items()}
    database = sqlite_path(uri := resolve_uri())
    if database is not None:
        found["the tracker"] = _size(database) + _size(artifact_folder(uri))
    return {name: size for name, size in found.items() if size}


_FOLDERS = {"stages": "stages", "decoded images and indexes": "cache", "synthetic data": "data", "reports": "reports"}


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


@dataclass(frozen=True)
class Removal:
    """What goes with a table."""

    runs: Sequence[str]
    """Their ids in the tracker."""
    stages: Mapping[str, int]
    """Fingerprints of the stages that no other table uses, and their bytes."""
    labels: Sequence[str]
    """By which the store remembers the table."""
    files: Sequence[Path]
    """Its reports, without those that git tracks."""


def plan_removal(name: str, profile: str | None, store: str) -> Removal:
    """Returns what ``remove_table`` would remove.

    Raises:
        TrackerError: The tracker cannot be asked.
        InputError: Neither the tracker nor the store knows such a table.
    """
    from harness.execute import open_store
    from harness.track import runs_of

    entries, kept = _entries_of(name, profile), open_store(store)
    labels = _labels_of(name, profile, kept)
    if not entries and not labels:
        known = {*(entry.table for entry in held_tables()), *(label.rpartition(" (")[0] for label in kept.tables())}
        raise _unknown(name, known)
    stages = {
        entry.fingerprint: entry.size_bytes
        for entry in kept.list_entries()
        if entry.tables and set(labels).issuperset(entry.tables)
    }
    others = [entry for entry in held_tables() if entry.table == name and entry not in entries]
    return Removal(runs_of(None, entries), stages, labels, () if others else _reports_of(name, kept.root))


def remove_table(removal: Removal, store: str) -> None:
    """Removes a table's runs from the tracker, the stages that only it uses, and its reports."""
    from harness.execute import open_store
    from harness.track import remove_runs

    kept = open_store(store)
    remove_runs(None, removal.runs)
    for label in removal.labels:
        kept.forget(label)
    for fingerprint in removal.stages:
        kept.drop(fingerprint)
    for file in removal.files:
        file.unlink(missing_ok=True)


def rename(old: str, new: str, store: str) -> None:
    """Gives a table another name in the tracker and the store; ``report NEW`` writes its reports under it.

    Raises:
        TrackerError: The tracker cannot be asked.
        InputError: There is no such table, or the new name is taken.
    """
    from harness.execute import open_store
    from harness.track import rename_table

    kept, entries = open_store(store), _entries_of(old, None)
    if not entries:
        raise _unknown(old, {entry.table for entry in held_tables()})
    rename_table(None, entries, new)
    for label, stages in kept.tables().items():
        if label in _labels_of(old, None, kept):
            kept.remember(f"{new}{label[len(old) :]}", stages)
            kept.forget(label)


def _unknown(name: str, known: Iterable[str]) -> InputError:
    names = sorted(known)
    return InputError(f'no table "{name}" is known; {did_you_mean(name, names) if names else "none is"}')


def _entries_of(name: str, profile: str | None) -> "list[TableEntry]":
    from harness.track import list_tables

    return [entry for entry in list_tables() if entry.table == name and profile in (None, entry.profile)]


def _labels_of(name: str, profile: str | None, store: "Store") -> list[str]:
    """The labels of a table are its name with the profile and the data set: ``table1 (demo, market1501)``."""
    start = f"{name} (" if profile is None else f"{name} ({profile}, "
    return [label for label in store.tables() if label.startswith(start) and label.rpartition(" (")[0] == name]


def _reports_of(name: str, root: Path) -> list[Path]:
    from harness.api import DEFAULT_REPORTS
    from harness.api.outputs import files_of, tracked_by_git

    folders = (DEFAULT_REPORTS, root / "reports")
    tracked = {Path(path) for folder in folders for path in tracked_by_git(folder, name)}
    return [path for folder in folders for path in files_of(folder, name) if path not in tracked]


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
    found = [label for label in labels if label.rpartition(" (")[0] == name]
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(map(repr, sorted(found)))
        raise InputError(f'--forget: "{name}" is remembered more than once; name one of: {several}')
    known_names = did_you_mean(name, labels) if labels else "the store remembers none"
    raise InputError(f'--forget: no table "{name}" is remembered; {known_names}')
