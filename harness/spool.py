"""The spool: a stage's step-wise metrics in an append-only file, one JSON object per line.

A line is ``{"step": 1, "epoch": 0.25, "time_ms": 1700000000000, "metrics": {"loss": 2.3}}``; ``step`` counts from 1
within the stage. The one worker that trains the stage writes it, and the process that delivers to the tracker reads it.
A worker may die at any byte: a torn last line is not a record, and is cut off before the next one is appended. Owns the
file's format; knows nothing of runs or MLflow.
"""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from harness.files import regular_file

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SpoolRecord:
    """The metrics of one step."""

    step: int
    """1-based within the stage."""
    epoch: float
    time_ms: int
    """Unix time, stored with the record: delivering a record twice gives the same point twice."""
    metrics: Mapping[str, float]


class SpoolWriter:
    """Appends records to a spool; ``write`` returns once the operating system has the record.

    Opening an existing spool cuts off a torn last line and appends after the whole ones.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._position = _whole_lines_end(path)
        self._file = regular_file(path).open("r+b") if path.exists() else path.open("w+b")
        self._file.truncate(self._position)
        self._file.seek(self._position)

    def write(self, step: int, epoch: float, metrics: Mapping[str, float], time_ms: int) -> None:
        """Appends one record; values are stored exactly, NaN and infinities included."""
        line = json.dumps(asdict(SpoolRecord(step, epoch, time_ms, dict(metrics))), separators=(",", ":")) + "\n"
        self._file.write(line.encode())
        self._file.flush()
        self._position += len(line)

    def position(self) -> int:
        """Returns the bytes written so far; a checkpoint stores them, for ``truncate``."""
        return self._position

    def truncate(self, position: int) -> None:
        """Removes the records after ``position``: the steps that a resumed stage will repeat.

        A spool shorter than ``position`` has lost lines (a power cut, an edit): it is kept as it is, with a warning.
        """
        if position > self._position:
            logger.warning(
                "%s holds %d bytes where the checkpoint expects %d: some recorded steps are lost",
                self.path,
                self._position,
                position,
            )
            return
        self._file.truncate(position)
        self._file.seek(position)
        self._position = position

    def close(self) -> None:
        """Syncs the spool to disk and closes it."""
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_spool(path: Path, offset: int = 0) -> tuple[list[SpoolRecord], int]:
    """Returns the whole records from byte ``offset`` on, and the offset to continue from.

    A missing file has no records; a torn last line is left for the next call. A line that is not a record (after a full
    disk) is skipped with a warning.
    """
    lines, end = read_lines(path, offset)
    return [record for line in lines if (record := _record(line, path)) is not None], end


def last_step(path: Path) -> int:
    """Returns the largest step in a spool, 0 if it has none; the next stage of a run adds it to its own steps."""
    records, _ = read_spool(path)
    return max((record.step for record in records), default=0)


class SpoolFeed:
    """Reads a spool as it grows, and notices when it was truncated and rewritten.

    Before each read it checks that the last line it read is still in its place; if not, it starts over from the top.
    The consumer must therefore skip steps that it has seen.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._last_line = b""

    def read(self) -> list[SpoolRecord]:
        """Returns the records added since the last call, or all of them after a rewrite."""
        if not self._unchanged():
            self._offset, self._last_line = 0, b""
        lines, end = read_lines(self.path, self._offset)
        if lines:
            self._offset, self._last_line = end, lines[-1]
        return [record for line in lines if (record := _record(line, self.path)) is not None]

    def _unchanged(self) -> bool:
        if not self._last_line:
            return True
        try:
            with regular_file(self.path).open("rb") as file:
                file.seek(self._offset - len(self._last_line) - 1)
                return file.read(len(self._last_line) + 1) == self._last_line + b"\n"
        except FileNotFoundError:
            return False


def read_lines(path: Path, offset: int) -> tuple[list[bytes], int]:
    """Returns the whole lines of a file from ``offset`` on, without newlines, and the offset after the last one."""
    try:
        with regular_file(path).open("rb") as file:
            file.seek(offset)
            content = file.read()
    except FileNotFoundError:
        return [], offset
    whole, newline, _ = content.rpartition(b"\n")
    return (whole.split(b"\n"), offset + len(whole) + 1) if newline else ([], offset)


def _record(line: bytes, path: Path) -> SpoolRecord | None:
    try:
        fields: dict[str, Any] = json.loads(line)
        metrics = {str(name): float(value) for name, value in fields["metrics"].items()}
        return SpoolRecord(int(fields["step"]), float(fields["epoch"]), int(fields["time_ms"]), metrics)
    except (ValueError, KeyError, TypeError, AttributeError):
        logger.warning("%s: skipped a line that is not a record: %.80r", path, line)
        return None


def _whole_lines_end(path: Path) -> int:
    return read_lines(path, 0)[1]
