"""MLflow's web pages: served from this machine, or those of the tracker if it is a server."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self
from urllib.error import URLError
from urllib.request import urlopen

from harness.errors import InputError
from harness.files import regular_file
from harness.track.address import is_server, resolve_uri, sqlite_path, without_password
from harness.track.client import artifact_folder, prepare_environment
from harness.track.probe import reach
from harness.track.reader import TableEntry, list_tables
from harness.track.view import runs_page

_HOST = "127.0.0.1"
_POLL_S = 0.25
_GRACE_S = 2.0
"""Seconds that the server has to exit by itself; it may wait for an open page."""


class Ui:
    """MLflow's pages at ``address``, until ``stop``; a context manager that stops.

    ``address`` opens on the runs of the table that was run last, or on the charts of a study.
    """

    def __init__(self, address: str, server: "_Server | None" = None) -> None:
        self.address = address
        self._server = server

    def wait(self) -> None:
        """Returns when the server ends by itself, or at Ctrl-C; at once for a server that is not ours."""
        if self._server is not None:
            self._server.wait()

    def stop(self) -> None:
        """Ends the server, if it is ours."""
        if self._server is not None:
            self._server.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start_ui(uri: str | None = None, port: int | None = None, *, patience_s: float = 180.0) -> Ui:
    """Shows the tracker's tables in MLflow's pages.

    A tracker that is a server is shown where it is. For any other store a server is started on this machine's loopback
    address, and this returns when it answers (MLflow takes up to a minute).

    Args:
        uri: The tracker's address; None as for ``Tracker``.
        port: The port to listen on; None for a free one.
        patience_s: How long to wait for the server.

    Raises:
        InputError: If the tracker does not answer or has no table, the port is taken, or the server does not start.
    """
    uri = resolve_uri(uri)
    reach(uri)
    if is_server(uri):
        return Ui(_page(uri, uri))
    path = sqlite_path(uri)
    if path is not None and not path.exists():
        raise InputError(f"{path}: no such store; run a table first: `python -m harness run ablations/table1.yaml`")
    server = _Server(uri, _free_port(port))
    try:
        # Reading the store imports MLflow here too, so it happens while the server starts.
        address = _page(uri, server.address)
        server.await_answer(patience_s)
    except BaseException:
        server.stop()
        raise
    return Ui(address, server)


class _Server:
    """An ``mlflow server`` of this interpreter, with all the processes that it starts."""

    def __init__(self, uri: str, port: int) -> None:
        self.address = f"http://{_HOST}:{port}"
        prepare_environment()
        # Its job runners are for other uses than ours, and take eight processes and two gigabytes.
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        # The address may hold a password, which a command line would show to everybody on the machine.
        environment["MLFLOW_BACKEND_STORE_URI"] = uri
        environment.setdefault("MLFLOW_ARTIFACTS_DESTINATION", artifact_folder(uri).as_uri())
        command = [sys.executable, "-m", "mlflow", "server", "--host", _HOST, "--port", str(port), "--workers", "1"]
        self._folder = TemporaryDirectory(prefix="harness-ui-")
        self._log = Path(self._folder.name) / "server.log"
        with self._log.open("wb") as log:
            # A group of their own: Ctrl-C reaches this process alone, which then ends all of them in order.
            self._process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0
            )

    def await_answer(self, patience_s: float) -> None:
        deadline = time.monotonic() + patience_s
        while not self._answers():
            ended = self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                what = "ended at once" if ended else f"did not answer within {patience_s:.0f} s"
                tail = "\n".join(regular_file(self._log).read_text(errors="replace").splitlines()[-15:])
                raise InputError(f"the MLflow server at {self.address} {what}; it said:\n{tail}")
            time.sleep(_POLL_S)

    def wait(self) -> None:
        try:
            self._process.wait()
        except KeyboardInterrupt:
            self.stop()

    def stop(self) -> None:
        for number, patience_s in ((signal.SIGTERM, _GRACE_S), (signal.SIGKILL, 10.0)):
            try:
                os.killpg(self._process.pid, number)
                self._process.wait(patience_s)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue
        self._process.wait()
        self._folder.cleanup()

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.address}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False


def _page(uri: str, server: str) -> str:
    tables: list[TableEntry] = list_tables(uri, ("table", "study"))
    if not tables:
        raise InputError(
            f"{without_password(uri)}: holds no tables yet; make one with `python -m harness run ablations/table1.yaml`"
        )
    return runs_page(server, tables[0].experiment_id, charts=tables[0].kind == "study")


def _free_port(wanted: int | None) -> int:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((_HOST, wanted or 0))
        except OSError as error:
            raise InputError(f"port {wanted}: cannot listen on it ({error.strerror}); name another one") from None
        port: int = listener.getsockname()[1]
        return port
