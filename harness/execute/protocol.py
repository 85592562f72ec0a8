"""The executor protocol. An executor runs a plan's stages; it does not know what a stage computes.

One contract suite checks these promises on every implementation:

- A stage starts only after its parent succeeded; if the parent failed, the stage is *not run*, for the reason that its
  parent failed.
- A stage that the store already holds is not run again; its outcome is ``cached``.
- One stage's failure touches only its descendants; ``execute`` never raises for it.
- No two processes run a stage at once, not even of different commands: one gets the store's lock, the other waits.
- Interrupting (Ctrl-C) stops workers cleanly within seconds; finished stages stay finished.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from harness.plan.stage import Stage

PREFIXES = "prefixes"
"""Key of a context: by a stage's fingerprint, that of the completed stage that trained the same first epochs."""


@dataclass(frozen=True)
class Event:
    """Progress that an executor reports while it works."""

    kind: Literal["starting", "started", "progress", "waiting", "succeeded", "cached", "failed", "not_run"]
    """``starting``: the stage waits for a worker process; ``started``: its work begins."""
    fingerprint: str
    detail: Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """How a stage ended."""

    status: Literal["succeeded", "cached", "failed", "not_run"]
    result: Mapping[str, Any] | None = None
    reason: str = ""
    """For failed and not_run: a paragraph that says what to do."""
    seconds: float = 0.0


class Executor(Protocol):
    """Runs stages; see the module's promises."""

    @property
    def capacity(self) -> int:
        """The number of stages that can run at once."""
        ...

    def execute(
        self,
        stages: Sequence[Stage],
        work: str,
        context: Mapping[str, Any],
        on_event: Callable[[Event], None],
    ) -> dict[str, Outcome]:
        """Runs ``stages`` (parents first) with the work ``module:function``; returns their outcomes by fingerprint."""
        ...
