"""The executor of many machines: every stage a Ray task, on whatever node has room for it.

Owns what a stage asks of a node, tasks that are lost, and interruption. Refuses the choice of what runs next
(``schedule``), what a stage's end means (``worker``), and the connection (``ray_cluster``).

Ray places the tasks; it is not asked to repeat them. A stage whose worker or node was lost is handed out again and goes
on from the newest checkpoint in the store. (To keep it away from that node by a label selector makes Ray 2.60 spin.)
"""

import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.errors import InputError
from harness.execute.protocol import Event, Outcome
from harness.execute.ray_check import Found, Needs, code_behind, differences, look, look_far, refuse
from harness.execute.ray_cluster import EventQueue, RayCluster
from harness.execute.schedule import RETRY_S, Schedule
from harness.execute.shared import SharedStore
from harness.execute.slot import process_variables
from harness.execute.store import Store
from harness.execute.worker import run_stage, spare_memory
from harness.formatting import counted, first_line
from harness.plan.stage import Stage

_GRACE_S = 2.0
"""How long interrupted stages have to end by themselves."""
_ATTEMPTS = 3
"""How often a stage is tried whose worker or node is lost."""
_MOST_CPUS = 8
"""That a stage with a GPU asks for unless it is told; it decodes images with them, once."""

Ref = Any
"""A Ray object reference."""


@dataclass(frozen=True)
class Share:
    """What one stage asks of a node."""

    cpus: int = 1
    gpus: float = 0.0
    """Of one GPU: stages of 0.5 share it by two."""

    def __str__(self) -> str:
        return f"{counted(self.cpus, 'CPU')} and {counted(self.gpus, 'GPU')}"

    def fits(self, resources: Mapping[str, float]) -> int:
        """How many stages of this kind a node with these resources can run at once."""
        rooms = [resources.get("CPU", 0.0) / self.cpus]
        if self.gpus:
            rooms.append(resources.get("GPU", 0.0) / self.gpus)
        return int(min(rooms) + 1e-9)

    def fill(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """A context with the ``device``, ``threads`` and ``memory_fraction`` of a stage with this share."""
        device = "cuda:0" if self.gpus else "cpu"  # of those that Ray lets the task see
        return {**context, "device": device, "threads": self.cpus, "memory_fraction": min(1.0, self.gpus) or 1.0}


def share_of(nodes: Sequence[Mapping[str, float]], cpus: int | None, gpus: float | None) -> Share:
    """What a stage asks for where the user leaves it open.

    Args:
        nodes: The resources of each node.
        cpus: CPUs asked for, or None.
        gpus: GPUs asked for, or None.

    >>> share_of([{"CPU": 32.0}, {"CPU": 32.0, "GPU": 8.0}], None, None)
    Share(cpus=4, gpus=1.0)
    >>> share_of([{"CPU": 32.0}, {"CPU": 32.0, "GPU": 8.0}], None, 0.5)
    Share(cpus=2, gpus=0.5)
    """
    per_gpu = [node.get("CPU", 0.0) / node["GPU"] for node in nodes if node.get("GPU")]
    if gpus is None:
        gpus = 1.0 if per_gpu else 0.0
    if cpus is None:
        cpus = max(1, min(_MOST_CPUS, int(gpus * min(per_gpu)))) if gpus and per_gpu else 1
    return Share(cpus, gpus)


class RayExecutor:
    """Runs stages as Ray tasks; see ``Executor`` for the promises. Use it as a context manager, or call ``close``.

    Args:
        store: Where results live: a folder that every node sees under the same path, or a store elsewhere.
        address: ``auto`` (the cluster that this machine belongs to), ``HOST:PORT`` of a cluster's head, or ``local``
            (one of this machine alone, which ends with this process); None: ``$RAY_ADDRESS``, or else ``local``.
        workers: Most stages at once; None: as many as the cluster has room for.
        cpus: CPUs that a stage asks of a node; None: 1, or with a GPU its share of the node's, at most 8.
        gpus: GPUs that a stage asks of a node, 1 or a part of one; None: 1 if the cluster has any, else 0.

    Raises:
        InputError: If Ray is not installed, no cluster answers, or no node can ever run a stage of this share.
    """

    def __init__(
        self,
        store: Store,
        *,
        address: str | None = None,
        workers: int | None = None,
        cpus: int | None = None,
        gpus: float | None = None,
    ) -> None:
        self.store = store
        self._workers = workers
        self._one_call = threading.Lock()
        self._fit: set[tuple[Any, ...]] = set()
        """Nodes that were asked, each with what for, and are fit for it."""
        self._cluster = RayCluster(address)
        try:
            self._share = share_of([node["Resources"] for node in self._cluster.nodes()], cpus, gpus)
            _ = self.capacity  # refuses at once what no node can ever run
        except BaseException:
            self._cluster.leave()
            raise

    def __enter__(self) -> "RayExecutor":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def capacity(self) -> int:
        """How many stages run at once, as the cluster is now.

        Raises:
            InputError: If no node can run any.
        """
        nodes = self._cluster.nodes()
        room = sum(self._share.fits(node["Resources"]) for node in nodes)
        if not room:
            told = "; ".join(
                f"{node['NodeManagerHostname']}: {counted(node['Resources'].get('CPU', 0), 'CPU')}, "
                f"{counted(node['Resources'].get('GPU', 0), 'GPU')}"
                for node in nodes
            )
            raise InputError(f"a stage asks for {self._share}, which no node of the cluster has ({told or 'no nodes'})")
        return min(room, self._workers or room)

    @property
    def place(self) -> str:
        """Where stages run, for people."""
        return f"{self._cluster}, {counted(self.capacity, 'stage')} at once, each with {self._share}"

    def close(self) -> None:
        """Leaves the cluster; one that was started here ends."""
        self._cluster.leave()

    def execute(
        self,
        stages: Sequence[Stage],
        work: str,
        context: Mapping[str, Any],
        on_event: Callable[[Event], None],
    ) -> dict[str, Outcome]:
        """Runs ``stages`` (parents first) with the work named ``module:function``; an outcome for each fingerprint.

        One call at a time; a second one from another thread waits for the first.

        Raises:
            InputError: If a node is not fit for the stages when they begin, none that can run a stage is left, or the
                cluster itself is gone.
            KeyboardInterrupt: On Ctrl-C, once the stages have ended (a few seconds at most); at once on a second one.
        """
        with self._one_call, self._cluster.telling_its_loss(), _visible(self.store) as token:
            needs = Needs(self.store, token, tuple(context.get("inputs", {}).values()), code_behind(work, stages))
            order = _Order(needs, look(needs), work, self._share.fill(context))
            schedule = Schedule(stages, self.store, on_event)
            if not schedule.done:
                self._look_around(order)
            call = _Call(self._cluster, self._share, order, schedule, on_event)
            try:
                while not call.schedule.done:
                    call.hand_out(self.capacity)
                    call.listen()
                return call.schedule.outcomes
            except BaseException:
                call.cancel()
                raise

    def _look_around(self, order: "_Order") -> None:
        """Asks every node that may run stages, once, whether it is fit for them.

        A node that joins later is looked at before each of its stages.
        """
        needs = order.needs
        suited = [node for node in self._cluster.nodes() if self._share.fits(node["Resources"])]
        asked = {node["NodeID"]: (node["NodeID"], needs.inputs, needs.code) for node in suited}
        fresh = [node for node in suited if asked[node["NodeID"]] not in self._fit]
        answers = self._cluster.ask(fresh, look_far, needs, _environment(self._share))
        alive = {node["NodeID"] for node in self._cluster.nodes()}
        trouble: dict[str, list[str]] = {}
        for node in (node for node in fresh if node["NodeID"] in alive):
            answer = answers[node["NodeID"]]
            if isinstance(answer, Found):
                told = differences(order.here, answer)
            else:
                told = [f"cannot run them: {first_line(answer)}"]
            trouble.setdefault(node["NodeManagerHostname"], []).extend(told)
        refuse(trouble)
        self._fit |= {asked[node["NodeID"]] for node in fresh}


@dataclass(frozen=True)
class _Order:
    """What all tasks of one call of ``execute`` have in common."""

    needs: Needs
    here: Found
    """What this machine has of the needs."""
    work: str
    context: Mapping[str, Any]


@dataclass
class _Running:
    """A task under way."""

    stage: Stage
    host: str = ""
    """The node that it began on."""


class _Call:
    """The state of one call of ``execute``: tasks under way, losses, what the tasks tell."""

    def __init__(
        self,
        cluster: "RayCluster",
        share: Share,
        order: _Order,
        schedule: Schedule,
        on_event: Callable[[Event], None],
    ) -> None:
        self.schedule = schedule
        self._cluster, self._share, self._order, self._on_event = cluster, share, order, on_event
        self._running: dict[Ref, _Running] = {}
        self._losses: dict[str, int] = {}
        ray = cluster.ray
        self._shipped = ray.put(order)
        self._task = ray.remote(_carry_out).options(
            num_cpus=share.cpus,
            num_gpus=share.gpus,
            max_retries=0,
            scheduling_strategy="SPREAD",
            runtime_env={"env_vars": _environment(share)},
        )

    def hand_out(self, room: int) -> None:
        """Submits stages that are ready, as far as there is room."""
        while len(self._running) < room:
            stage = self.schedule.take(time.monotonic())
            if stage is None:
                return
            self._on_event(Event("starting", stage.fingerprint, {"name": stage.name, "doing": "waiting for a worker"}))
            ref = self._task.remote(self._shipped, stage, self._cluster.queue)
            self._running[ref] = _Running(stage)

    def listen(self) -> None:
        """Waits a little for a task's end, and passes on what tasks have told meanwhile."""
        ray = self._cluster.ray
        if not self._running:
            time.sleep(RETRY_S / 5)  # all that is ready is in another process's hands
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
        """Interrupts every task and waits a little for its end; then, or when interrupted itself, kills."""
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
        """Puts back a stage whose worker or node ended under it, unless that happened too often."""
        stage, ray = running.stage, self._cluster.ray
        self._losses[stage.fingerprint] = losses = self._losses.get(stage.fingerprint, 0) + 1
        where = f" on node {running.host}" if running.host else ""
        if isinstance(error, ray.exceptions.OutOfMemoryError):
            reason = f"its worker{where} was ended by Ray, since memory ran out there"
        else:
            reason = f"its worker{where} was lost: killed, mostly since memory ran out, or with the whole node"
        if losses < _ATTEMPTS:
            detail = {"name": stage.name, "warning": f"{reason}; it goes on from its newest checkpoint"}
            self._on_event(Event("progress", stage.fingerprint, detail))
            self.schedule.put_back(stage)
        else:
            told = f"{reason}; it was tried {_ATTEMPTS} times; {spare_memory(stage)}"
            self.schedule.finish(stage, Outcome("failed", reason=told))


def _carry_out(order: _Order, stage: Stage, told: EventQueue) -> Outcome | None:
    """A task: one stage on this node; None if another process works on it."""
    host = socket.gethostname()
    if unfit := differences(order.here, look(order.needs)):
        return Outcome("failed", reason="; ".join(f"node {host} {each}" for each in unfit))
    return run_stage(order.needs.store, stage, order.work, order.context, lambda event: told.tell(host, event))


@contextmanager
def _visible(store: Store) -> Iterator[Path | None]:
    """A file in a plain store by which a node tells that it sees it; None for a store elsewhere."""
    if isinstance(store, SharedStore):
        yield None
        return
    token = store.root / "nodes" / f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    token.parent.mkdir(parents=True, exist_ok=True)
    token.touch()
    try:
        yield token
    finally:
        token.unlink(missing_ok=True)


def _environment(share: Share) -> dict[str, str]:
    """What the processes of a node are started with: the same for all, so that one serves many tasks."""
    environment = {
        **process_variables(share.cpus),
        "PYTHONPATH": os.pathsep.join(path or os.curdir for path in sys.path),
    }
    if not share.gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ""  # Ray leaves a task without GPUs all that the node has
    return environment
