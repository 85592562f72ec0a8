"""What a person sees of a run while it works: on a terminal, and in a log."""

import io
import os
import pty
import re
from pathlib import Path
from typing import Any

import pytest
import warm
from conftest import DEMO, PLAIN, environment
from rich.console import Console

from harness.display import progress
from harness.execute.protocol import Event
from harness.plan import Plan, Run, Stage

STAGE = Stage("ab" * 16, "train", "classify", {}, None)


def plan_of_one_stage() -> Plan:
    run = Run("1", 0, (STAGE.fingerprint,))
    return Plan({STAGE.fingerprint: STAGE}, (run,), frozenset(), ())


@pytest.fixture
def screen(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """The output on standard error, whether or not that is a terminal."""
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=request.param, width=120, highlight=False, markup=False)
    monkeypatch.setattr(progress, "notices", lambda: console)
    return shown


def send(monitor: progress.Monitor, kind: Any, **detail: Any) -> None:
    monitor.on_event(Event(kind, STAGE.fingerprint, {"name": "classify", **detail}))


@pytest.mark.parametrize("screen", [True], indirect=True)
def test_a_bar_says_what_its_stage_does_before_there_are_steps_to_count(screen: io.StringIO) -> None:
    with progress.monitoring(plan_of_one_stage(), "table") as monitor:
        assert monitor._bars is not None

        def bar() -> str:
            screen.truncate(0)
            monitor._bars.refresh()
            *_, line = (line for line in screen.getvalue().splitlines() if "classify" in line)  # it redraws itself too
            return " ".join(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|━|╸|╺", "", line).split())

        send(monitor, "starting", doing="starting a worker")
        assert bar().startswith("classify · row 1 · seed 0 starting a worker 0:00:0")
        send(monitor, "started")
        send(monitor, "progress", doing="importing torch")
        assert bar().startswith("classify · row 1 · seed 0 importing torch 0:00:0")
        send(monitor, "progress", doing="decoding the images of train", done=1200, of=6660)
        assert bar().startswith("classify · row 1 · seed 0 decoding the images of train 1,200 of 6,660 0:00:0")
        send(monitor, "progress", step=5, steps=20, epoch=0.5, epochs=2, loss=1.25, images_per_s=80.0)
        assert bar().startswith("classify · row 1 · seed 0 5/20 epoch 0.5/2 loss 1.250 80 images/s 0:00:0")


@pytest.mark.parametrize("screen", [True], indirect=True)
def test_a_stage_that_another_process_took_has_no_bar(screen: io.StringIO) -> None:
    with progress.monitoring(plan_of_one_stage(), "table") as monitor:
        send(monitor, "starting", doing="starting a worker")
        send(monitor, "waiting")
        assert monitor._bars is not None
        assert [task.description for task in monitor._bars.tasks] == ["table"]


@pytest.mark.parametrize("screen", [False], indirect=True)
def test_a_log_holds_each_thing_once_however_often_it_is_reported(screen: io.StringIO) -> None:
    with progress.monitoring(plan_of_one_stage(), "table") as monitor:
        for _ in range(100):
            send(monitor, "starting", doing="starting a worker")
            send(monitor, "started")
            send(monitor, "progress", doing="importing torch")
            for step in range(100):
                send(monitor, "progress", step=step, steps=100)
    lines = screen.getvalue().splitlines()
    assert lines[:3] == [
        "preparing  classify · row 1 · seed 0: starting a worker",
        "started    classify · row 1 · seed 0",
        "preparing  classify · row 1 · seed 0: importing torch",
    ]
    assert set(lines[3:]) == {"started    classify · row 1 · seed 0"}


@pytest.mark.parametrize("screen", [False], indirect=True)
def test_a_warning_names_its_stage_and_its_repetitions_are_counted(screen: io.StringIO) -> None:
    with progress.monitoring(plan_of_one_stage(), "table") as monitor:
        for _ in range(3):
            send(monitor, "progress", warning="the optimizer has not converged")
        send(monitor, "progress", warning="the disk is nearly full")
    assert screen.getvalue().splitlines() == [
        "warning: classify · row 1 · seed 0: the optimizer has not converged",
        "warning: classify · row 1 · seed 0: the disk is nearly full",
        "warning, 2 more times: the optimizer has not converged",
    ]


@pytest.mark.parametrize("screen", [False], indirect=True)
def test_a_log_repeats_a_count_every_ten_seconds(screen: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with progress.monitoring(plan_of_one_stage(), "table") as monitor:
        for second in range(31):
            now = 100.0 + second
            send(monitor, "progress", doing="decoding the images of train", done=second, of=30)
    counts = [line.rpartition("train ")[2] for line in screen.getvalue().splitlines()]
    assert counts == ["0 of 30", "11 of 30", "22 of 30"]


def test_a_run_on_a_terminal_says_what_it_does_before_its_first_step(place: Path, photographs: Path) -> None:
    ours, theirs = pty.openpty()
    command = ["run", "tiny.yaml", "--rows", "1", *DEMO, *PLAIN, "--data", str(photographs)]
    with Path(os.devnull).open("r+b") as nothing:
        descriptors = [nothing.fileno(), nothing.fileno(), theirs]
        variables = environment() | {"TERM": "xterm", warm.COLD_WORKERS: "yes"}
        running = warm.WarmProcess(["harness", *command], str(place), variables, descriptors, 0)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # how a terminal says that nobody writes to it any more
        pass
    assert running.wait(900) == 0
    text = shown.decode()
    places = [text.find(doing) for doing in ("starting a worker", "importing torch", "training the first steps")]
    assert -1 < places[0] < places[1] < places[2]
    assert "0/?" not in text
