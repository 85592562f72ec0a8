"""The outbox: what the tracker must be told, journalled durably before anybody tries to tell it.

One folder for each tracker below the store's ``outbox/``. Every process appends to a journal of its own; a journal's
first line names the process, every other line is one operation with an id. Operations are idempotent, so a journal may
be carried out again from its start at any time; a ``.done`` file beside it lists what need not be. Owns these files;
refuses to know of MLflow.
"""

import hashlib
import json
import logging
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from harness.files import regular_file, replace_text
from harness.spool import read_lines
from harness.track.address import sqlite_path, without_password
from harness.track.identity import Owner

logger = logging.getLogger(__name__)

Kind = Literal["table", "study", "run"]
Status = Literal["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True)
class Open:
    """Create the tracked run of this key, or go on with the one that exists."""

    run: str
    """The key: names a run before, and whether or not, the tracker knows it."""
    kind: Kind
    experiment: str
    name: str
    time_ms: int
    parent: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    """Small artifacts by file name."""
    dataset: Mapping[str, str] = field(default_factory=dict)
    """name, digest and source of the data set; empty for none."""
    columns: tuple[str, ...] = ()
    """For a table or a study: the columns that MLflow's page of its runs shows."""
    searched: tuple[str, ...] = ()
    """For a study: the parameters that its trials differ in, drawn side by side before the first column's metric."""
    falling: bool = False
    """For a study: whether a lower metric is better."""


@dataclass(frozen=True)
class Follow:
    """Deliver a stage's spool to the run, as far as it goes and while it grows."""

    run: str
    spool: str
    step_offset: int


@dataclass(frozen=True)
class End:
    """Deliver the rest of the run's spools, then the final figures and files, then the status."""

    run: str
    status: Status
    time_ms: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    """Files, and folders whose contents are meant."""
    within: str = ""
    """The folder below which files keep their places among the artifacts; empty: they stand side by side."""


@dataclass(frozen=True)
class Sweep:
    """Mark the runs KILLED that a dead process left RUNNING, except those of these keys."""

    keep: tuple[str, ...] = ()
    time_ms: int = 0


@dataclass(frozen=True)
class Close:
    """The last operation of a process that ended properly."""


Operation = Open | Follow | End | Sweep | Close

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
        """A journal for the calling process."""
        name = f"{time.time_ns() // 1_000_000:015d}-{os.getpid()}-{secrets.token_hex(4)}.jsonl"
        return JournalWriter(self.folder / name)

    def ended_in(self, path: Path) -> int:
        """Runs and tables that ended according to a journal and are not delivered to their end."""
        return len({operation.run for _, operation in Journal(path).read() if isinstance(operation, End)})

    def undelivered(self) -> int:
        """Runs and tables of which something waits, counting journals to which nothing will be added."""
        waiting: set[str] = set()
        for journal in self.journals():
            operations = [operation for _, operation in journal.read()]
            if journal.ended():
                waiting.update(operation.run for operation in operations if isinstance(operation, Open | Follow | End))
        return len(waiting)


class JournalWriter:
    """Appends this process's operations, each on the disk before ``append`` returns. Not thread-safe."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._next_id = 0
        # Named last, so that a journal never stands there without its owner and is taken for a dead one's.
        aside = path.with_suffix(".new")
        self._file = aside.open("xb")
        self._write({"owner": str(Owner.this_process()), "at": str(path.parent.absolute())})
        aside.rename(path)

    def append(self, operation: Operation) -> None:
        """Journals one operation."""
        values = {item.name: getattr(operation, item.name) for item in fields(operation)}
        number = self._next_id
        self._next_id += 1  # first: an interrupted write must not leave its number to the next operation
        self._write({"op": _NAMES[type(operation)], "id": number, **values})

    def close(self) -> None:
        """Says that no more operations will come."""
        if not self._file.closed:
            self.append(Close())
            self._file.close()

    def _write(self, line: Mapping[str, Any]) -> None:
        try:
            self._file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            error.filename = str(self.path)  # a full disk is told with the file that met it
            raise


class Journal:
    """Reads another's (or one's own) journal as it grows, and remembers which operations are done."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.owner: Owner | None = None
        self.closed = False
        self._offset = 0
        self._at = path.parent.absolute()
        """Where the journal lay when it was written; what it names may have moved along with it."""
        self._done_path = path.with_suffix(".done")
        # "12;" on a line of its own: neither a torn "123;" nor what is appended behind it can be taken for it.
        lines, _ = read_lines(self._done_path, 0)
        self._done = {int(line[:-1]) for line in lines if line.endswith(b";") and line[:-1].isdigit()}

    def read(self) -> Iterator[tuple[int, Operation]]:
        """The operations (with their ids) added since the last call, those marked done left out."""
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
                logger.warning("%s: skipping a line that is no operation: %.80r", self.path, line)
                continue
            if isinstance(operation, Close):
                self.closed = True
            elif number not in self._done:
                yield number, operation

    def _moved(self, operation: Operation) -> Operation:
        """The operation, with the files that are not where it says, and are there when seen from the journal."""
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
        """Remembers, durably, that these operations need not be carried out again."""
        content = "".join(f"\n{number};\n" for number in numbers if number not in self._done)
        if content:
            with self._done_path.open("ab") as file:
                file.write(content.encode())
                file.flush()
                os.fsync(file.fileno())
            self._done.update(numbers)

    def ended(self) -> bool:
        """Whether nobody will append any more: its process closed it, or is dead."""
        return self.closed or self.owner is None or self.owner.is_dead()

    def remove(self) -> None:
        """Deletes the journal; the list of what is done goes last, so that nothing of it is ever done twice."""
        self.path.unlink(missing_ok=True)
        self._done_path.unlink(missing_ok=True)


def other_addresses(root: Path, uri: str) -> dict[str, int]:
    """Addresses of further trackers that have undelivered journals below ``root``, with the number of journals."""
    mine = _folder_of(root, uri)
    waiting: dict[str, int] = {}
    for address in sorted(root.glob("*/address")):
        journals = len(list(address.parent.glob("*.jsonl")))
        lines = _lines_of(address)
        if journals and address.parent != mine:
            waiting[lines[0] if lines else f"whose address in {address} cannot be read"] = journals
    return waiting


def _folder_of(root: Path, uri: str) -> Path:
    """The folder of a tracker's journals.

    A SQLite file that was moved together with the outbox is the same tracker: it lies where it lay, seen from here,
    and nothing lies any more where it was.
    """
    mine = _address_lines(root, uri)
    for address in sorted(root.glob("*/address")):
        lines = _lines_of(address)
        old = sqlite_path(lines[0]) if lines else None
        if lines == mine or (old is not None and lines[1:] == mine[1:] and not old.exists()):
            return address.parent
    return root / hashlib.sha256(mine[0].encode()).hexdigest()[:12]


def _address_lines(root: Path, uri: str) -> list[str]:
    """What is kept of a tracker's address: how it is shown and, of a file, the way to it from the outbox."""
    path = sqlite_path(uri)
    return [without_password(uri), *([] if path is None else [os.path.relpath(path, root.absolute())])]


def _lines_of(address: Path) -> list[str]:
    try:
        return regular_file(address).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
