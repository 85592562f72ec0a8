"""The artifact store: one folder for each stage, whole or not there at all.

Owns the layout, completeness, locks and what may be deleted. A stage is complete because its manifest, with the size
and checksum of every file, was synced and renamed into place last. Refuses knowing what a stage computes; nothing
depends on the clock.

Layout under the root::

    stages/ab/abcdef.../manifest.json   the result, and what the folder must hold
    stages/ab/abcdef.../checkpoints/    gone once the stage is complete
    locks/abcdef....lock                held while a process works on the stage; the kernel frees it at a kill
    tables/NAME-....json                which table uses which stages
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from harness.errors import InputError
from harness.execute.disk import bytes_of, writing_to
from harness.execute.manifest import (
    CHECKPOINTS,
    ERROR,
    MANIFEST,
    DamagedError,
    Manifest,
    checksum_of,
    products,
    read_manifest,
    seal_manifest,
)
from harness.execute.versions import VersionDifference, differences_from, library_versions
from harness.files import regular_file, replace_text
from harness.plan.stage import Stage

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """What the store holds of one stage."""

    fingerprint: str
    folder: Path
    stage: Stage | None
    """None unless the entry is complete."""
    result: Mapping[str, Any] | None
    damage: str
    """What is wrong with an entry that was complete once; empty for a whole one and for an unfinished one."""
    size_bytes: int
    tables: tuple[str, ...]
    """The tables that use it."""

    @property
    def state(self) -> str:
        """``complete``, ``damaged`` or ``unfinished``."""
        return "damaged" if self.damage else "complete" if self.stage else "unfinished"


@dataclass(frozen=True)
class Collected:
    """What a collection deleted (or would delete)."""

    entries: tuple[Entry, ...]
    busy: tuple[Entry, ...]
    """Unused entries left alone since a process works on them."""

    @property
    def size_bytes(self) -> int:
        """Bytes that the deleted entries took."""
        return sum(entry.size_bytes for entry in self.entries)


class Store:
    """Finished stages, unfinished ones and their locks, under one root folder that any number of processes share.

    Args:
        root: The store's folder; made when something is first written to it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._told: set[str] = set()
        self._here: set[tuple[str, str]] = set()
        """Files of complete stages that are here, with their checksums compared."""

    def __repr__(self) -> str:
        return f"Store({str(self.root)!r})"

    @property
    def address(self) -> str:
        """What ``open_store`` finds the same store by, for processes and for people."""
        return str(self.root)

    def folder(self, fingerprint: str) -> Path:
        """Where a stage is worked on, on this machine; not necessarily there yet. What is finished: see ``fetch``."""
        return self.root / "stages" / fingerprint[:2] / fingerprint

    def fetch(self, fingerprint: str, names: Iterable[str] | None = None) -> Path:
        """The folder with a complete stage's files on this machine, brought here if need be, checksums compared.

        Args:
            fingerprint: A complete stage.
            names: The files that are wanted, as far as the stage has them; default: all.

        Raises:
            DamagedError: If a file is damaged; the stage then counts as not done.
            InputError: Of a store elsewhere, if its address does not answer, or the disk is full.
            KeyError: If the stage is not complete.
        """
        manifest, _ = self._read(fingerprint)
        if manifest is None:
            raise KeyError(fingerprint)
        for name in manifest["files"] if names is None else manifest["files"].keys() & set(names):
            if (fingerprint, name) not in self._here:
                self._bring_whole(fingerprint, name, manifest["files"][name]["blake2b"])
                self._here.add((fingerprint, name))
        return self.folder(fingerprint)

    def follow(self, fingerprint: str, name: str) -> Path:
        """Where a file that grows while the stage is worked on can be read, wherever that is; now and then renewed."""
        return self.folder(fingerprint) / name

    def completion_lookup(self) -> Callable[[str], bool]:
        """What tells which stages are complete just now; made for asking for many at once."""
        return self.is_complete

    def check_lock(self, fingerprint: str) -> None:
        """Called now and then by whoever works on a stage, in its own thread: tells what went wrong beside the work.

        Raises:
            StageTakenError: If the stage is in another machine's hands by now.
        """

    def publish(self, path: Path) -> None:
        """Lets all who use the store see a file of its root (see ``fetch_published``), as it is now."""

    def fetch_published(self, folder: str) -> Path:
        """A folder of the root, with what was shared there."""
        return self.root / folder

    def is_complete(self, fingerprint: str) -> bool:
        """Whether the stage's result is there: its manifest is whole, its files exist and have their sizes.

        A damaged entry counts as absent, and a warning names what is wrong with it.
        """
        manifest, damage = self._read(fingerprint)
        if damage and damage not in self._told:
            self._told.add(damage)
            _log.warning("%s; the stage counts as not done", damage)
        return manifest is not None

    def verify(self, fingerprint: str) -> str:
        """What is wrong with a finished stage, every checksum compared; empty if nothing is, or if it is unfinished."""
        manifest, damage = self._read(fingerprint)
        if manifest is None:
            return damage
        for name, kept in manifest["files"].items():
            if self._checksum(fingerprint, name) != kept["blake2b"]:
                return f"{self._place(fingerprint)}/{name} is damaged: its checksum differs from the manifest's"
        return ""

    def result(self, fingerprint: str) -> dict[str, Any]:
        """The result of a complete stage.

        Raises:
            KeyError: If the stage is not complete.
        """
        manifest, _ = self._read(fingerprint)
        if manifest is None:
            raise KeyError(fingerprint)
        result: dict[str, Any] = manifest["result"]
        return result

    def versions(self, fingerprint: str) -> dict[str, str]:
        """The versions of Python and the libraries that a complete stage ran with."""
        manifest, _ = self._read(fingerprint)
        return dict(manifest["versions"]) if manifest else {}

    def version_differences(self, fingerprints: Iterable[str]) -> tuple[VersionDifference, ...]:
        """How the libraries that complete stages ran with differ from those installed now, each difference once."""
        return differences_from(library_versions(), (self.versions(fingerprint) for fingerprint in fingerprints))

    def begin(self, fingerprint: str) -> Path:
        """Makes a stage's folder ready to work in: what a damaged entry left is dropped, checkpoints stay.

        Call it with the stage's lock held.
        """
        folder = self.folder(fingerprint)
        with writing_to(folder):
            if (folder / MANIFEST).exists() and not self.is_complete(fingerprint):
                shutil.rmtree(folder)
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def finish(self, stage: Stage, result: Mapping[str, Any]) -> None:
        """Makes a stage complete: syncs its files, puts the manifest in place last, then drops the checkpoints.

        Everything in the folder is kept but ``checkpoints/``, ``error.txt`` and ``*.tmp``. Call it with the stage's
        lock held.

        Raises:
            TypeError: If the result is not JSON-able.
            InputError: If the folder cannot be written to, or the disk is full.
        """
        folder = self.folder(stage.fingerprint)
        body = {
            "stage": {**vars(stage), "settings": dict(stage.settings)},
            "result": dict(result),
            "versions": library_versions(),
        }
        json.dumps(body)  # a result that is none shows before anything is written
        with writing_to(folder):
            files = {path.relative_to(folder).as_posix(): _sync(path) for path in products(folder)}
            replace_text(folder / MANIFEST, seal_manifest({**body, "files": files}))
        self.sweep(stage.fingerprint)

    def sweep(self, fingerprint: str) -> None:
        """Drops what a finished stage no longer needs; a process killed between manifest and sweep left it behind."""
        folder = self.folder(fingerprint)
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
        for path in (folder / ERROR, *folder.glob("*.tmp")):
            path.unlink(missing_ok=True)

    @contextmanager
    def lock(self, fingerprint: str) -> Iterator[bool]:
        """Tries to take a stage's lock, without waiting; whether it was free. Released on leaving, and by a kill.

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
        """Records which stages a table uses, in the place of what was recorded for it before.

        Args:
            table: What tells tables apart: name, profile and data set.
            fingerprints: All of the table's stages, also those that this process does not run.
        """
        self._keep_record(_record_name(table), json.dumps({"table": table, "stages": sorted(set(fingerprints))}))

    def forget(self, table: str) -> None:
        """Drops what was recorded for a table; its stages become collectable unless another table uses them."""
        self._drop_record(_record_name(table))

    def tables(self) -> dict[str, frozenset[str]]:
        """The stages that each remembered table uses.

        Raises:
            InputError: If a record is damaged: what it protects is unknown.
        """
        used = {}
        for place, content in self._records():
            try:
                record = json.loads(content)
                used[str(record["table"])] = frozenset(record["stages"])
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(_unknown_use(place, error)) from error
        return used

    def drop(self, fingerprint: str) -> bool:
        """Deletes what is kept of a stage; False if a process works on it, which is left alone."""
        with self.lock(fingerprint) as free:
            if free:
                self._delete(fingerprint)
        return free

    def list_entries(self) -> tuple[Entry, ...]:
        """Everything that the store holds, by fingerprint."""
        used = self.tables()
        return tuple(self._entry(fingerprint, size, used) for fingerprint, size in sorted(self._sizes()))

    def finished_stages(self) -> Iterator[Stage]:
        """The complete stages, in no order."""
        for fingerprint in self._fingerprints():
            manifest, _ = self._read(fingerprint)
            if manifest is not None:
                yield _stage_of(manifest)

    def collect(self, keep: Iterable[str] = (), *, dry_run: bool = False) -> Collected:
        """Deletes the entries that no remembered table uses and that are not in ``keep``.

        An entry that a process works on is left alone. ``dry_run`` deletes nothing and tells what would go.
        """
        kept = set(keep)
        deleted: list[Entry] = []
        busy: list[Entry] = []
        for entry in self.list_entries():
            if entry.tables or entry.fingerprint in kept:
                continue
            (deleted if dry_run or self.drop(entry.fingerprint) else busy).append(entry)
        return Collected(tuple(deleted), tuple(busy))

    def _entry(self, fingerprint: str, size_bytes: int, used: Mapping[str, frozenset[str]]) -> Entry:
        manifest, damage = self._read(fingerprint)
        return Entry(
            fingerprint=fingerprint,
            folder=self.folder(fingerprint),
            stage=_stage_of(manifest) if manifest else None,
            result=manifest["result"] if manifest else None,
            damage=damage,
            size_bytes=size_bytes,
            tables=tuple(table for table, stages in used.items() if fingerprint in stages),
        )

    # What a store elsewhere does in its own way.

    def _read(self, fingerprint: str) -> tuple[Manifest | None, str]:
        """A complete stage's manifest, or None and, if the stage was complete once, what is wrong with it."""
        folder = self.folder(fingerprint)
        try:
            text = regular_file(folder / MANIFEST).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None, ""
        except OSError as error:
            return None, f"{folder / MANIFEST} is damaged: {error.strerror}"
        return read_manifest(fingerprint, str(folder), text, lambda name: _size(folder / name))

    def _bring_whole(self, fingerprint: str, name: str, checksum: str) -> None:
        """Sees to it that a file of a complete stage is here and whole; drops the stage if it cannot be."""
        if self._checksum(fingerprint, name) == checksum:
            return
        with suppress(InputError):  # where nothing can be written, it stays
            self.drop(fingerprint)
        raise DamagedError(f"{self._place(fingerprint)}/{name}", "its checksum differs from the manifest's")

    def _checksum(self, fingerprint: str, name: str) -> str:
        return checksum_of(self.folder(fingerprint) / name)

    def _place(self, fingerprint: str) -> str:
        """Where a complete stage lies, for people."""
        return str(self.folder(fingerprint))

    def _sizes(self) -> Iterator[tuple[str, int]]:
        """Every stage that there is something of, and its bytes."""
        for folder in (self.root / "stages").glob("??/*"):
            if folder.is_dir():
                yield folder.name, bytes_of(folder)

    def _fingerprints(self) -> Iterator[str]:
        """Every stage that there is something of."""
        return (folder.name for folder in (self.root / "stages").glob("??/*") if folder.is_dir())

    def _delete(self, fingerprint: str) -> None:
        folder = self.folder(fingerprint)
        with writing_to(folder), suppress(FileNotFoundError):
            (folder / MANIFEST).unlink(missing_ok=True)  # first: half a deletion is never complete
            if folder.exists():
                shutil.rmtree(folder)

    def _keep_record(self, name: str, text: str) -> None:
        path = self.root / "tables" / name
        with writing_to(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_text(path, text)

    def _drop_record(self, name: str) -> None:
        with writing_to(self.root / "tables"):
            (self.root / "tables" / name).unlink(missing_ok=True)

    def _records(self) -> Iterator[tuple[str, bytes]]:
        """The place and the content of every table's record."""
        for path in sorted((self.root / "tables").glob("*.json")):
            try:
                content = regular_file(path).read_bytes()
            except OSError as error:
                raise InputError(_unknown_use(str(path), error.strerror)) from error
            yield str(path), content


def _stage_of(manifest: Manifest) -> Stage:
    return Stage(**{**manifest["stage"], "code": tuple(manifest["stage"]["code"])})


def _unknown_use(place: str, found: object) -> str:
    told = f"{place} is damaged ({found}), so that the stages its table uses are unknown"
    return f"{told}; delete it, then run the table again"


def _record_name(table: str) -> str:
    """The name of the file that remembers a table."""
    readable = "".join(letter if letter.isalnum() else "-" for letter in table)[:60]
    return f"{readable}-{hashlib.blake2b(table.encode(), digest_size=4).hexdigest()}.json"


def _sync(path: Path) -> dict[str, Any]:
    """Makes a file's contents durable; its size and checksum."""
    with regular_file(path).open("rb") as file:
        os.fsync(file.fileno())
    return {"bytes": path.stat().st_size, "blake2b": checksum_of(path)}


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None
