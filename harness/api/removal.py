"""Removes a table, or gives it another name, in the tracker, the store and the reports; drops what no table uses."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.api.labels import labels_of, name_of
from harness.api.tables import remembered
from harness.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from harness.execute import Collected

_SENSITIVITY = "-sensitivity"
"""Behind a table's name: what `harness sensitivity` keeps of it."""


@dataclass(frozen=True)
class Removal:
    """The runs, stages and files that are removed with a table."""

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
        TrackerError: The tracker cannot be queried.
        InputError: Neither the tracker nor the store knows such a table.
    """
    from harness.execute import open_store
    from harness.track import list_tables, runs_of

    held, kept = list_tables(), open_store(store)
    entries = [entry for entry in held if entry.table == name and profile in (None, entry.profile)]
    known = kept.tables()
    labels = [label for own in (name, f"{name}{_SENSITIVITY}") for label in labels_of(own, profile, known)]
    if not entries and not labels:
        raise _unknown(name, {*(entry.table for entry in held), *map(name_of, known)})
    stages = {
        entry.fingerprint: entry.size_bytes
        for entry in kept.list_entries()
        if entry.tables and set(labels).issuperset(entry.tables)
    }
    others = any(entry.table == name and entry not in entries for entry in held)
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


def rename_table(old: str, new: str, store: str) -> bool:
    """Gives a table another name in the tracker and the store; ``report NEW`` writes its reports under it.

    Returns:
        Whether ``sensitivity`` was run on it: run again, it writes its page under the new name and trains nothing.

    Raises:
        TrackerError: The tracker cannot be queried.
        InputError: There is no such table, or the new name is taken.
    """
    from harness.execute import open_store
    from harness.track import list_tables
    from harness.track import rename_table as rename_runs

    held, kept = list_tables(), open_store(store)
    entries = [entry for entry in held if entry.table == old]
    if not entries:
        raise _unknown(old, {entry.table for entry in held})
    rename_runs(None, entries, new)
    known = kept.tables()
    varied = labels_of(f"{old}{_SENSITIVITY}", None, known)
    for label in (*labels_of(old, None, known), *varied):
        kept.remember(f"{new}{label[len(old) :]}", known[label])
        kept.forget(label)
    return bool(varied)


def clean_store(store: str, forget: Iterable[str], *, dry_run: bool) -> "Collected":
    """Deletes the stages that no table uses, or returns which would go.

    Args:
        store: The store's address.
        forget: Tables that count as gone: what they alone use goes too.
        dry_run: Whether to delete nothing.

    Raises:
        InputError: If the store does not remember such a table.
    """
    from harness.execute import Collected, open_store

    kept = open_store(store)
    known = kept.tables()
    dropped = {remembered(table, known) for table in forget}
    if dry_run:
        return Collected(tuple(entry for entry in kept.list_entries() if dropped.issuperset(entry.tables)), ())
    for table in dropped:
        kept.forget(table)
    return kept.collect()


def _unknown(name: str, known: Iterable[str]) -> InputError:
    names = sorted(known)
    return InputError(f'no table "{name}" is known; {did_you_mean(name, names) if names else "none is"}')


def _reports_of(name: str, root: Path) -> list[Path]:
    from harness.api import DEFAULT_REPORTS
    from harness.api.outputs import files_of, tracked_by_git

    folders = (DEFAULT_REPORTS, root / "reports")
    names = (name, f"{name}{_SENSITIVITY}")
    tracked = {Path(path) for folder in folders for own in names for path in tracked_by_git(folder, own)}
    found = (path for folder in folders for own in (name, f"{name}{_SENSITIVITY}") for path in files_of(folder, own))
    return [path for path in found if path not in tracked]
