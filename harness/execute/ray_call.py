"""The Ray tasks of one call of ``execute``: submitted, watched, resubmitted when lost, interrupted.

Ray places tasks but does not retry them. A stage whose worker or node is lost is submitted again and resumes from the
newest checkpoint in the store. (Ray 2.60 spins if a label selector keeps it away from that node.)
"""

import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from harness.execute.protocol import Event, Outcome
from harness.execute.ray_check import Found, Needs, check_node, differences
from harness.execute.ray_cluster import EventQueue, RayCluster
from harness.execute.ray_resources import StageResources, task_environment
from harness.execute.schedule import RETRY_S, Schedule
from harness.execute.worker import run_stage, spare_memory
from harness.formatting import first_line
from harness.plan.stage import Stage

_GRACE_S = 2.0
"""Seconds that interrupted stages have to end by themselves."""
_ATTEMPTS = 3
"""Attempts at a stage whose worker or node is lost."""

Ref = Any
"""A Ray object reference."""


@dataclass(frozen=True)
class Order:
    """The values that all tasks of a call share."""

    needs: Needs
    here: Found
    """The properties of this machine."""
    work: str
    context: Mapping[str, Any]


@dataclass
class _Running:
    """A running task."""

    stage: Stage
    host: str = ""
    """The node that it runs on, once known."""


class Call:
    """One call of ``RayExecutor.execute``: its running tasks, their events, and lost ones."""

    def __init__(
        self,
        cluster: RayCluster,
        resources: StageResources,
        order: Order,
        schedule: Schedule,
        on_event: Callable[[Event], None],
    ) -> None:
        self.schedule = schedule
        self._cluster, self._on_event = cluster, on_event
        self._running: dict[Ref, _Running] = {}
        self._losses: dict[str, int] = {}
        ray = cluster.ray
        self._shipped = ray.put(order)
        self._task = ray.remote(run_task).options(
            num_cpus=resources.cpus,
            num_gpus=resources.gpus,
            max_retries=0,
            scheduling_strategy="SPREAD",
            runtime_env={"env_vars": task_environment(resources)},
        )

    def submit(self, capacity: int) -> None:
        """Submits ready stages, up to ``capacity`` running ones."""
        while len(self._running) < capacity:
            stage = self.schedule.take(time.monotonic())
            if stage is None:
                return
            self._on_event(Event("starting", stage.fingerprint, {"name": stage.name, "doing": "waiting for a worker"}))
            ref = self._task.remote(self._shipped, stage, self._cluster.queue)
            self._running[ref] = _Running(stage)

    def listen(self) -> None:
        """Waits briefly for tasks to end, and passes their events on."""
        ray = self._cluster.ray
        if not self._running:
            time.sleep(RETRY_S / 5)  # every ready stage is locked by another process
            return
        ended, _ = ray.wait(list(self._running), timeout=RETRY_S)
        self._pass_on()
        for ref in ended:
            running = self._running.pop(ref)
            try:
                outcome = ray.get(ref)
            except ray.exceptions.RayTaskError as error:
                self._finish(running, Outcome("failed", reason=first_line(error.cause or error)))
            except ray.exceptions.RayError as error:
                self._lose(running, error)
            else:
                self._finish(running, outcome)

    def cancel(self) -> None:
        """Interrupts all tasks and waits briefly; then, or when interrupted itself, kills them."""
        ray = self._cluster.ray
        try:
            for ref in self._running:
                ray.cancel(ref, force=False)
            ray.wait(list(self._running), num_returns=max(1, len(self._running)), timeout=_GRACE_S)
        finally:
            for ref in self._running:
                with suppress(ray.exceptions.RayError, ValueError):
                    ray.cancel(ref, force=True)

    def _pass_on(self) -> None:
        by_stage = {running.stage.fingerprint: running for running in self._running.values()}
        for host, event in self._cluster.queue.take():
            if running := by_stage.get(event.fingerprint):
                running.host = host
                self._on_event(event)

    def _finish(self, running: _Running, outcome: Outcome | None) -> None:
        stage = running.stage
        if outcome is None:
            self.schedule.postpone(stage, time.monotonic())
            return
        if outcome.status == "failed" and running.host not in ("", socket.gethostname()):
            outcome = Outcome("failed", reason=f"{outcome.reason} (on node {running.host})", seconds=outcome.seconds)
        self.schedule.finish(stage, outcome)

    def _lose(self, running: _Running, error: Exception) -> None:
        """Puts back a stage whose worker or node was lost, unless that has happened too often."""
        stage, ray = running.stage, self._cluster.ray
        self._losses[stage.fingerprint] = losses = self._losses.get(stage.fingerprint, 0) + 1
        where = f" on node {running.host}" if running.host else ""
        if isinstance(error, ray.exceptions.OutOfMemoryError):
            reason = f"its worker{where} was killed by Ray because memory ran out there"
        else:
            reason = f"its worker{where} was lost: killed, usually because memory ran out, or lost with its node"
        if losses < _ATTEMPTS:
            detail = {"name": stage.name, "warning": f"{reason}; it resumes from its newest checkpoint"}
            self._on_event(Event("progress", stage.fingerprint, detail))
            self.schedule.put_back(stage)
        else:
            reason = f"{reason}; it was tried {_ATTEMPTS} times; {spare_memory(stage)}"
            self.schedule.finish(stage, Outcome("failed", reason=reason))


def run_task(order: Order, stage: Stage, events: EventQueue) -> Outcome | None:
    """Runs one stage on this node; returns None if another process has locked it."""
    host = socket.gethostname()
    if problems := differences(order.here, check_node(order.needs)):
        return Outcome("failed", reason="; ".join(f"node {host} {each}" for each in problems))
    return run_stage(order.needs.store, stage, order.work, order.context, lambda event: events.put(host, event))
