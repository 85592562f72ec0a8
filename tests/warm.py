"""A warm fork server: the real command line without the seconds that importing torch and MLflow takes each time.

``python tests/warm.py ADDRESS`` imports the libraries once and then forks a process for each request, with the words,
working folder, environment and file descriptors of its own. What runs in it is ``python -m MODULE ...`` as ever, except
for the libraries that are there already: of the harness itself nothing is imported before the fork. Tests of what is
imported when, and of kills, start fresh interpreters instead.
"""

import atexit
import fcntl
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, NoReturn

LIBRARIES = (
    *("numpy", "scipy.stats", "scipy.sparse.csgraph", "scipy.optimize", "scipy.special", "sklearn.datasets", "pandas"),
    *("torch", "torchvision", "timm", "numba", "PIL.Image", "matplotlib.pyplot", "matplotlib.backends.backend_svg"),
    *("mlflow", "mlflow.store.tracking.sqlalchemy_store", "mlflow.tracking", "alembic", "sqlalchemy", "optuna"),
    *("pydantic", "typer", "rich.console", "rich.live", "rich.markdown", "rich.progress", "markdown_it", "yaml"),
    *("filelock", "fsspec", "safetensors", "psutil", "threadpoolctl", "multiprocessing.connection", "unittest.mock"),
)
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
        self._line = socket.socket(socket.AF_UNIX)
        self._line.connect(_address())
        request = {"words": list(words), "folder": folder, "environment": dict(environment), "kept": kept}
        payload = json.dumps(request).encode()
        socket.send_fds(self._line, [len(payload).to_bytes(4)], list(descriptors))
        self._line.sendall(payload)
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

    def terminate(self) -> None:
        """Asks it to end."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)

    def _hear(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            self._line.settimeout(timeout)
            try:
                self.returncode = int.from_bytes(_receive(self._line, 4), signed=True)
            except (BlockingIOError, TimeoutError):
                return None
            self._line.close()
        return self.returncode


def run(
    words: Sequence[str], folder: str | Path, environment: Mapping[str, str], timeout_s: float
) -> "subprocess.CompletedProcess[str]":
    """Runs ``python -m words`` to its end; ``subprocess.run`` with its output captured as text."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors, Path(os.devnull).open("rb") as nothing:
        descriptors = [nothing.fileno(), output.fileno(), errors.fileno()]
        process = WarmProcess(words, str(folder), environment, descriptors, 0)
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        texts = []
        for file in (output, errors):
            file.seek(0)
            texts.append(file.read().decode())
        assert process.returncode is not None
        return subprocess.CompletedProcess(list(words), process.returncode, *texts)


def start_worker(descriptor: int, output: IO[bytes], environment: Mapping[str, str]) -> WarmProcess:
    """Starts a worker of the local executor: what ``harness.execute.local.start_worker`` does."""
    with Path(os.devnull).open("rb") as nothing:
        descriptors = [nothing.fileno(), output.fileno(), output.fileno(), descriptor]
        words = ["harness.execute.serve", str(descriptor)]
        return WarmProcess(words, str(Path.cwd()), environment, descriptors, descriptor)


_server: str | None = None
"""The server's socket, once it is started."""


def _address() -> str:
    """Returns the socket of this process's server, which starts on first use."""
    global _server
    if _server is not None:
        return _server
    folder = tempfile.mkdtemp(prefix="warm-")
    address = f"{folder}/socket"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "MPLBACKEND": "agg"}
    words = [sys.executable, __file__, address]
    server = subprocess.Popen(words, stdin=subprocess.PIPE, env=environment, start_new_session=True)

    def end() -> None:
        assert server.stdin is not None
        server.stdin.close()
        server.wait()
        Path(address).unlink(missing_ok=True)
        Path(folder).rmdir()

    atexit.register(end)
    ends = time.monotonic() + _START_S
    while not Path(address).exists():
        assert server.poll() is None, "the fork server ended at its start"
        assert time.monotonic() < ends, "the fork server does not start"
        time.sleep(0.05)
    _server = address
    return address


def serve(address: str) -> None:
    """Forks a process for each request until standard input ends."""
    for name in LIBRARIES:
        importlib.import_module(name)
    assert not any(name.partition(".")[0] == "harness" for name in sys.modules)
    gc.collect()
    gc.freeze()  # pages that no collection touches stay shared
    selector, listener = selectors.DefaultSelector(), socket.socket(socket.AF_UNIX)
    listener.bind(f"{address}.new")
    listener.listen(64)
    Path(f"{address}.new").rename(address)
    selector.register(0, selectors.EVENT_READ)
    selector.register(listener, selectors.EVENT_READ)
    running: dict[int, tuple[int, socket.socket]] = {}
    while True:
        for key, _ in selector.select():
            if key.fd == 0:
                for pid, _ in running.values():
                    os.killpg(pid, signal.SIGKILL)
                return
            if key.fd in running:
                pid, line = running.pop(key.fd)
                selector.unregister(key.fd)
                os.close(key.fd)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                with suppress(BrokenPipeError):
                    line.sendall(code.to_bytes(4, signed=True))
                line.close()
                continue
            line, _ = listener.accept()
            size, descriptors, *_ = socket.recv_fds(line, 4, 8)
            request = json.loads(_receive(line, int.from_bytes(size)))
            if (pid := os.fork()) == 0:
                selector.close()
                for end in (listener, line, *(other for _, other in running.values())):
                    end.close()
                for descriptor in running:
                    os.close(descriptor)
                _become(address, descriptors, **request)
            for descriptor in descriptors:
                os.close(descriptor)
            line.sendall(pid.to_bytes(4))
            running[descriptor := os.pidfd_open(pid)] = pid, line
            selector.register(descriptor, selectors.EVENT_READ)


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
    global _server
    _server = address
    local = importlib.import_module("harness.execute.local")
    local.start_worker = start_worker  # type: ignore[attr-defined]
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    sys.exit()


def _receive(line: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        if not (part := line.recv(size - len(data))):
            raise EOFError("the fork server has ended")
        data += part
    return data


if __name__ == "__main__":
    serve(sys.argv[1])
