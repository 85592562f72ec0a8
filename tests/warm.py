"""A warm fork server: the real command line without the seconds that importing torch and MLflow takes each time.

``python tests/warm.py ADDRESS SUITE`` imports the libraries once and then forks a process for each request, with the
words, working folder, environment and file descriptors of its own. What runs in it is ``python -m MODULE ...`` as ever,
except for what is there already: the libraries, numba's tables, the harness's own modules, none of which reads its
surroundings when it is imported, and their syntax trees. Tests of what is imported when start fresh interpreters
instead.
"""

import atexit
import fcntl
import gc
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NoReturn

import psutil
from filelock import FileLock

LIBRARIES = (
    *("numpy", "scipy.stats", "scipy.sparse.csgraph", "scipy.optimize", "scipy.special", "sklearn.datasets", "pandas"),
    *("torch", "torchvision", "timm", "numba", "PIL.Image", "matplotlib.pyplot", "matplotlib.backends.backend_svg"),
    *("mlflow", "mlflow.store.tracking.sqlalchemy_store", "mlflow.tracking", "alembic", "sqlalchemy", "optuna"),
    *("pydantic", "typer", "rich.console", "rich.live", "rich.markdown", "rich.progress", "markdown_it", "yaml"),
    *("filelock", "fsspec", "safetensors", "psutil", "threadpoolctl", "multiprocessing.connection", "unittest.mock"),
)
STAGES = ("harness.reid.train.stage", "harness.reid.train.probe")
"""The modules that run the stages of the paper's trainer."""
COLD_WORKERS = "COLD_WORKERS"
"""A variable: where a command has it, its workers are interpreters of their own, as they are for a user."""
_START_S = 240.0


class WarmProcess:
    """A process of the fork server, with the part of ``subprocess.Popen`` that is needed here."""

    def __init__(
        self, words: Sequence[str], folder: str, environment: Mapping[str, str], descriptors: Sequence[int], kept: int
    ) -> None:
        """Starts ``python -m words``.

        Args:
            words: The module and its arguments.
            folder: The working folder.
            environment: All of its environment.
            descriptors: Standard input, output and error, and any others.
            kept: At which number each of the others is to be found; with one of them at most.
        """
        self.returncode: int | None = None
        request = {"words": list(words), "folder": folder, "environment": dict(environment), "kept": kept}
        self._line = _send({**request, "starter": os.getpid()}, descriptors)
        self.pid = int.from_bytes(_receive(self._line, 4))

    def poll(self) -> int | None:
        """Returns the exit code (the signal's number, negative), None while it runs."""
        return self._hear(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Returns the exit code once it has ended; raises ``TimeoutExpired``."""
        code = self._hear(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("a warm process", timeout or 0.0)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Sends it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Asks it to end."""
        self.send_signal(signal.SIGTERM)

    def _hear(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            self._line.settimeout(timeout)
            try:
                self.returncode = int.from_bytes(_receive(self._line, 4), signed=True)
            except (BlockingIOError, TimeoutError):
                return None
            self._line.close()
        return self.returncode


class WarmCommand(WarmProcess):
    """A command of the fork server whose output is kept as text; what ``subprocess.Popen`` is with pipes."""

    def __init__(self, words: Sequence[str], folder: str | Path, environment: Mapping[str, str]) -> None:
        self._files = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115 - live as long as the command
        with Path(os.devnull).open("rb") as nothing:
            descriptors = [nothing.fileno(), *(file.fileno() for file in self._files)]
            super().__init__(words, str(folder), environment, descriptors, 0)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Returns standard output and error once it has ended; raises ``TimeoutExpired``."""
        self.wait(timeout)
        texts = []
        for file in self._files:
            file.seek(0)
            texts.append(file.read().decode())
        return texts[0], texts[1]

    def notices(self) -> str:
        """Returns what it has written to standard error so far."""
        descriptor = self._files[1].fileno()
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="replace")

    def kill(self) -> None:
        """Kills it, and waits; its workers end by themselves."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()

    def workers(self) -> list[psutil.Process]:
        """Returns its workers that live."""
        return [psutil.Process(pid) for pid in _ask({"workers_of": self.pid}) if psutil.pid_exists(pid)]


def run(
    words: Sequence[str], folder: str | Path, environment: Mapping[str, str], timeout_s: float
) -> "subprocess.CompletedProcess[str]":
    """Runs ``python -m words`` to its end; ``subprocess.run`` with its output captured as text."""
    process = WarmCommand(words, folder, environment)
    try:
        output, errors = process.communicate(timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode is not None
    return subprocess.CompletedProcess(list(words), process.returncode, output, errors)


def start_worker(descriptor: int, output: IO[bytes], environment: Mapping[str, str]) -> WarmProcess:
    """Starts a worker of the local executor: what ``harness.execute.local.start_worker`` does."""
    with Path(os.devnull).open("rb") as nothing:
        descriptors = [nothing.fileno(), output.fileno(), output.fileno(), descriptor]
        words = ["harness.execute.serve", str(descriptor)]
        return WarmProcess(words, str(Path.cwd()), environment, descriptors, descriptor)


def _send(request: Mapping[str, Any], descriptors: Sequence[int]) -> socket.socket:
    """Sends the server a request; returns the line on which it answers."""
    line = socket.socket(socket.AF_UNIX)
    line.connect(_address())
    payload = json.dumps(request).encode()
    socket.send_fds(line, [len(payload).to_bytes(4)], list(descriptors))
    line.sendall(payload)
    return line


def _ask(question: Mapping[str, Any]) -> list[int]:
    """Returns the server's answer to a question: numbers of processes."""
    with Path(os.devnull).open("rb") as nothing, _send(question, [nothing.fileno()]) as line:
        pids: list[int] = json.loads(_receive(line, int.from_bytes(_receive(line, 4))))
        return pids


_server: str | None = None
"""The server's socket, once it is known."""


def _address() -> str:
    """Returns the socket of the suite's server, which starts on first use; parallel processes of a suite share it."""
    global _server
    if _server is None:
        address = begin()
        started, ends = Path(f"{address}.pid"), time.monotonic() + _START_S
        while not address.exists():
            assert _lives(int(started.read_text())), "the fork server ended at its start"
            assert time.monotonic() < ends, "the fork server does not start"
            time.sleep(0.05)
        _server = str(address)
    return _server


def begin() -> Path:
    """Starts the suite's server unless that was done, without waiting for it; returns its address."""
    suite = psutil.Process(os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid())
    address = Path(tempfile.gettempdir()) / f"warm-{suite.pid}-{suite.create_time():.2f}"
    started = Path(f"{address}.pid")
    with FileLock(f"{address}.lock"):
        if not started.exists():
            variables = {"OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "MPLBACKEND": "agg"}
            words = [sys.executable, __file__, str(address), str(suite.pid)]
            server = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, env={**os.environ, **variables}, start_new_session=True
            )
            _ours.append(server)
            started.write_text(str(server.pid))
    return address


def _lives(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


_ours: list["subprocess.Popen[bytes]"] = []
"""The server, where this process started it: kept, so that nothing takes it for a process that was forgotten."""


_code: int | None = None
"""The exit code of a forked process whose module came to its end."""


def _leave() -> None:
    """Ends a forked process without taking the interpreter down, which costs a second after that many libraries.

    It is registered first and so called last, when threads have been joined and all other exit functions have run.
    """
    if _code is not None:
        with suppress(OSError, ValueError):  # where nobody reads its output, the interpreter chooses the exit code
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(_code)


def serve(address: str, suite: int) -> None:
    """Forks a process for each request until the process ``suite`` ends."""
    atexit.register(_leave)
    suite_ends = os.pidfd_open(suite)
    for name in LIBRARIES:
        importlib.import_module(name)
    _prepare()
    gc.collect()
    gc.freeze()  # pages that no collection touches stay shared
    selector, listener = selectors.DefaultSelector(), socket.socket(socket.AF_UNIX)
    listener.bind(f"{address}.new")
    listener.listen(64)
    Path(f"{address}.new").rename(address)
    selector.register(suite_ends, selectors.EVENT_READ)
    selector.register(listener, selectors.EVENT_READ)
    running: dict[int, tuple[int, int, socket.socket]] = {}
    while True:
        for key, _ in selector.select():
            if key.fd == suite_ends:
                for pid, _, _ in running.values():
                    os.killpg(pid, signal.SIGKILL)
                for file in (address, f"{address}.lock", f"{address}.pid"):
                    Path(file).unlink(missing_ok=True)
                return
            if key.fd in running:
                pid, _, line = running.pop(key.fd)
                selector.unregister(key.fd)
                os.close(key.fd)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                with suppress(ConnectionError):
                    line.sendall(code.to_bytes(4, signed=True))
                line.close()
                continue
            line, _ = listener.accept()
            if (taken := _take_request(line)) is None:
                line.close()
                continue
            request, descriptors = taken
            if "workers_of" in request:
                answer = json.dumps([pid for pid, by, _ in running.values() if by == request["workers_of"]]).encode()
                with suppress(ConnectionError):
                    line.sendall(len(answer).to_bytes(4) + answer)
                for descriptor in descriptors:
                    os.close(descriptor)
                line.close()
                continue
            starter = request.pop("starter")
            if (pid := os.fork()) == 0:
                selector.close()
                for end in (listener, line, *(other for *_, other in running.values())):
                    end.close()
                for descriptor in running:
                    os.close(descriptor)
                _become(address, descriptors, **request)
            for descriptor in descriptors:
                os.close(descriptor)
            with suppress(ConnectionError):  # the command was killed: the worker that it wanted ends by itself
                line.sendall(pid.to_bytes(4))
            running[descriptor := os.pidfd_open(pid)] = pid, starter, line
            selector.register(descriptor, selectors.EVENT_READ)


def _take_request(line: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Returns a request and its descriptors; None if the process that sent it was killed meanwhile."""
    descriptors: list[int] = []
    try:
        size, descriptors, *_ = socket.recv_fds(line, 4, 8)
        if not size:
            return None
        return json.loads(_receive(line, int.from_bytes(size))), descriptors
    except (EOFError, ConnectionError):
        for descriptor in descriptors:
            os.close(descriptor)
        return None


def _prepare() -> None:
    """Has done what every run and every worker would otherwise do again for half a second each."""
    importlib.import_module("numba").njit(lambda: 0)()
    for module in pkgutil.walk_packages(importlib.import_module("harness").__path__, "harness."):
        if module.name != "harness.__main__":
            importlib.import_module(module.name)
    code = importlib.import_module("harness.code")
    code.code_parts(STAGES)  # syntax trees, and whatever else it keeps by the state of a file
    code.code_digest(STAGES)
    importlib.import_module("harness.execute.versions").imported_libraries(STAGES)
    assert threading.active_count() == 1, "threads do not survive a fork"
    assert "ray" not in sys.modules, "a process with Ray would set it up before it has its environment"


def _become(
    address: str, descriptors: list[int], *, words: list[str], folder: str, environment: dict[str, str], kept: int
) -> NoReturn:
    """Makes this process what ``python -m words`` would be, and runs it."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    aside = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 200) for descriptor in descriptors]
    for descriptor in descriptors:
        os.close(descriptor)
    for number, descriptor in zip((0, 1, 2, kept), aside, strict=False):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    added = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = [*([] if environment.get("PYTHONSAFEPATH") else [folder]), *added, *sys.path[1:]]
    sys.path_importer_cache.clear()
    sys.argv[:] = words
    sys.orig_argv[:] = [sys.executable, "-m", *words]
    with suppress(ModuleNotFoundError):  # as every interpreter does at its start
        importlib.import_module("sitecustomize")
    global _server, _code
    _server = address
    if COLD_WORKERS not in environment:
        local = importlib.import_module("harness.execute.local")
        local.start_worker = start_worker  # type: ignore[attr-defined]
    try:
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
        sys.exit()
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            _code = (ended.code or 0) & 0xFF
        raise


def _receive(line: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        if not (part := line.recv(size - len(data))):
            raise EOFError("the fork server has ended")
        data += part
    return data


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
