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


class RayCluster:
    """A Ray cluster of the tests' own on loopback: a head, and nodes that come and are killed."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self._folder = folder
        self._environment = {**os.environ, **variables}
        port = self.address.partition(":")[2]
        self._nodes = [self._start("--head", f"--port={port}", f"--temp-dir={folder}", "--include-dashboard=false")]
        wait_for(lambda: self._answers(), 60)

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
        size = ["--num-cpus=1", "--object-store-memory=80000000"]
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
