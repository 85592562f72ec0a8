"""Listings of a store: its stages, and the entries that a garbage collection deletes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.plan.stage import Stage


@dataclass(frozen=True)
class Entry:
    """A stage in the store."""

    fingerprint: str
    folder: Path
    stage: Stage | None
    """None unless the entry is complete."""
    result: Mapping[str, Any] | None
    damage: str
    """The fault of an entry that was complete once; empty for a complete and for an unfinished one."""
    size_bytes: int
    tables: tuple[str, ...]
    """The tables that use it."""

    @property
    def state(self) -> str:
        """``complete``, ``damaged`` or ``unfinished``."""
        return "damaged" if self.damage else "complete" if self.stage else "unfinished"


@dataclass(frozen=True)
class Collected:
    """The result of a garbage collection, or of its dry run."""

    entries: tuple[Entry, ...]
    busy: tuple[Entry, ...]
    """Unused entries that were kept, since a process is running them."""

    @property
    def size_bytes(self) -> int:
        """The total size of the deleted entries."""
        return sum(entry.size_bytes for entry in self.entries)
