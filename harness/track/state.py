"""The state that a run should have in the tracker, as one process knows it: plain data, which the outbox keeps."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["table", "study", "run"]
Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True)
class RunState:
    """What the tracker should hold of a run."""

    key: str
    """Identifies the run even before the tracker knows it."""
    kind: Kind
    experiment: str
    name: str
    started_ms: int
    parent: str | None = None
    """The parent run's key."""
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    """Small artifacts by file name."""
    dataset: Mapping[str, str] = field(default_factory=dict)
    """Name, digest and source of the data set; empty for none."""
    view: Mapping[str, Any] = field(default_factory=dict)
    """For a table or a study: how MLflow's page shows its runs."""
    spools: tuple[tuple[str, int], ...] = ()
    """The stages' spools, with what is added to the steps of each; those of a running run grow."""
    status: Status = "RUNNING"
    ended_ms: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The final ones."""
    files: tuple[str, ...] = ()
    """Files, and folders whose contents are logged."""
    within: str = ""
    """The folder whose structure the files keep; empty: all go to the artifact root."""

    @property
    def ended(self) -> bool:
        """Whether the process that wrote it is done with the run; then it never changes."""
        return self.status != "RUNNING"
