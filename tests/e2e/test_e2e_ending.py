"""Ctrl-C and SIGTERM end every command, whatever its threads wait for, and nothing that it started is left behind.

The commands are made to wait for ever: for a file on a drive that does not answer, or for a tracker that takes a
connection and says nothing. The limits of the tests are such that only a command that never ends reaches them.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import warm
from conftest import DEMO, Filled, background, cold_background

LIMIT_S = 60
COLD = ("data", signal.SIGINT)
"""The command, and its signal, that has an interpreter of its own."""

STUCK = """\
import builtins, io, os, sys

opened = io.open

def open_unless_stuck(file, *arguments, **keywords):
    here = os.environ["STUCK_IN"] in " ".join(sys.orig_argv)
    if here and isinstance(file, (str, os.PathLike)) and os.fspath(file).endswith(os.environ["STUCK_AT"]):
        opened("stuck", "w").close()
        if os.environ["STUCK_HOW"] == "library":
            import ctypes

            mutex = ctypes.create_string_buffer(64)
            while True:  # the second time waits for itself, and no signal ends that
                ctypes.CDLL(None).pthread_mutex_lock(mutex)
        opened("pipe", "rb")
    return opened(file, *arguments, **keywords)

io.open = builtins.open = open_unless_stuck
if patience := os.environ.get("PATIENCE_S"):
    sys.modules["harness.cli.ending"]._ORDERLY_S = float(patience)
    sys.modules["harness.execute.local"].GRACE_S = float(patience)
"""
"""Python runs a module of the name ``sitecustomize`` first of all, in every process. Nobody writes into ``pipe``."""

SEARCH = """\
title: Tiny margins
table: tiny.yaml
tune: once
rows: ["3"]
space:
  losses.quadruplet.epsilon1: {choices: [0.3, 0.6]}
sampler: grid
budget: {trials: 1}
metric: mAP
seeds: [0]
confirm: [5]
held_out: {share: 0.4, seed: 1}
"""


@pytest.fixture
def stuck_place(place: Path, photographs: Path, filled: Filled, tmp_path: Path) -> Path:
    """A place for commands in which no file that ends like ``$STUCK_AT`` ever opens (see ``STUCK``)."""
    (tmp_path / "sitecustomize.py").write_text(STUCK)
    (place / "data").symlink_to(photographs)
    (place / "margins.yaml").write_text(SEARCH)
    os.mkfifo(place / "pipe")
    features = np.eye(4, dtype=np.float32)
    np.savez(
        place / "features.npz",
        **{
            f"{side}_{name}": features if name == "features" else np.arange(4)
            for side in ("query", "gallery")
            for name in ("features", "ids", "cameras")
        },
    )
    return place


def end(place: Path, happened: Callable[[], bool], number: signal.Signals, *words: str, **variables: str) -> None:
    """Starts a command, waits until it is stuck, and ends it by a signal.

    One command, which imports little, has an interpreter of its own; the others are forked from where libraries are.
    """
    start = cold_background if (words[0], number) == COLD else background
    running = start(place, *words, **variables)
    try:
        wait_until(happened, running)
        forked = running.workers() if isinstance(running, warm.WarmCommand) else []
        started = forked + psutil.Process(running.pid).children(recursive=True)
        running.send_signal(number)
        _, printed = running.communicate(timeout=LIMIT_S)
    finally:
        running.kill()
    assert running.returncode == 128 + number, printed
    assert "Traceback" not in printed
    _, left = psutil.wait_procs(started, timeout=LIMIT_S)
    assert not left


def wait_until(happened: Callable[[], bool], running: "warm.WarmCommand | subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 900
    while not happened():
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline, "the command did not come to what it should wait for"
        time.sleep(0.05)


DEMO_RUN = ["run", "tiny.yaml", "--data", "data", *DEMO]
IN_PROCESS = ["run", "tiny.yaml", "--data", "data", "--profile", "demo", "--executor", "inprocess"]
WORKER = "harness.execute.serve"


@pytest.mark.parametrize(
    ("words", "at", "within", "how", "number"),
    [
        (["data", "check", "data"], ".jpg", "", "pipe", signal.SIGTERM),
        (["data", "check", "data"], ".jpg", "", "pipe", signal.SIGINT),
        (["plan", "tiny.yaml", "--data", "data", "--profile", "demo"], ".jpg", "", "pipe", signal.SIGTERM),
        (["plan", "tiny.yaml"], "tiny.yaml", "", "library", signal.SIGTERM),
        (DEMO_RUN, ".jpg", "", "pipe", signal.SIGTERM),
        (DEMO_RUN, ".npy", WORKER, "library", signal.SIGINT),
        (IN_PROCESS, "spool.jsonl", "", "library", signal.SIGTERM),
        (["search", "margins.yaml", "--data", "data", *DEMO], ".npy", WORKER, "pipe", signal.SIGTERM),
        (["evaluate", "features.npz"], "features.npz", "", "pipe", signal.SIGTERM),
        (["evaluate", "features.npz"], "features.npz", "", "library", signal.SIGINT),
        (["cache", "verify"], "weights.safetensors", "", "library", signal.SIGTERM),
    ],
    ids=lambda value: "-".join(value[:2]) if isinstance(value, list) else None,
)
def test_a_file_that_never_opens_keeps_no_command_from_ending(
    words: list[str],
    at: str,
    within: str,
    how: str,
    number: signal.Signals,
    stuck_place: Path,
    filled: Filled,
    tmp_path: Path,
) -> None:
    if words[0] == "cache":
        filled.lend_store(stuck_place)
    variables = {"STUCK_AT": at, "STUCK_IN": within, "STUCK_HOW": how, "PYTHONPATH": str(tmp_path)}
    if not within and (words[0], number) != COLD:  # it alone is stuck: nothing to see in seconds of its patience
        variables["PATIENCE_S"] = "0.7"
    end(stuck_place, (stuck_place / "stuck").exists, number, *words, **variables)


def test_after_a_second_ctrl_c_a_run_waits_for_its_workers_no_longer(stuck_place: Path, tmp_path: Path) -> None:
    variables = {"STUCK_AT": ".npy", "STUCK_IN": WORKER, "STUCK_HOW": "library", "PYTHONPATH": str(tmp_path)}
    running = background(stuck_place, *DEMO_RUN, **variables, PATIENCE_S="900")
    try:
        wait_until((stuck_place / "stuck").exists, running)
        workers = running.workers()
        assert workers
        running.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            running.wait(1.0)  # of the 900 s that it has
        deadline = time.monotonic() + LIMIT_S
        while running.poll() is None and time.monotonic() < deadline:
            with suppress(ProcessLookupError):
                running.send_signal(signal.SIGINT)  # again: two that come before it sees the first are one
            time.sleep(0.5)
        _, printed = running.communicate(timeout=LIMIT_S)
    finally:
        running.kill()
    assert running.returncode == 130, printed
    assert "Traceback" not in printed
    _, left = psutil.wait_procs(workers, timeout=LIMIT_S)
    assert not left


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_interpreter_runs_finalizers_shows_no_traceback(
    number: signal.Signals, place: Path, tmp_path: Path
) -> None:
    text = f"import atexit, os\natexit.register(os.kill, os.getpid(), {number:d})\n"
    (tmp_path / "sitecustomize.py").write_text(text)
    running = background(place, "cache", "list", PYTHONPATH=str(tmp_path))
    _, printed = running.communicate(timeout=LIMIT_S)
    assert (running.returncode, printed) == (128 + number, "")


@pytest.fixture
def silent_tracker() -> Iterator[socket.socket]:
    """A server that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


@pytest.mark.parametrize("words", [["report", "tiny"], ["sync"], ["ui"]], ids=lambda words: words[0])
def test_a_tracker_that_says_nothing_keeps_no_command_from_ending(
    words: list[str], place: Path, silent_tracker: socket.socket
) -> None:
    taken: list[socket.socket] = []

    def asked() -> bool:
        try:
            taken.append(silent_tracker.accept()[0])
        except BlockingIOError:
            return False
        return True

    address = f"http://127.0.0.1:{silent_tracker.getsockname()[1]}"
    fill_outbox(place, address)
    end(place, asked, signal.SIGTERM, *words, MLFLOW_TRACKING_URI=address)
    assert taken, "the command was waiting for the tracker's answer when it was ended"
    for connection in taken:
        connection.close()


def fill_outbox(place: Path, address: str) -> None:
    """Leaves something in the outbox that ``sync`` has to deliver."""
    from harness.track.outbox import Outbox
    from harness.track.state import RunState

    outbox = Outbox(place / ".harness" / "outbox", address)
    outbox.write(outbox.new_path(), RunState("key", "table", "tiny", "tiny", 0, status="KILLED"))
