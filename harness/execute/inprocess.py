"""The executor without worker processes: stages run one by one in this process, within reach of a debugger."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.execute.protocol import Event, Outcome
from harness.execute.schedule import RETRY_S, Schedule
from harness.execute.slot import Slot
from harness.execute.store import Store
from harness.execute.worker import run_stage
from harness.plan.stage import Stage


class InProcessExecutor:
    """Runs stages in the calling process; see ``Executor`` for the promises.

    A stage that kills its process kills this one; finished stages stay finished.

    Args:
        store: Where results live.
        slot: The device and threads for stages.
    """

    def __init__(self, store: Store, slot: Slot | None = None) -> None:
        self.store = store
        self._slot = slot or Slot()

    @property
    def capacity(self) -> int:
        """One."""
        return 1

    def execute(
        self,
        stages: Sequence[Stage],
        work: str,
        context: Mapping[str, Any],
        on_event: Callable[[Event], None],
    ) -> dict[str, Outcome]:
        """Runs ``stages`` (parents first) with the work ``module:function``; returns their outcomes by fingerprint.

        Raises:
            KeyboardInterrupt: On Ctrl-C, at once.
        """
        schedule = Schedule(stages, self.store, on_event)
        while not schedule.done:
            stage = schedule.take(time.monotonic())
            if stage is None:
                time.sleep(RETRY_S / 5)
                continue
            outcome = run_stage(self.store, stage, work, self._slot.fill(context), on_event)
            if outcome is None:
                schedule.postpone(stage, time.monotonic())
            else:
                schedule.finish(stage, outcome)
        return schedule.outcomes
