"""The outbox: documents that say what each process knows of its runs, kept beside the store until the tracker has it.

The store's ``outbox/`` has a folder for each tracker. A process keeps a document for each run that it has open, and
replaces it whole when something changes. A document that has ended never changes again (opening the run again begins
another one), so it may be removed once it is delivered. Owns these files; knows nothing of MLflow.
"""

import hashlib
import json
import logging
import os
import secrets
import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from harness.files import regular_file, replace_text
from harness.track.address import sqlite_path, without_password
from harness.track.identity import Owner
from harness.track.state import RunState

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Document:
    """A run's state as a process wrote it."""

    path: Path
    owner: Owner
    state: RunState
    settled: bool
    """Whether it will not change any more: the run has ended, or the process is dead."""


class Outbox:
    """The documents for one tracker.

    Args:
        root: The store's ``outbox`` folder.
        uri: The tracker's address; its password, if it has one, is never written.
    """

    def __init__(self, root: Path, uri: str) -> None:
        self.folder = _folder_of(root, uri)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock = self.folder / "lock"
        self._owner = Owner.this_process()
        self._prefix = f"{time.time_ns() // 1_000_000:015d}-{os.getpid()}-{secrets.token_hex(4)}"
        self._numbers = count()
        self._unreadable: set[Path] = set()
        address, lines = self.folder / "address", _address_lines(root, uri)
        if not address.exists() or _lines_of(address) not in ([], lines):
            replace_text(address, "".join(f"{line}\n" for line in lines))

    def new_path(self, ending: str = "json") -> Path:
        """Returns a path for a new document of this process; by name they are sorted in their order."""
        return self.folder / f"{self._prefix}-{next(self._numbers):06d}.{ending}"

    def write(self, path: Path, state: RunState) -> None:
        """Replaces a document; then no kill can lose the state, nor a power cut that of a run that finished or failed.

        Raises:
            OSError: If it cannot be written; ``filename`` is the document.
        """
        content = {"owner": str(self._owner), "at": str(self.folder.absolute()), **vars(state)}
        self._replace(path, content, durable=state.status in {"FINISHED", "FAILED"})

    def request_sweep(self, keep: Collection[str]) -> None:
        """Asks whoever delivers to end the runs of dead processes, except those of these keys."""
        self._replace(self.new_path("sweep"), list(keep), durable=True)

    def sweeps(self) -> dict[Path, list[str]]:
        """Returns the requests for a sweep: the keys to keep, by the path to remove afterwards."""
        found: dict[Path, list[str]] = {}
        for path in sorted(self.folder.glob("*.sweep")):
            try:
                found[path] = [str(key) for key in json.loads(regular_file(path).read_bytes())]
            except (OSError, ValueError, TypeError) as error:
                self._report_unreadable(path, error)
        return found

    def read(self) -> list[Document]:
        """Returns all documents, oldest process first; reports a file that is none, once."""
        found = []
        for path in sorted(self.folder.glob("*.json")):
            document = self._load(path)
            if document is not None and not document.settled and document.owner.is_dead():
                document = self._load(path)  # again: what is there after the death is its last word
                document = document and replace(document, settled=True)
            found.append(document)
        return [document for document in found if document is not None]

    def waiting_here(self) -> int:
        """Returns the number of ended runs and tables, and of sweeps, that this process left and nobody delivered."""
        mine = [document for document in self.read() if document.path.name.startswith(self._prefix)]
        sweeps = list(self.folder.glob(f"{self._prefix}*.sweep"))
        return len({document.state.key for document in mine if document.state.ended}) + len(sweeps)

    def undelivered(self) -> int:
        """Returns the number of runs and tables with documents that will not change any more."""
        return len({document.state.key for document in self.read() if document.settled})

    def _load(self, path: Path) -> Document | None:
        try:
            content = regular_file(path).read_bytes()
            if not content.strip(b"\0"):  # what a power cut leaves of a file that was not synced
                path.unlink()
                return None
            values: dict[str, Any] = json.loads(content)
            owner, at = Owner.parse(values.pop("owner")), Path(values.pop("at"))
            if owner is None:
                raise ValueError("no owner")
            values["spools"] = tuple((self._place(spool, at), int(offset)) for spool, offset in values["spools"])
            values["files"] = tuple(self._place(file, at) for file in values["files"])
            values["within"] = values["within"] and self._place(values["within"], at)
            state = RunState(**values)
        except FileNotFoundError:  # delivered meanwhile
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            self._report_unreadable(path, error)
            return None
        return Document(path, owner, state, settled=state.ended)

    def _report_unreadable(self, path: Path, error: Exception) -> None:
        if path not in self._unreadable:
            self._unreadable.add(path)
            logger.warning("%s cannot be read (%r), so it waits: delete it and run its table again", path, error)

    def _place(self, path: str, at: Path) -> str:
        """Returns where a file is that may have moved along with the outbox, which was ``at`` when it was named."""
        here = self.folder.absolute()
        if at == here or Path(path).exists():
            return path
        seen = os.path.normpath(here / os.path.relpath(path, at))
        return seen if Path(seen).exists() else path

    def _replace(self, path: Path, content: Any, *, durable: bool) -> None:
        try:
            replace_text(path, json.dumps(content, separators=(",", ":")), durable=durable)
        except OSError as error:
            error.filename = str(path)  # so that a message about a full disk names the file
            raise


def other_addresses(root: Path, uri: str) -> dict[str, int]:
    """Returns the addresses of other trackers with documents below ``root``, and how many each has."""
    mine = _folder_of(root, uri)
    waiting: dict[str, int] = {}
    for address in sorted(root.glob("*/address")):
        documents = len(list(address.parent.glob("*.json")))
        lines = _lines_of(address)
        if documents and address.parent != mine:
            waiting[lines[0] if lines else f"whose address in {address} cannot be read"] = documents
    return waiting


def older_folders(root: Path) -> list[Path]:
    """Returns the folders below ``root`` with journals of an older version, which are not delivered."""
    return sorted({path.parent for path in root.glob("*/*.jsonl")})


def _folder_of(root: Path, uri: str) -> Path:
    """Returns the folder of a tracker's documents.

    A SQLite file that was moved together with the outbox is the same tracker: its relative path is unchanged, and there
    is not a file at its old path.
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
