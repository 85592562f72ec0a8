"""The way to and from Ray: joining a cluster or starting one of this machine, and hearing what its tasks tell.

Owns everything of Ray's that wants care: the order of its settings and its import, its signal handlers, what it prints.
Ray is imported when a connection is made, since it is an extra and takes its time.
"""

import io
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, TextIO

from harness.errors import InputError
from harness.execute.protocol import Event
from harness.execute.slot import available_cores
from harness.formatting import counted, first_line

_OBJECT_STORE_BYTES = 80_000_000
"""Of a cluster started here; stages leave their results in the store, not in Ray."""
_EVENTS_KEPT = 100_000
_KNOCK_S = 10.0
_ANSWER_S = 60.0
"""How long a node has to start a process and answer."""


class RayCluster:
    """The connection to Ray, and the cluster of this process if it started one."""

    def __init__(self, address: str | None) -> None:
        address = address or os.environ.get("RAY_ADDRESS") or "local"
        if address.startswith("ray://"):
            raise InputError(
                f"--address {address}: stages cannot go through Ray's client; run this command on a machine of the "
                "cluster, with --address auto"
            )
        if address not in ("auto", "local"):
            _knock(address)
        self._folder = Path(tempfile.mkdtemp(prefix="harness-ray-")) if address == "local" else None
        if self._folder is not None:
            # A token keeps other users of this machine out; in the environment, no file of it is left.
            os.environ.setdefault("RAY_AUTH_MODE", "token")
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        self.ray = _import_ray()
        self._stdout = sys.stdout
        sys.stdout = _WithoutRay(sys.stdout)
        try:
            with _signals_kept():
                self.ray.init(address=address, log_to_driver=False, logging_level="ERROR", **self._beginning())
        except (ConnectionError, RuntimeError) as error:
            raise _cannot_join(address, error) from error
        self.queue = EventQueue()

    def __str__(self) -> str:
        return "Ray on this machine" if self._folder else f"a Ray cluster of {counted(len(self.nodes()), 'node')}"

    def nodes(self) -> list[dict[str, Any]]:
        """The nodes that are alive, as Ray describes them."""
        return [node for node in self.ray.nodes() if node["Alive"]]

    def ask(
        self,
        nodes: Sequence[Mapping[str, Any]],
        question: Callable[[Any], Any],
        about: Any,
        environment: Mapping[str, str],
    ) -> dict[str, Any]:
        """Calls ``question(about)`` once on each node: what it answers by the node's id, or the error in its place."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        ray, asked = self.ray, {}
        shipped, task = ray.put(about), ray.remote(question)
        for node in nodes:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            options = {"num_cpus": 0, "max_retries": 0, "runtime_env": {"env_vars": dict(environment)}}
            asked[node["NodeID"]] = task.options(scheduling_strategy=there, **options).remote(shipped)
        ray.wait(list(asked.values()), num_returns=max(1, len(asked)), timeout=_ANSWER_S)
        return {identity: self._answer(ref) for identity, ref in asked.items()}

    def _answer(self, ref: Any) -> Any:
        try:
            return self.ray.get(ref, timeout=0)
        except self.ray.exceptions.GetTimeoutError:
            return TimeoutError(f"no answer within {_ANSWER_S:g} s")
        except self.ray.exceptions.RayTaskError as error:
            return error.cause or error
        except self.ray.exceptions.RayError as error:
            return error

    @contextmanager
    def telling_its_loss(self) -> Iterator[None]:
        """Turns what Ray raises when its head, or the node of this process, is gone into an ``InputError``."""
        try:
            yield
        except self.ray.exceptions.RayError as error:
            raise InputError(
                f"the Ray cluster does not answer any more ({first_line(error)}); start it again, then run the same "
                "command: it goes on where it was"
            ) from error

    def leave(self) -> None:
        """Ends the connection, and the cluster if it is this process's own."""
        try:
            with _signals_kept(), redirect_stdout(io.StringIO()):  # Ray prints once more what its listener has
                self.ray.shutdown()
        finally:  # an interruption may come in between
            if isinstance(sys.stdout, _WithoutRay):
                sys.stdout = self._stdout
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder = None

    def _beginning(self) -> dict[str, Any]:
        """What a cluster of this process is started with; nothing for one that is joined."""
        if self._folder is None:
            return {}
        return {
            "num_cpus": available_cores(),
            "object_store_memory": _OBJECT_STORE_BYTES,
            "include_dashboard": False,
            "_temp_dir": str(self._folder),
            "_node_ip_address": "127.0.0.1",
        }


class _WithoutRay(io.TextIOBase):
    """The standard output without what Ray's listener prints of lost workers: it may hold JSON, and they are told."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, text: str, /) -> int:
        return len(text) if threading.current_thread().name == "ray_listen_error_messages" else self._out.write(text)

    def flush(self) -> None:
        self._out.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._out, name)


class EventQueue:
    """What tasks tell, in the order of each; Ray's own queue on the node of this process."""

    def __init__(self) -> None:
        import ray
        from ray.util.queue import Queue
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._queue = Queue(_EVENTS_KEPT, actor_options={"num_cpus": 0, "scheduling_strategy": here})

    def tell(self, host: str, event: Event) -> None:
        """Called by a task on a node: what it has to say."""
        self._queue.put((host, event))

    def take(self) -> list[tuple[str, Event]]:
        """What was told since the last call, with the host that told it."""
        count = self._queue.qsize()
        return list(self._queue.get_nowait_batch(count)) if count else []


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray installs a handler of its own for SIGTERM; the program's stays."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _knock(address: str) -> None:
    """Whether anybody listens at ``HOST:PORT``, since Ray itself tries for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise InputError(f'--address "{address}": expected auto, local or HOST:PORT of the head')
    try:
        socket.create_connection((host, int(port)), _KNOCK_S).close()
    except OSError as error:
        raise _no_answer(address, error.strerror or str(error)) from error


def _no_answer(address: str, why: str) -> InputError:
    return InputError(
        f"--address {address}: no Ray cluster answers ({why}); start one with `ray start --head`, or leave --address "
        "out: then one is started for this command"
    )


def _cannot_join(address: str, error: ConnectionError | RuntimeError) -> InputError:
    """What kept Ray from joining a cluster that listens: another token, other versions, or a head that is ending."""
    if "InvalidAuthToken" in f"{error} {error.__cause__}":
        return InputError(
            f"--address {address}: this Ray cluster has a token, and this is not it; set RAY_AUTH_MODE=token and "
            "RAY_AUTH_TOKEN as on its nodes"
        )
    if isinstance(error, RuntimeError):
        return InputError(f"--address {address}: Ray cannot join this cluster: {' '.join(str(error).split())}")
    return _no_answer(address, first_line(error))


def _import_ray() -> Any:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Under `uv run`, Ray would send this folder to every node and build an environment there; nodes have their own.
    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
    try:
        import ray
    except ImportError:
        raise InputError(
            "--executor ray: Ray is not installed; uv run --extra ray ... (or pip install ray) brings it"
        ) from None
    return ray
