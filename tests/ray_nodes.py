"""A Ray cluster of the tests' own, on loopback."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

SETTINGS = {
    "RAY_health_check_initial_delay_ms": "200",
    "RAY_health_check_period_ms": "200",  # a killed node refuses five times in a second; a slow one has 10 s to answer
    "RAY_enable_worker_prestart": "false",  # they would lack the environment that the executor asks for
}
"""How soon the cluster notices that a node is lost, and what it does not start."""


class RayCluster:
    """A Ray cluster of the tests' own on loopback: a head, and nodes that come and are killed."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self._folder = folder
        self._environment = {**os.environ, **SETTINGS, **variables}
        port = self.address.partition(":")[2]
        head = ("--head", f"--port={port}", f"--temp-dir={folder}", "--include-dashboard=false", "--no-monitor")
        self._nodes = [self._start(*head)]
        wait_for(lambda: self._answers(), 60)

    def fill(self) -> None:
        """Starts a second node if there is none; returns when both have joined."""
        from ray._raylet import GcsClient  # asks without this process's only connection to Ray

        if len(self._nodes) < 2:
            self.add_node()
        head = GcsClient(address=self.address)
        wait_for(lambda: [node.state for node in head.get_all_node_info(timeout=10.0).values()].count(0) == 2, 60)

    def add_node(self) -> "subprocess.Popen[bytes]":
        """One more node of one CPU."""
        node = self._start(f"--address={self.address}")
        self._nodes.append(node)
        return node

    @property
    def newest(self) -> "subprocess.Popen[bytes]":
        """The node that was added last."""
        return self._nodes[-1]

    def kill(self, node: "subprocess.Popen[bytes]") -> None:
        """Ends a node as a power cut does: its raylet, all its workers and what watches over them, at once."""
        with suppress(psutil.NoSuchProcess):
            whole = psutil.Process(node.pid)
            for process in [*whole.children(recursive=True), whole]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        node.wait()
        self._nodes.remove(node)

    def close(self) -> None:
        for node in reversed(self._nodes.copy()):
            self.kill(node)

    def _start(self, *words: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start", "--block"]
        size = ["--num-cpus=1", "--object-store-memory=80000000", "--include-log-monitor=false"]
        with (self._folder / f"node-{len(words)}-{time.monotonic_ns()}.log").open("wb") as log:
            return subprocess.Popen(
                [*command, *words, *size, "--node-ip-address=127.0.0.1"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _answers(self) -> bool:
        assert self._nodes[0].poll() is None, "Ray's head did not start: " + " ".join(
            log.read_text(errors="replace")[-2000:] for log in self._folder.glob("*.log")
        )
        host, _, port = self.address.partition(":")
        with suppress(OSError), socket.create_connection((host, int(port)), 1):
            return True
        return False


def wait_for(condition: Callable[[], object], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
