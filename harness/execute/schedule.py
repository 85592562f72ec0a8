"""The scheduling that all executors share: which stage runs next, and the outcomes so far.

Owns the order (longest remaining chain first), stages that another process has locked, and the propagation of failures.
Refuses processes and devices.
"""

import logging
from collections.abc import Callable, Sequence

from harness.execute.manifest import DamagedError
from harness.execute.protocol import Event, Outcome
from harness.execute.store import Store
from harness.plan.stage import Stage

RETRY_S = 0.5
"""Seconds before a stage that another process has locked is tried again."""

_log = logging.getLogger(__name__)


class Schedule:
    """The state of one call of ``execute``.

    Args:
        stages: Parents before children; a stage listed twice runs once.
        store: Where stages may be complete already.
        on_event: Called at the end of every stage.
    """

    def __init__(self, stages: Sequence[Stage], store: Store, on_event: Callable[[Event], None]) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self._store = store
        self._on_event = on_event
        self._stages = {stage.fingerprint: stage for stage in stages}
        self._children: dict[str, list[str]] = {name: [] for name in self._stages}
        for stage in self._stages.values():
            if stage.parent in self._children:
                self._children[stage.parent].append(stage.fingerprint)
        chains: dict[str, int] = {}
        for name in reversed(self._stages):
            chains[name] = 1 + max((chains[child] for child in self._children[name]), default=0)
        self._open = {name: (-chains[name], position) for position, name in enumerate(self._stages)}
        """Stages without an outcome yet, with their rank: the longest remaining chain first, then as listed."""
        self._running: set[str] = set()
        self._not_before: dict[str, float] = {}
        for stage in self._stages.values():
            if self._was_done(stage.fingerprint):
                self.finish(stage, Outcome("cached", store.result(stage.fingerprint)))
        self._refuse_orphans()

    @property
    def done(self) -> bool:
        """Whether every stage has its outcome."""
        return not self._open

    def take(self, now: float) -> Stage | None:
        """Returns the next stage to run and marks it as running; None if none is ready at ``now`` (monotonic)."""
        ready = [name for name in self._open if self._is_ready(name, now)]
        if not ready:
            return None
        name = min(ready, key=lambda name: (self._not_before.get(name, 0.0), self._open[name]))
        self._running.add(name)
        return self._stages[name]

    def postpone(self, stage: Stage, now: float) -> None:
        """Puts back a stage that another process has locked; others go first before it is retried."""
        self._running.discard(stage.fingerprint)
        if stage.fingerprint not in self._not_before:
            self._on_event(Event("waiting", stage.fingerprint, {"name": stage.name}))
        self._not_before[stage.fingerprint] = now + RETRY_S

    def put_back(self, stage: Stage) -> None:
        """Puts back a stage whose worker was lost, so that it runs again."""
        self._running.discard(stage.fingerprint)

    def finish(self, stage: Stage, outcome: Outcome) -> None:
        """Records and reports a stage's outcome; if it failed, marks its descendants as not run."""
        self._running.discard(stage.fingerprint)
        self._open.pop(stage.fingerprint, None)
        self.outcomes[stage.fingerprint] = outcome
        detail = {"name": stage.name, "seconds": outcome.seconds}
        if outcome.reason:
            detail["reason"] = outcome.reason
        if outcome.result is not None:
            detail["result"] = outcome.result
        self._on_event(Event(outcome.status, stage.fingerprint, detail))
        if outcome.status in ("failed", "not_run"):
            reason = outcome.reason
            if outcome.status == "failed":
                reason = f'parent failed: stage "{stage.name}" ({stage.fingerprint[:8]}): {outcome.reason}'
            for child in self._children[stage.fingerprint]:
                if child in self._open:
                    self.finish(self._stages[child], Outcome("not_run", reason=reason))

    def _was_done(self, name: str) -> bool:
        """Whether a stage was complete before.

        The caller reads the files of stages without children, so their checksums are verified here, where a damaged
        stage can still be rerun.

        Raises:
            InputError: If a remote store does not answer.
        """
        if not self._store.is_complete(name):
            return False
        if not self._children[name]:
            try:
                self._store.fetch(name)
            except DamagedError as error:
                _log.warning("%s", error.damage)
                return False
        return True

    def _is_ready(self, name: str, now: float) -> bool:
        parent = self._stages[name].parent
        waits = parent in self._stages and self.outcomes.get(parent) is None
        return name not in self._running and not waits and self._not_before.get(name, now) <= now

    def _refuse_orphans(self) -> None:
        for stage in self._stages.values():
            parent = stage.parent
            if stage.fingerprint not in self._open or parent is None or parent in self._stages:
                continue
            if not self._store.is_complete(parent):
                reason = f"its parent {parent[:8]} is neither among these stages nor in {self._store.address}"
                self.finish(stage, Outcome("not_run", reason=reason))
