"""The executor of many machines: every stage is a Ray task, on any node with enough resources.

Owns the choice of nodes and the check that they can run the stages. Refuses the order of stages (``schedule``), the
tasks (``ray_call``), the meaning of a stage's end (``worker``), and the connection (``ray_cluster``).
"""

import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.errors import InputError
from harness.execute.protocol import Event, Outcome
from harness.execute.ray_call import Call, Order
from harness.execute.ray_check import Found, Needs, check_node, check_node_and_store, code_behind, differences, refuse
from harness.execute.ray_cluster import RayCluster
from harness.execute.ray_resources import stage_resources, task_environment
from harness.execute.schedule import Schedule
from harness.execute.shared import SharedStore
from harness.execute.store import Store
from harness.formatting import counted, first_line
from harness.plan.stage import Stage


class RayExecutor:
    """Runs stages as Ray tasks; see ``Executor`` for the promises. Use it as a context manager, or call ``close``.

    Args:
        store: Where results live: a folder that every node sees under the same path, or a store elsewhere.
        address: ``auto`` (the cluster of this machine), ``HOST:PORT`` of a cluster's head, or ``local`` (a cluster on
            this machine that ends with this process); None: ``$RAY_ADDRESS``, by default ``local``.
        workers: Most stages at once; None: as many as fit the cluster.
        cpus: CPUs per stage; None: 1, or with a GPU a proportional part of the node's, at most 8.
        gpus: GPUs per stage, 1 or a fraction; None: 1 if the cluster has any, else 0.

    Raises:
        InputError: If Ray is not installed, no cluster answers, or no node can ever run such a stage.
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
        self._checked: set[tuple[Any, ...]] = set()
        """Nodes that passed the check, each with what it was checked for."""
        self._cluster = RayCluster(address)
        try:
            self._resources = stage_resources([node["Resources"] for node in self._cluster.nodes()], cpus, gpus)
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
        """The number of stages that can run at once on the present cluster.

        Raises:
            InputError: If no node can run a stage.
        """
        nodes = self._cluster.nodes()
        capacity = sum(self._resources.fits(node["Resources"]) for node in nodes)
        if not capacity:
            found = "; ".join(
                f"{node['NodeManagerHostname']}: {counted(node['Resources'].get('CPU', 0), 'CPU')}, "
                f"{counted(node['Resources'].get('GPU', 0), 'GPU')}"
                for node in nodes
            )
            found = found or "no nodes"
            raise InputError(f"a stage asks for {self._resources}, which no node of the cluster has ({found})")
        return min(capacity, self._workers or capacity)

    @property
    def place(self) -> str:
        """Describes where stages run."""
        return f"{self._cluster}, {counted(self.capacity, 'stage')} at once, each with {self._resources}"

    def close(self) -> None:
        """Leaves the cluster, and shuts down one that was started here."""
        self._cluster.leave()

    def execute(
        self,
        stages: Sequence[Stage],
        work: str,
        context: Mapping[str, Any],
        on_event: Callable[[Event], None],
    ) -> dict[str, Outcome]:
        """Runs ``stages`` (parents first) with the work ``module:function``; returns their outcomes by fingerprint.

        One call at a time; a second one from another thread waits for the first.

        Raises:
            InputError: If a node cannot run the stages at the start, no node that can is left, or the cluster is lost.
            KeyboardInterrupt: On Ctrl-C, once the stages have ended (a few seconds at most); at once on a second one.
        """
        with self._one_call, self._cluster.reporting_loss(), _marker_file(self.store) as token:
            needs = Needs(self.store, token, tuple(context.get("inputs", {}).values()), code_behind(work, stages))
            order = Order(needs, check_node(needs), work, self._resources.fill(context))
            schedule = Schedule(stages, self.store, on_event)
            if not schedule.done:
                self._check_nodes(order)
            call = Call(self._cluster, self._resources, order, schedule, on_event)
            try:
                while not call.schedule.done:
                    call.submit(self.capacity)
                    call.listen()
                return call.schedule.outcomes
            except BaseException:
                call.cancel()
                raise

    def _check_nodes(self, order: Order) -> None:
        """Checks once that every node that may run stages can do so.

        A node that joins later is checked before each of its stages.
        """
        needs = order.needs
        candidates = [node for node in self._cluster.nodes() if self._resources.fits(node["Resources"])]
        checks = {node["NodeID"]: (node["NodeID"], needs.inputs, needs.code) for node in candidates}
        fresh = [node for node in candidates if checks[node["NodeID"]] not in self._checked]
        answers = self._cluster.ask(fresh, check_node_and_store, needs, task_environment(self._resources))
        alive = {node["NodeID"] for node in self._cluster.nodes()}
        problems: dict[str, list[str]] = {}
        for node in (node for node in fresh if node["NodeID"] in alive):
            answer = answers[node["NodeID"]]
            if isinstance(answer, Found):
                found = differences(order.here, answer)
            else:
                found = [f"cannot run them: {first_line(answer)}"]
            problems.setdefault(node["NodeManagerHostname"], []).extend(found)
        refuse(problems)
        self._checked |= {checks[node["NodeID"]] for node in fresh}


@contextmanager
def _marker_file(store: Store) -> Iterator[Path | None]:
    """Creates a file in a plain store, by which nodes check that they see it; yields None for a remote store."""
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
