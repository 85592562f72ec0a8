"""Removes a table, or gives it another name: in the tracker, in the store and among the reports."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import InputError, did_you_mean

_SENSITIVITY = "-sensitivity"
"""Behind a table's name: what `harness sensitivity` keeps of it."""


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
    from harness.track import list_tables, runs_of

    held, kept = list_tables(), open_store(store)
    entries = [entry for entry in held if entry.table == name and profile in (None, entry.profile)]
    remembered = kept.tables()
    labels = [label for own in (name, f"{name}{_SENSITIVITY}") for label in _labels_of(own, profile, remembered)]
    if not entries and not labels:
        raise _unknown(name, {*(entry.table for entry in held), *map(_name_of, remembered)})
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


def rename_table(old: str, new: str, store: str) -> None:
    """Gives a table another name in the tracker and the store; ``report NEW`` writes its reports under it.

    Raises:
        TrackerError: The tracker cannot be asked.
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
    remembered = kept.tables()
    for label in _labels_of(old, None, remembered):
        kept.remember(f"{new}{label[len(old) :]}", remembered[label])
        kept.forget(label)


def _unknown(name: str, known: Iterable[str]) -> InputError:
    names = sorted(known)
    return InputError(f'no table "{name}" is known; {did_you_mean(name, names) if names else "none is"}')


def _labels_of(name: str, profile: str | None, labels: Iterable[str]) -> list[str]:
    """The labels of a table are its name with the profile and the data set: ``table1 (demo, market1501)``."""
    start = f"{name} (" if profile is None else f"{name} ({profile}, "
    return [label for label in labels if label.startswith(start) and _name_of(label) == name]


def _name_of(label: str) -> str:
    return label.rpartition(" (")[0]


def _reports_of(name: str, root: Path) -> list[Path]:
    from harness.api import DEFAULT_REPORTS
    from harness.api.outputs import files_of, tracked_by_git

    folders = (DEFAULT_REPORTS, root / "reports")
    names = (name, f"{name}{_SENSITIVITY}")
    tracked = {Path(path) for folder in folders for own in names for path in tracked_by_git(folder, own)}
    found = (path for folder in folders for own in (name, f"{name}{_SENSITIVITY}") for path in files_of(folder, own))
    return [path for path in found if path not in tracked]
