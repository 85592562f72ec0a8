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

import errno
import hashlib
import json
import logging
import os
import platform
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from harness.errors import InputError
from harness.plan.stage import Stage

MANIFEST = "manifest.json"
CHECKPOINTS = "checkpoints"
"""A stage's folder for what only a resumed stage needs."""
ERROR = "error.txt"
"""The traceback of a stage that failed last time."""

_FORMAT = 1
_CHUNK_BYTES = 1 << 20
_LIBRARIES = ("torch", "torchvision", "timm", "numpy", "scipy", "pillow")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST})

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


@dataclass(frozen=True)
class VersionDifference:
    """A library that finished stages ran with in another version than the installed one."""

    library: str
    then: str
    now: str
    stages: int

    def __str__(self) -> str:
        made = "1 cached stage was" if self.stages == 1 else f"{self.stages} cached stages were"
        return f"{made} made with {self.library} {self.then}; {self.now} is installed now"


class Store:
    """Finished stages, unfinished ones and their locks, under one root folder that any number of processes share.

    Args:
        root: The store's folder; made when something is first written to it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._told: set[str] = set()

    def __repr__(self) -> str:
        return f"Store({str(self.root)!r})"

    def folder(self, fingerprint: str) -> Path:
        """Where a stage's files live; not necessarily there yet."""
        return self.root / "stages" / fingerprint[:2] / fingerprint

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
        folder = self.folder(fingerprint)
        for name, kept in manifest["files"].items():
            if _checksum(folder / name) != kept["blake2b"]:
                return f"{folder / name} is damaged: its checksum differs from the manifest's"
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
        installed = library_versions()
        counted = Counter(
            (library, then, installed[library])
            for fingerprint in fingerprints
            for library, then in self.versions(fingerprint).items()
            if library in installed and then != installed[library]
        )
        return tuple(VersionDifference(*difference, stages) for difference, stages in sorted(counted.items()))

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
            "format": _FORMAT,
            "stage": {**vars(stage), "settings": dict(stage.settings)},
            "result": dict(result),
            "versions": library_versions(),
        }
        json.dumps(body)  # a result that is none shows before anything is written
        with writing_to(folder):
            files = {path.relative_to(folder).as_posix(): _sync(path) for path in _products(folder)}
            content = json.dumps({**body, "files": files}, sort_keys=True)
            checksum = hashlib.blake2b(content.encode(), digest_size=16).hexdigest()
            _replace(folder / MANIFEST, json.dumps({"checksum": checksum, "content": content}))
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
        folder = self.root / "tables"
        with writing_to(folder):
            folder.mkdir(parents=True, exist_ok=True)
            _replace(self._table_file(table), json.dumps({"table": table, "stages": sorted(set(fingerprints))}))

    def forget(self, table: str) -> None:
        """Drops what was recorded for a table; its stages become collectable unless another table uses them."""
        with writing_to(self.root / "tables"):
            self._table_file(table).unlink(missing_ok=True)

    def tables(self) -> dict[str, frozenset[str]]:
        """The stages that each remembered table uses.

        Raises:
            InputError: If a record is damaged: what it protects is unknown.
        """
        used = {}
        for path in sorted((self.root / "tables").glob("*.json")):
            try:
                record = json.loads(path.read_bytes())
                used[str(record["table"])] = frozenset(record["stages"])
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(
                    f"{path} is damaged ({error}), so that the stages its table uses are unknown; "
                    "delete the file, then run the table again"
                ) from error
        return used

    def drop(self, fingerprint: str) -> bool:
        """Deletes what is kept of a stage; False if a process works on it, which is left alone."""
        folder = self.folder(fingerprint)
        with self.lock(fingerprint) as free, writing_to(folder):
            if free and folder.exists():
                (folder / MANIFEST).unlink(missing_ok=True)  # first: half a deletion is never complete
                shutil.rmtree(folder)
        return free

    def list_entries(self) -> tuple[Entry, ...]:
        """Everything that the store holds, by fingerprint."""
        used = self.tables()
        return tuple(self._entry(path, used) for path in sorted((self.root / "stages").glob("??/*")) if path.is_dir())

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

    def _entry(self, folder: Path, used: Mapping[str, frozenset[str]]) -> Entry:
        manifest, damage = self._read(folder.name)
        return Entry(
            fingerprint=folder.name,
            folder=folder,
            stage=Stage(**manifest["stage"]) if manifest else None,
            result=manifest["result"] if manifest else None,
            damage=damage,
            size_bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
            tables=tuple(table for table, stages in used.items() if folder.name in stages),
        )

    def _read(self, fingerprint: str) -> tuple[dict[str, Any] | None, str]:
        """A complete stage's manifest, or None and, if the stage was complete once, what is wrong with it."""
        folder = self.folder(fingerprint)
        path = folder / MANIFEST
        try:
            outer = json.loads(path.read_bytes())
            content = outer["content"].encode()
            if hashlib.blake2b(content, digest_size=16).hexdigest() != outer["checksum"]:
                return None, f"{path} is damaged: its checksum differs"
            manifest: dict[str, Any] = json.loads(content)
        except (FileNotFoundError, NotADirectoryError):
            return None, ""
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return None, f"{path} is damaged: {error}"
        if manifest["format"] != _FORMAT:
            return None, f"{path} has format {manifest['format']}; this version reads {_FORMAT}"
        if manifest["stage"]["fingerprint"] != fingerprint:
            return None, f"{path} is of another stage: {manifest['stage']['fingerprint']}"
        for name, kept in manifest["files"].items():
            size = _size(folder / name)
            if size != kept["bytes"]:
                found = "missing" if size is None else f"{size} bytes"
                return None, f"{folder / name} is damaged: found {found}, expected {kept['bytes']} bytes"
        return manifest, ""

    def _table_file(self, table: str) -> Path:
        readable = "".join(letter if letter.isalnum() else "-" for letter in table)[:60]
        return self.root / "tables" / f"{readable}-{hashlib.blake2b(table.encode(), digest_size=4).hexdigest()}.json"


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Turns a full disk and a folder that cannot be written to into an ``InputError`` that says what to do."""
    try:
        yield
    except OSError as error:
        told = tell_os_error(error, folder)
        if told is None:
            raise
        raise InputError(told) from error


def tell_os_error(error: OSError, folder: Path) -> str | None:
    """What to do about a full or unwritable disk; None for any other error."""
    place = error.filename or folder
    if error.errno in _FULL:
        return (
            f"{place}: {error.strerror}: no more can be written. Free space (python -m harness cache gc), or name a "
            "store on another disk, then run the same command: it goes on where it was"
        )
    if error.errno in _FORBIDDEN:
        return f"{place}: {error.strerror}: expected a folder that can be written to; name another store, or mend it"
    if error.errno == errno.ENOSYS:
        return f"{place}: this file system has no file locks, which the store needs; name a store on another disk"
    return None


@lru_cache(maxsize=1)
def library_versions() -> dict[str, str]:
    """The versions of Python and of the libraries that a result may depend on."""
    versions = {"python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            versions[library] = "not installed"
    return versions


def _products(folder: Path) -> list[Path]:
    """The files that a finished stage keeps."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.suffix != ".tmp"
        and path.relative_to(folder).parts[0] not in (CHECKPOINTS, ERROR, MANIFEST)
    )


def _sync(path: Path) -> dict[str, Any]:
    """Makes a file's contents durable; its size and checksum."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return {"bytes": path.stat().st_size, "blake2b": _checksum(path)}


def _checksum(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _replace(path: Path, text: str) -> None:
    """Writes a file aside, syncs it, and renames it into place, so that it is there whole or not at all."""
    aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with aside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
