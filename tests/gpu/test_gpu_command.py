"""The GPU command: its parts run in order, each within its budget, and no part's failure affects another."""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from gpu_runner import GRACE_S, Ended, Part, keep, run_parts, scaled

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
COMMAND = BENCHMARKS / "gpu.py"
WRITES = """
import json, sys
from pathlib import Path
Path(sys.argv[sys.argv.index("--json") + 1]).write_text(json.dumps({"rows": [{"a": 1}]}))
"""
STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = [sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"]
started = subprocess.Popen(child, start_new_session=True)
open(sys.argv[1], "w").write(f"{os.getpid()} {started.pid}")
time.sleep(600)
"""


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Runs parts given as (name, source, budget) and returns how each ended, with its time limit in seconds."""

    def run(*parts: tuple[str, str, float], total_s: float = 60.0, **more: Any) -> dict[str, tuple[float, Ended]]:
        listed = []
        for name, source, budget_s in parts:
            script = tmp_path / f"{name}.py"
            script.write_text(source)
            listed.append(Part(name, (str(script), str(tmp_path / f"{name}.pids")), budget_s, **more))
        ends: dict[str, tuple[float, Ended]] = {}
        run_parts(
            listed,
            tmp_path,
            deadline=time.monotonic() + total_s,
            environment=dict(os.environ),
            on_end=lambda part, limit_s, ended: ends.update({part.name: (limit_s, ended)}),
        )
        return ends

    return run


def test_parts_run_in_order_and_may_use_time_left_by_others(run: Any) -> None:
    ends = run(("a", WRITES, 20.0), ("b", WRITES, 10.0), ("c", WRITES, 8.0), ("d", WRITES, 1.0), total_s=300.0)
    assert list(ends) == ["a", "b", "c", "d"]
    assert [ended.status for _, ended in ends.values()] == ["ok"] * 4
    assert [limit_s for limit_s, _ in ends.values()][:3] == [20.0, 20.0, 16.0]
    assert 200.0 < ends["d"][0] < 300.0 - GRACE_S, "the last one may take all that is left"
    assert ends["c"][1].measured == {"rows": [{"a": 1}]}


def test_a_failing_part_is_reported_by_its_last_line_and_does_not_affect_the_next(run: Any, tmp_path: Path) -> None:
    ends = run(
        ("loud", "print('some output'); raise SystemExit('no such kernel')", 20.0),
        ("partial", WRITES + "raise ValueError('after the first row')", 20.0),
        ("silent", "", 20.0),
        ("garbled", WRITES.replace('json.dumps({"rows": [{"a": 1}]})', "'{'"), 20.0),
        ("whole", WRITES, 20.0),
    )
    assert {name: (ended.status, ended.reason) for name, (_, ended) in ends.items()} == {
        "loud": ("failed", "exit code 1: no such kernel"),
        "partial": ("failed", "exit code 1: ValueError: after the first row"),
        "silent": ("failed", "it wrote nothing"),
        "garbled": ("failed", "it wrote nothing"),
        "whole": ("ok", ""),
    }
    assert ends["partial"][1].measured == {"rows": [{"a": 1}]}
    assert "== loud: " in (tmp_path / "gpu.log").read_text()
    assert "some output" in (tmp_path / "gpu.log").read_text()


def test_a_part_that_runs_out_of_time_is_killed_with_its_children_and_keeps_its_measurements(
    run: Any, tmp_path: Path
) -> None:
    started = time.monotonic()
    half = 'Path(sys.argv[-1] + ".tmp").write_text("half")'
    ends = run(("hangs", WRITES + half + STUBBORN, 2.0), ("next", WRITES, 20.0), least_s=1.0)
    limit_s, ended = ends["hangs"]
    assert (limit_s, ended.status, ended.measured) == (2.0, "cut short", {"rows": [{"a": 1}]})
    assert ended.reason == "not done after 2 s"
    assert ended.seconds < 2.0 + 2 * GRACE_S + 1.0
    assert ends["next"][1].status == "ok"
    assert time.monotonic() - started < 30.0
    assert not list(tmp_path.glob(".*"))
    for pid in map(int, (tmp_path / "hangs.pids").read_text().split()):
        assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_no_part_is_started_that_cannot_finish_before_the_deadline(run: Any) -> None:
    ends = run(("late", WRITES, 20.0), total_s=GRACE_S + 2.0)
    limit_s, ended = ends["late"]
    assert limit_s == pytest.approx(2.0, abs=0.5)
    assert (ended.status, ended.measured) == ("left out", None)
    assert ended.reason == "2 s left, it takes 5 s or more"


def test_budgets_are_scaled_to_the_available_minutes() -> None:
    parts = scaled([Part("a", (), 30.0, 7.0), Part("b", (), 10.0)], 20.0)
    assert [(part.budget_s, part.least_s) for part in parts] == [(15.0, 7.0), (5.0, 5.0)]


def test_kept_files_are_written_completely(tmp_path: Path) -> None:
    keep(tmp_path / "gpu.json", {"parts": {}})
    keep(tmp_path / "gpu.json", {"parts": {"a": 1}})
    assert json.loads((tmp_path / "gpu.json").read_text()) == {"parts": {"a": 1}}
    assert [path.name for path in tmp_path.iterdir()] == ["gpu.json"]


def command(*words: str | Path, **more: Any) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, str(COMMAND), *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def test_a_missing_device_is_refused_in_one_sentence(tmp_path: Path) -> None:
    asked = command("--out", tmp_path / "out", env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    _, errors = asked.communicate(timeout=900)
    assert asked.returncode == 2
    assert errors.splitlines()[-1].endswith("finds no CUDA device; expected one, or --device cpu")
    assert not (tmp_path / "out").exists()


def test_the_page_includes_every_part_and_says_why_one_is_missing(tmp_path: Path) -> None:
    import gpu
    import report

    assert tuple(part.name for part in gpu.parts("paper", "cuda", tmp_path)) == report.GPU
    place = {
        "command": "python x.py",
        "device": "D",
        "torch": "2",
        "python": "3",
        "load": 1.0,
        "target": "",
        "note": "",
    }
    tables = [{"what": "More", "rows": [{"b": 2}]}]
    parts = {
        "tests": {"status": "ok", "reason": "", "measured": {**place, "rows": [{"a": 1}], "further": tables}},
        "demo": {"status": "failed", "reason": "exit code 1: no", "measured": None},
        "step": {"status": "cut short", "reason": "not done after 9 s", "measured": {**place, "rows": [{"a": 3}]}},
    }
    keep(tmp_path / "gpu.json", {"command": "python gpu.py --minutes 8", "parts": parts})
    page = report.report(tmp_path, "# Benchmarks\n\n## Losses\n\nas it was\n")
    assert "## Losses\n\nas it was\n" in page
    section = page.partition("## On a GPU")[2]
    assert "| a |\n| ---: |\n| 1 |" in section
    assert "`python gpu.py --minutes 8 --parts tests`" in section
    assert "More:\n\n| b |" in section
    assert "--parts demo`: *not measured* (failed: exit code 1: no)" in section
    assert "Cut short: not done after 9 s" in section
    assert "--parts stages`: *not measured*\n" in section


def test_hours_of_table_1_are_the_images_of_its_plan_over_the_measured_speeds(monkeypatch: pytest.MonkeyPatch) -> None:
    import gpu_step

    speeds = {"plain": {"classify": 4000.0, "metric": 2000.0}, "full": {"classify": 1000.0, "metric": 500.0}}
    way = {"precision": "bfloat16", "way": "plain"}
    rows = [
        {**way, "network": network, "stage": stage, "loop images/s": speed}
        for network, stages in speeds.items()
        for stage, speed in stages.items()
    ]
    slow = [{**row, "way": "recomputed", "loop images/s": 1.0} for row in rows]
    lacking = [{**row, "precision": "tf32"} for row in rows[1:]]
    monkeypatch.setattr(gpu_step, "seconds_of_evaluations", lambda options: 1800.0)
    (line,) = gpu_step.hours_of_table([*rows, *slow, *lacking], argparse.Namespace(scale="paper"))
    # A stage shows 12,936 images 150 times. Plain: one classify (rows 1, 3 and 3(T) share it), three metric (2, 3,
    # 3(T)); full: two classify (4 and 5 share one, 6 and 8 the other), three metric (5, 7, 8). Each under three seeds.
    seconds = 3 * 12936 * 150 * (1 / 4000 + 3 / 2000 + 2 / 1000 + 3 / 500)
    assert (line["precision"], line["trainings"], line["scoring h"]) == ("bfloat16", 27, 0.5)
    assert line["GPU-hours"] == pytest.approx(seconds / 3600 + 0.5)


def test_a_profile_says_what_bounds_the_step() -> None:
    import gpu_profile

    kernels = [
        {"kernel": "sm90_xmma_wgrad_implicit_gemm_bf16", "calls": 40, "s": 0.6},
        {"kernel": "void cudnn::bn_fw_tr_1C11_kernel_NCHW<|>", "calls": 20, "s": 0.3},
        {"kernel": "void at::native::vectorized_elementwise_kernel", "calls": 9, "s": 0.05},
    ]
    rows, summary = gpu_profile.table(kernels, wall_s=1.0, steps=10)
    assert [row["ms a step"] for row in rows] == pytest.approx([60.0, 30.0, 5.0])
    assert "|" not in rows[1]["kernel"]  # it would end a cell of the page
    assert summary == (
        "the step is bound by convolutions and products: of 100 ms a step the device works 95 ms (95%), "
        "63% of it on convolutions and products"
    )
    assert [line["kind"] for line in gpu_profile.by_family(kernels)] == [
        "convolutions and products",
        "normalisation",
        "elementwise operations and sums",
    ]
    _, idle = gpu_profile.table(kernels, wall_s=4.0, steps=10)
    assert idle.startswith("the step is bound by what keeps the device waiting")


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_whole_command_runs_on_a_cpu_and_its_page_is_written(tmp_path: Path) -> None:
    import report

    minutes = 20
    started = time.monotonic()
    running = command("--out", tmp_path, "--device", "cpu", "--scale", "tiny", "--minutes", minutes)
    output, errors = running.communicate()
    assert running.returncode == 0, output + errors + (tmp_path / "gpu.log").read_text()[-3000:]
    assert time.monotonic() - started < 60 * minutes
    kept = json.loads((tmp_path / "gpu.json").read_text())["parts"]
    assert tuple(kept) == report.GPU
    assert {name: part["status"] for name, part in kept.items()} == dict.fromkeys(kept, "ok")
    assert len(output.splitlines()) == len(kept) + 1  # one line per part, and one with the path
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gpu.json", "gpu.log"]
    assert not any(row["why not"] for row in kept["step"]["measured"]["rows"])
    section = report.report(tmp_path).partition("## On a GPU")[2]
    assert "*not measured*" not in section
    for word in ("bfloat16", "GPU-hours", "re-ranked", "training waits", "triplet", "at a time", "ms a step"):
        assert word in section, word


@pytest.mark.slow
def test_a_terminated_command_leaves_nothing_running_and_keeps_its_measurements(tmp_path: Path) -> None:
    running = command("--out", tmp_path, "--device", "cpu", "--scale", "tiny", "--parts", "losses", "stages")
    deadline = time.monotonic() + 900
    while not (tmp_path / "gpu.json").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(3.0)
    children = psutil.Process(running.pid).children(recursive=True)
    assert children
    running.send_signal(signal.SIGTERM)
    output, _ = running.communicate(timeout=30)
    assert running.returncode == 130
    assert "what was measured is kept" in output
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    assert list(json.loads((tmp_path / "gpu.json").read_text())["parts"]) == ["losses"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_gpu_tests_pass_on_a_cpu() -> None:
    words = ["-m", "gpu", "-q", "-o", "addopts=", "-p", "no:cacheprovider", str(Path(__file__).parent)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        env={**os.environ, "HARNESS_TEST_DEVICE": "cpu", "CUDA_VISIBLE_DEVICES": ""},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "skipped" not in done.stdout
