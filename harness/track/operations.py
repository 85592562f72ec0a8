"""The operations on a tracker, as an outbox stores them: plain data that can be delivered more than once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["table", "study", "run"]
Status = Literal["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True)
class Open:
    """Create the tracked run of this key, or continue the existing one."""

    run: str
    """The key, which identifies a run even before the tracker knows it."""
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
    """Name, digest and source of the data set; empty for none."""
    columns: tuple[str, ...] = ()
    """For a table or a study: the columns that MLflow's page of its runs shows."""
    searched: tuple[str, ...] = ()
    """For a study: the parameters that its trials vary, the axes of its parallel coordinates plot."""
    falling: bool = False
    """For a study: whether a lower metric is better."""


@dataclass(frozen=True)
class Follow:
    """Deliver a stage's spool to the run, now and while it grows."""

    run: str
    spool: str
    step_offset: int


@dataclass(frozen=True)
class End:
    """Deliver the rest of the run's spools, then its final metrics and files, then its status."""

    run: str
    status: Status
    time_ms: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    """Files, and folders whose contents are logged."""
    within: str = ""
    """The folder whose structure the artifacts keep; empty: all files go to the artifact root."""


@dataclass(frozen=True)
class Sweep:
    """Mark runs as KILLED that a dead process left RUNNING, except those of these keys."""

    keep: tuple[str, ...] = ()
    time_ms: int = 0


@dataclass(frozen=True)
class Close:
    """The last operation of a process that ended normally."""


Operation = Open | Follow | End | Sweep | Close
