"""The outbox: operations for the tracker, journalled durably before they are delivered.

The store's ``outbox/`` has a folder for each tracker. Every process appends to its own journal, whose first line names
the process and whose other lines are operations with an id. Operations are idempotent, so a journal can be delivered
again from its start at any time; a ``.done`` file beside it lists those that are finished. Owns these files; refuses to
know about MLflow.
"""

import hashlib
import json
import logging
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from harness.files import regular_file, replace_text
from harness.spool import read_lines
from harness.track.address import sqlite_path, without_password
from harness.track.identity import Owner
from harness.track.operations import Close, End, Follow, Open, Operation, Sweep

logger = logging.getLogger(__name__)

_KINDS: Mapping[str, type[Operation]] = {
    "open": Open,
    "follow": Follow,
    "end": End,
    "sweep": Sweep,
    "close": Close,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


class Outbox:
    """The journals for one tracker.

    Args:
        root: The store's ``outbox`` folder.
        uri: The tracker's address; its password, if it has one, is never written.
    """

    def __init__(self, root: Path, uri: str) -> None:
        self.folder = _folder_of(root, uri)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock = self.folder / "lock"
        address, lines = self.folder / "address", _address_lines(root, uri)
        if not address.exists() or _lines_of(address) not in ([], lines):
            replace_text(address, "".join(f"{line}\n" for line in lines))

    def journals(self) -> list["Journal"]:
        """All journals, oldest first."""
        return [Journal(path) for path in sorted(self.folder.glob("*.jsonl"))]

    def new_journal(self) -> "JournalWriter":
        """Creates a journal for the calling process."""
        name = f"{time.time_ns() // 1_000_000:015d}-{os.getpid()}-{secrets.token_hex(4)}.jsonl"
        return JournalWriter(self.folder / name)

    def ended_in(self, path: Path) -> int:
        """Returns the number of runs and tables in a journal that ended but are not fully delivered."""
        return len({operation.run for _, operation in Journal(path).read() if isinstance(operation, End)})

    def undelivered(self) -> int:
        """Returns the number of runs and tables with undelivered operations in journals that will not grow any more."""
        waiting: set[str] = set()
        for journal in self.journals():
            operations = [operation for _, operation in journal.read()]
            if journal.ended():
                waiting.update(operation.run for operation in operations if isinstance(operation, Open | Follow | End))
        return len(waiting)


class JournalWriter:
    """Appends this process's operations; ``append`` returns once no kill can lose them. Not thread-safe.

    The end of a run is synced to disk, with all that precedes it; what a power cut takes of a run in training, the same
    command journals again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._next_id = 0
        # Renamed last: a journal without its owner would be taken for a dead process's.
        aside = path.with_suffix(".new")
        self._file = aside.open("xb")
        self._write({"owner": str(Owner.this_process()), "at": str(path.parent.absolute())}, sync=True)
        aside.rename(path)

    def append(self, operation: Operation) -> None:
        """Journals one operation."""
        values = {item.name: getattr(operation, item.name) for item in fields(operation)}
        number = self._next_id
        self._next_id += 1  # first: after an interrupted write the next operation needs another number
        line = {"op": _NAMES[type(operation)], "id": number, **values}
        self._write(line, sync=isinstance(operation, End | Close))

    def close(self) -> None:
        """Marks the journal as complete."""
        if not self._file.closed:
            self.append(Close())
            self._file.close()

    def _write(self, line: Mapping[str, Any], *, sync: bool) -> None:
        try:
            self._file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
            self._file.flush()
            if sync:
                os.fsync(self._file.fileno())
        except OSError as error:
            error.filename = str(self.path)  # so that a message about a full disk names the file
            raise


class Journal:
    """Reads a journal as it grows, and remembers which operations are done."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.owner: Owner | None = None
        self.closed = False
        self._offset = 0
        self._at = path.parent.absolute()
        """The folder of the journal when it was written; the files that it names may have moved along with it."""
        self._done_path = path.with_suffix(".done")
        # "12;" on a line of its own cannot be confused with a torn "123;" or with what is appended to one.
        lines, _ = read_lines(self._done_path, 0)
        self._done = {int(line[:-1]) for line in lines if line.endswith(b";") and line[:-1].isdigit()}

    def read(self) -> Iterator[tuple[int, Operation]]:
        """Yields the operations added since the last call, with their ids, without those marked done."""
        lines, self._offset = read_lines(self.path, self._offset)
        for line in lines:
            try:
                values: dict[str, Any] = json.loads(line)
                if "owner" in values:
                    self.owner = Owner.parse(values["owner"])
                    self._at = Path(values.get("at", self._at))
                    continue
                number = int(values.pop("id"))
                operation = self._moved(_KINDS[values.pop("op")](**values))
            except (ValueError, KeyError, TypeError, AttributeError):
                logger.warning("%s: skipped a line that is not an operation: %.80r", self.path, line)
                continue
            if isinstance(operation, Close):
                self.closed = True
            elif number not in self._done:
                yield number, operation

    def _moved(self, operation: Operation) -> Operation:
        """Returns the operation with the new paths of files that moved along with the journal."""
        match operation:
            case Follow():
                return replace(operation, spool=self._place(operation.spool))
            case End():
                files, within = tuple(map(self._place, operation.files)), operation.within
                return replace(operation, files=files, within=self._place(within) if within else "")
            case _:
                return operation

    def _place(self, path: str) -> str:
        here = self.path.parent.absolute()
        if self._at == here or Path(path).exists():
            return path
        seen = os.path.normpath(here / os.path.relpath(path, self._at))
        return seen if Path(seen).exists() else path

    def mark_done(self, numbers: list[int]) -> None:
        """Marks operations as finished, durably."""
        content = "".join(f"\n{number};\n" for number in numbers if number not in self._done)
        if content:
            with self._done_path.open("ab") as file:
                file.write(content.encode())
                file.flush()
                os.fsync(file.fileno())
            self._done.update(numbers)

    def ended(self) -> bool:
        """Whether the journal will not grow any more: its process closed it, or is dead."""
        return self.closed or self.owner is None or self.owner.is_dead()

    def remove(self) -> None:
        """Deletes the journal, its list of finished operations last, so that none is repeated."""
        self.path.unlink(missing_ok=True)
        self._done_path.unlink(missing_ok=True)


def other_addresses(root: Path, uri: str) -> dict[str, int]:
    """Returns the addresses of other trackers with undelivered journals below ``root``, and how many each has."""
    mine = _folder_of(root, uri)
    waiting: dict[str, int] = {}
    for address in sorted(root.glob("*/address")):
        journals = len(list(address.parent.glob("*.jsonl")))
        lines = _lines_of(address)
        if journals and address.parent != mine:
            waiting[lines[0] if lines else f"whose address in {address} cannot be read"] = journals
    return waiting


def _folder_of(root: Path, uri: str) -> Path:
    """Returns the folder of a tracker's journals.

    A SQLite file that was moved together with the outbox is the same tracker: its relative path is unchanged, and there
    is no file at its old path.
    """
    mine = _address_lines(root, uri)
    for address in sorted(root.glob("*/address")):
        lines = _lines_of(address)
        old = sqlite_path(lines[0]) if lines else None
        if lines == mine or (old is not None and lines[1:] == mine[1:] and not old.exists()):
            return address.parent
    return root / hashlib.sha256(mine[0].encode()).hexdigest()[:12]


def _address_lines(root: Path, uri: str) -> list[str]:
    """Returns the lines of the ``address`` file: the address without password and, for a file, its relative path."""
    path = sqlite_path(uri)
    return [without_password(uri), *([] if path is None else [os.path.relpath(path, root.absolute())])]


def _lines_of(address: Path) -> list[str]:
    try:
        return regular_file(address).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
