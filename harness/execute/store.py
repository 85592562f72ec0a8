"""The artifact store: one folder per stage, complete or absent.

Owns the layout, completeness, locks, and what may be deleted. A stage is complete once its manifest, with the size and
checksum of every file, is in place: it is written last. Refuses to know what a stage computes; nothing depends on the
clock.

Layout under the root::

    stages/ab/abcdef.../manifest.json   the result, and the files that the folder must have
    stages/ab/abcdef.../checkpoints/    gone once the stage is complete
    locks/abcdef....lock                held while a process runs the stage; the kernel frees it after a kill
    tables/NAME-....json                the stages that a table uses
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from harness.errors import InputError
from harness.execute.archive import Archive, below
from harness.execute.disk import writing_to
from harness.execute.entries import Collected, Entry
from harness.execute.manifest import (
    CHECKPOINTS,
    ERROR,
    MANIFEST,
    DamagedError,
    products,
    seal_manifest,
    stage_of,
    sync_product,
)
from harness.execute.versions import VersionDifference, differences_from_installed, library_versions
from harness.files import replace_text
from harness.plan.stage import Stage

_log = logging.getLogger(__name__)


class Store:
    """Finished and unfinished stages and their locks, in one folder that any number of processes share.

    Args:
        root: The store's folder; created by the first write.
        archive: Where finished stages are; None: in that folder.
    """

    def __init__(self, root: Path, archive: Archive | None = None) -> None:
        self.root = root.absolute()
        self._archive = archive or Archive(self.root)
        self._warned: set[str] = set()

    def __repr__(self) -> str:
        return f"Store({str(self.root)!r})"

    @property
    def address(self) -> str:
        """The address that ``open_store`` opens the same store by."""
        return str(self.root)

    def folder(self, fingerprint: str) -> Path:
        """Returns the local folder in which a stage runs, which may not exist yet; for results, use ``fetch``."""
        return self.root / below(fingerprint)

    def fetch(self, fingerprint: str, names: Iterable[str] | None = None) -> Path:
        """Returns the local folder of a complete stage, its files downloaded if need be and their checksums verified.

        Args:
            fingerprint: A complete stage.
            names: The files to fetch, those that the stage does not have ignored; default: all.

        Raises:
            DamagedError: If a file is damaged; the stage then counts as not done.
            InputError: If a remote store does not answer, or the disk is full.
            KeyError: If the stage is not complete.
        """
        manifest, _ = self._archive.read(fingerprint)
        if manifest is None:
            raise KeyError(fingerprint)
        for name in manifest["files"] if names is None else manifest["files"].keys() & set(names):
            if (fingerprint, name) not in self._archive.verified:
                if found := self._archive.fetch(fingerprint, name, manifest["files"][name]["blake2b"]):
                    with suppress(InputError):  # a store that cannot be written to keeps it
                        self.drop(fingerprint)
                    raise DamagedError(f"{self._archive.place(fingerprint)}/{name}", found)
                self._archive.verified.add((fingerprint, name))
        return self.folder(fingerprint)

    def follow(self, fingerprint: str, name: str) -> Path:
        """Returns the local path of a file that grows while the stage runs, here or on another machine."""
        return self.folder(fingerprint) / name

    def completion_lookup(self) -> Callable[[str], bool]:
        """Returns a function that looks up whether a stage is complete; the quick way to ask about many."""
        return self.is_complete

    def check_lock(self, fingerprint: str) -> None:
        """Checks that a running stage is still locked by this process, and logs failed transfers; called with progress.

        Raises:
            StageTakenError: If another machine has taken the stage over.
        """

    def publish(self, path: Path) -> None:
        """Makes a file below the root, as it is now, available to all users of the store (``fetch_published``)."""

    def fetch_published(self, folder: str) -> Path:
        """Returns a folder below the root, with the files that were published there."""
        return self.root / folder

    def is_complete(self, fingerprint: str) -> bool:
        """Whether the stage has a result: its manifest is intact, and its files exist with the right sizes.

        A damaged entry counts as absent, with a warning.
        """
        manifest, damage = self._archive.read(fingerprint)
        if damage and damage not in self._warned:
            self._warned.add(damage)
            _log.warning("%s; the stage counts as not done", damage)
        return manifest is not None

    def verify(self, fingerprint: str) -> str:
        """Compares all checksums of a finished stage; returns what is wrong, empty for nothing or if unfinished."""
        manifest, damage = self._archive.read(fingerprint)
        if manifest is None:
            return damage
        for name, kept in manifest["files"].items():
            if self._archive.checksum(fingerprint, name) != kept["blake2b"]:
                return f"{self._archive.place(fingerprint)}/{name} is damaged: its checksum differs from the manifest's"
        return ""

    def result(self, fingerprint: str) -> dict[str, Any]:
        """Returns the result of a complete stage.

        Raises:
            KeyError: If the stage is not complete.
        """
        manifest, _ = self._archive.read(fingerprint)
        if manifest is None:
            raise KeyError(fingerprint)
        result: dict[str, Any] = manifest["result"]
        return result

    def versions(self, fingerprint: str) -> dict[str, str]:
        """Returns the versions of Python and the libraries that a complete stage ran with."""
        manifest, _ = self._archive.read(fingerprint)
        return dict(manifest["versions"]) if manifest else {}

    def version_differences(self, fingerprints: Iterable[str]) -> tuple[VersionDifference, ...]:
        """Returns how the libraries that stages ran with differ from the installed ones, each difference once."""
        return differences_from_installed(self.versions(fingerprint) for fingerprint in fingerprints)

    def begin(self, fingerprint: str) -> Path:
        """Prepares a stage's folder for a run: removes a damaged entry, keeps checkpoints.

        The caller holds the stage's lock.
        """
        folder = self.folder(fingerprint)
        with writing_to(folder):
            if (folder / MANIFEST).exists() and not self.is_complete(fingerprint):
                shutil.rmtree(folder)
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def finish(self, stage: Stage, result: Mapping[str, Any]) -> None:
        """Completes a stage: syncs its files, writes the manifest last, then removes the checkpoints.

        Keeps all files but ``checkpoints/``, ``error.txt`` and ``*.tmp``. The caller holds the stage's lock.

        Raises:
            TypeError: If the result is not JSON-able.
            InputError: If the folder cannot be written to, or the disk is full.
        """
        folder = self.folder(stage.fingerprint)
        body = {
            "stage": {**vars(stage), "settings": dict(stage.settings)},
            "result": dict(result),
            "versions": library_versions(stage.code),
        }
        json.dumps(body)  # raises before anything is written
        with writing_to(folder):
            files = {path.relative_to(folder).as_posix(): sync_product(path) for path in products(folder)}
            replace_text(folder / MANIFEST, seal_manifest({**body, "files": files}))
        self.sweep(stage.fingerprint)

    def sweep(self, fingerprint: str) -> None:
        """Removes what a finished stage no longer needs, also what a process left that was killed before doing so."""
        folder = self.folder(fingerprint)
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
        for path in (folder / ERROR, *folder.glob("*.tmp")):
            path.unlink(missing_ok=True)

    @contextmanager
    def lock(self, fingerprint: str) -> Iterator[bool]:
        """Tries to lock a stage without waiting; yields whether it was free. Unlocks on leaving, and after a kill.

        Raises:
            InputError: If the folder cannot be written to, or its file system has no locks.
        """
        path = self.root / "locks" / f"{fingerprint}.lock"
        lock = FileLock(path, blocking=False, fallback_to_soft=False)
        with writing_to(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(Timeout):
                lock.acquire()
        try:
            yield lock.is_locked
        finally:
            lock.release()

    def remember(self, table: str, fingerprints: Iterable[str]) -> None:
        """Records which stages a table uses, replacing its previous record.

        Args:
            table: Identifies the table: name, profile and data set.
            fingerprints: All stages of the table, also those that this process does not run.
        """
        self._archive.write_record(
            _record_name(table), json.dumps({"table": table, "stages": sorted(set(fingerprints))})
        )

    def forget(self, table: str) -> None:
        """Removes a table's record; its stages can then be collected unless another table uses them."""
        self._archive.delete_record(_record_name(table))

    def tables(self) -> dict[str, frozenset[str]]:
        """Returns the stages that each recorded table uses.

        Raises:
            InputError: If a record is damaged, since the stages that it protects are unknown.
        """
        used = {}
        try:
            for place, content in self._archive.records():
                try:
                    record = json.loads(content)
                    used[str(record["table"])] = frozenset(record["stages"])
                except (ValueError, KeyError, TypeError) as error:
                    raise InputError(_unknown_use(place, error)) from error
        except OSError as error:
            raise InputError(_unknown_use(error.filename, error.strerror)) from error
        return used

    def drop(self, fingerprint: str) -> bool:
        """Deletes a stage; returns False, and keeps it, if a process is running it."""
        with self.lock(fingerprint) as free:
            if free:
                self._archive.delete(fingerprint)
        return free

    def list_entries(self) -> tuple[Entry, ...]:
        """Returns all entries of the store, by fingerprint."""
        entries, used = [], self.tables()
        for fingerprint, size_bytes in sorted(self._archive.sizes()):
            manifest, damage = self._archive.read(fingerprint)
            tables = tuple(table for table, stages in used.items() if fingerprint in stages)
            stage, result = (stage_of(manifest), manifest["result"]) if manifest else (None, None)
            entries.append(Entry(fingerprint, self.folder(fingerprint), stage, result, damage, size_bytes, tables))
        return tuple(entries)

    def finished_stages(self) -> Iterator[Stage]:
        """Yields the complete stages, in no order."""
        for fingerprint in self._archive.fingerprints():
            manifest, _ = self._archive.read(fingerprint)
            if manifest is not None:
                yield stage_of(manifest)

    def collect(self, keep: Iterable[str] = (), *, dry_run: bool = False) -> Collected:
        """Deletes the entries that no recorded table uses and that are not in ``keep``.

        Keeps an entry that a process is running. ``dry_run`` deletes nothing and returns what would go.
        """
        kept = set(keep)
        deleted: list[Entry] = []
        busy: list[Entry] = []
        for entry in self.list_entries():
            if entry.tables or entry.fingerprint in kept:
                continue
            (deleted if dry_run or self.drop(entry.fingerprint) else busy).append(entry)
        return Collected(tuple(deleted), tuple(busy))


def _unknown_use(place: str, found: object) -> str:
    problem = f"{place} is damaged ({found}), so the stages that its table uses are unknown"
    return f"{problem}; delete it, then run the table again"


def _record_name(table: str) -> str:
    """Returns the name of a table's record."""
    readable = "".join(letter if letter.isalnum() else "-" for letter in table)[:60]
    return f"{readable}-{hashlib.blake2b(table.encode(), digest_size=4).hexdigest()}.json"
