"""The connection to Ray: joins a cluster or starts a local one, and receives the events of its tasks.

Owns Ray's peculiarities: the order of its settings and its import, its signal handlers, its output. Ray is imported
when a connection is made, since it is an optional dependency and slow to import.
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
"""Of a local cluster; results go to the store, not to Ray."""
_EVENTS_KEPT = 100_000
_CONNECT_S = 10.0
_ANSWER_S = 300.0
"""Seconds that a node has to start a process, import the code from a cold disk, and answer."""


class RayCluster:
    """The connection to Ray, and this process's own cluster if it started one."""

    def __init__(self, address: str | None) -> None:
        address = address or os.environ.get("RAY_ADDRESS") or "local"
        if address.startswith("ray://"):
            raise InputError(
                f"--address {address}: stages cannot go through Ray's client; run this command on a machine of the "
                "cluster, with --address auto"
            )
        if address not in ("auto", "local"):
            _check_listening(address)
        self._folder = Path(tempfile.mkdtemp(prefix="harness-ray-")) if address == "local" else None
        if self._folder is not None:
            # The token locks out other users of this machine; set in the environment, it is not written to a file.
            os.environ.setdefault("RAY_AUTH_MODE", "token")
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        self.ray = _import_ray()
        self._stdout = sys.stdout
        sys.stdout = _WithoutRay(sys.stdout)
        try:
            with _signals_kept():
                self.ray.init(address=address, log_to_driver=False, logging_level="ERROR", **self._options())
        except (ConnectionError, RuntimeError) as error:
            raise cannot_join(address, error) from error
        self.queue = EventQueue()

    def __str__(self) -> str:
        return "Ray on this machine" if self._folder else f"a Ray cluster of {counted(len(self.nodes()), 'node')}"

    def nodes(self) -> list[dict[str, Any]]:
        """Returns Ray's descriptions of the nodes that are alive."""
        return [node for node in self.ray.nodes() if node["Alive"]]

    def ask(
        self,
        nodes: Sequence[Mapping[str, Any]],
        question: Callable[[Any], Any],
        about: Any,
        environment: Mapping[str, str],
    ) -> dict[str, Any]:
        """Calls ``question(about)`` once on each node; returns the answers, or errors in their place, by node id."""
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
    def reporting_loss(self) -> Iterator[None]:
        """Turns Ray's errors after the loss of its head, or of this process's node, into an ``InputError``."""
        try:
            yield
        except self.ray.exceptions.RayError as error:
            raise InputError(
                f"the Ray cluster no longer answers ({first_line(error)}); start it again, then run the same "
                "command: it resumes where it stopped"
            ) from error

    def leave(self) -> None:
        """Closes the connection, and shuts down this process's own cluster."""
        try:
            with _signals_kept(), redirect_stdout(io.StringIO()):  # Ray repeats what its listener printed
                self.ray.shutdown()
        finally:  # also after an interruption
            if isinstance(sys.stdout, _WithoutRay):
                sys.stdout = self._stdout
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder = None

    def _options(self) -> dict[str, Any]:
        """Returns the options of this process's own cluster; none for one that it joins."""
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
    """Standard output without the lines of Ray's listener about lost workers: it may hold JSON, and we report them."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, text: str, /) -> int:
        return len(text) if threading.current_thread().name == "ray_listen_error_messages" else self._out.write(text)

    def flush(self) -> None:
        self._out.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._out, name)


class EventQueue:
    """The events of tasks, in order for each task: a Ray queue on this process's node."""

    def __init__(self) -> None:
        import ray
        from ray.util.queue import Queue
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._queue = Queue(_EVENTS_KEPT, actor_options={"num_cpus": 0, "scheduling_strategy": here})

    def put(self, host: str, event: Event) -> None:
        """Sends an event; called by a task on the node ``host``."""
        self._queue.put((host, event))

    def take(self) -> list[tuple[str, Event]]:
        """Returns the events since the last call, each with its host."""
        count = self._queue.qsize()
        return list(self._queue.get_nowait_batch(count)) if count else []


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Restores the program's signal handlers, which Ray replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _check_listening(address: str) -> None:
    """Raises unless something listens at ``HOST:PORT``; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise InputError(f'--address "{address}": expected auto, local or HOST:PORT of the head')
    try:
        socket.create_connection((host, int(port)), _CONNECT_S).close()
    except OSError as error:
        raise _no_answer(address, error.strerror or str(error)) from error


def _no_answer(address: str, why: str) -> InputError:
    return InputError(
        f"--address {address}: no Ray cluster answers ({why}); start one with `ray start --head`, or leave --address "
        "out: then one is started for this command"
    )


def cannot_join(address: str, error: ConnectionError | RuntimeError) -> InputError:
    """Explains why Ray could not join a listening cluster: another token, other versions, or a head that is ending."""
    if "InvalidAuthToken" in f"{error} {error.__cause__}":
        return InputError(
            f"--address {address}: this Ray cluster and this process have different tokens; set "
            "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN as on its nodes"
        )
    if isinstance(error, RuntimeError):
        return InputError(f"--address {address}: Ray cannot join this cluster: {' '.join(str(error).split())}")
    return _no_answer(address, first_line(error))


def _import_ray() -> Any:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Under `uv run`, Ray would copy this folder to every node and build an environment there; nodes have their own.
    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
    try:
        import ray
        from ray._private import ray_constants
    except ImportError:
        raise InputError(
            "--executor ray: Ray is not installed; run the command with: uv run --extra ray ... (or pip install ray)"
        ) from None
    ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV = False  # where Ray was imported before, and has read the variable
    return ray
