"""No work is lost or repeated when the command is killed at random moments, run twice at once or interrupted.

``HARNESS_KILLS=30`` kills more often than a usual test run; ``HARNESS_KILL_SEED`` repeats the run that printed it.
"""

import json
import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import warm
from conftest import (
    DEMO,
    PLAIN,
    STAGES,
    TWO_AT_ONCE,
    Command,
    Filled,
    answer,
    background,
    run_harness,
    steps_of,
    tracked_runs,
)

from harness.spool import read_spool
from harness.track.tags import TAG_KEY
from harness.trainer import SPOOL

KILLS = int(os.environ.get("HARNESS_KILLS", "2"))
SEED = int(os.environ.get("HARNESS_KILL_SEED") or random.SystemRandom().randrange(1 << 32))


@pytest.mark.timeout(1800 + 300 * KILLS)
def test_a_table_killed_at_random_moments_ends_as_if_never_killed(
    make_place: Any, make_bare_place: Any, photographs: Path, filled: Filled
) -> None:
    """At random, data and tracker exist already or must be created first."""
    print(f"HARNESS_KILLS={KILLS} HARNESS_KILL_SEED={SEED}")
    draw, kills, places = random.Random(SEED), list[str](), 0
    while len(kills) < KILLS:
        bare = draw.random() < 0.5
        place, data = (make_bare_place(), ()) if bare else (make_place(), ("--data", photographs))
        whole = work_done(filled.place) + (len(list(photographs.rglob("*.jpg"))) if bare else 0)
        while not run_until_killed(place, data, draw, whole if len(kills) < KILLS else None, kills):
            pass
        assert_equal_to_uninterrupted(place, filled)
        places += 1
        print(f"{len(kills)} kills, {places} tables equal to the uninterrupted one", flush=True)


def work_done(place: Path) -> int:
    """Counts files and the training steps in them: a measure of progress that is independent of speed."""
    # Not with ``glob``, which fails if a folder is renamed meanwhile.
    found = [Path(folder, name) for folder, _, names in os.walk(place / ".harness") for name in names]
    steps = 0
    for path in found:
        with suppress(FileNotFoundError):
            steps += path.read_bytes().count(b"\n") if path.name == SPOOL else 0
    return len(found) + steps


def run_until_killed(
    place: Path, data: tuple[str | Path, ...], draw: random.Random, whole: int | None, kills: list[str]
) -> bool:
    """Runs the table; kills the harness, alone or with all its workers, or one worker, before its work is ``whole``.

    Checks that no earlier training was lost; adds the kill to ``kills``.

    Returns:
        Whether the table was filled: losing one worker does not end a run.
    """
    before = trained_so_far(place)
    running = background(place, "run", "tiny.yaml", *PLAIN, *TWO_AT_ONCE, *data)
    if whole is not None:
        moment, victim = draw.randrange(whole), draw.choice(["the harness", "everything", "a worker"])
        while work_done(place) < moment and running.poll() is None:
            time.sleep(0.02)
        time.sleep(draw.uniform(0.0, 0.2))  # anywhere between two steps
        if running.poll() is None:
            kills.append(f"at {moment} of {whole}: kill -9 of {victim}")
            print(kills[-1])
            workers = running.workers()
            if victim == "a worker" and workers:
                draw.choice(sorted(workers, key=lambda worker: worker.pid)).kill()
            else:
                kill(running, workers, everything=victim == "everything")
                assert_nothing_lost(before, trained_so_far(place))
                return False
    _, stderr = running.communicate(900)
    assert running.returncode == 0, stderr
    assert_nothing_lost(before, trained_so_far(place))
    return True


def kill(running: warm.WarmCommand, workers: list[psutil.Process], *, everything: bool) -> None:
    """Kills the harness, with or without its workers, which end with it anyway."""
    for process in [running, *(workers if everything else [])]:
        process.kill()
    _, orphans = psutil.wait_procs(workers, timeout=300)
    assert not orphans, "workers end with their harness"


MOMENTS = {
    "while the synthetic set is rendered": ".harness/data/*/.market1501.*.partial",
    "while MLflow's tables are made": "mlflow.db.lock",
    "while images are decoded": ".harness/cache/*.npy*",
    "while a stage is trained": ".harness/stages/*/*/checkpoints/step-*.pt",
    "while the report is written": "reports",
}
"""Patterns of files that exist in the place once a moment has come."""


def test_a_first_run_killed_in_each_phase_ends_as_if_never_killed(make_bare_place: Any, filled: Filled) -> None:
    place = make_bare_place()
    for moment, sign in MOMENTS.items():
        running = background(place, "run", "tiny.yaml", *TWO_AT_ONCE)
        wait_for(lambda sign=sign: any(place.glob(sign)))
        assert running.poll() is None, moment
        kill(running, running.workers(), everything=True)
        if "checkpoints" in sign:
            assert_plan_says_where_it_goes_on(place)
    answer(run_harness(place, "run", "tiny.yaml", *PLAIN, *TWO_AT_ONCE, "--json"))
    assert_equal_to_uninterrupted(place, filled)
    assert not list(place.rglob("*.partial"))
    assert not list(place.rglob("*.tmp"))
    assert not list(place.rglob("*.part"))


def assert_plan_says_where_it_goes_on(place: Path) -> None:
    """The plan counts only the remaining part of an interrupted stage."""
    plan = answer(run_harness(place, "plan", "tiny.yaml", *DEMO, "--json"))
    begun = [stage for stage in plan["stages"] if stage["resumes_at"]]
    assert begun
    assert all(0 < stage["resumes_at"]["epoch"] <= stage["epochs"] for stage in begun)
    to_run = [stage for stage in plan["stages"] if stage["state"] == "to run"]
    done = sum(stage["resumes_at"]["epoch"] for stage in begun)
    assert plan["sharing"]["epochs_to_run"] == pytest.approx(sum(stage["epochs"] for stage in to_run) - done)


def trained_so_far(place: Path) -> dict[str, list[bytes]]:
    """By stage, the lines that no later process may change: its manifest, or its spool up to the newest checkpoint.

    A line of the spool holds the time at which its step was trained, which reveals a step that was trained again.
    """
    kept = {}
    for folder in place.glob(".harness/stages/*/*"):
        manifest, spool = folder / "manifest.json", folder / SPOOL
        steps = [int(path.stem.removeprefix("step-")) for path in folder.glob("checkpoints/step-*.pt")]
        lines = spool.read_bytes().splitlines() if spool.exists() else []
        if manifest.exists():
            kept[folder.name] = [*lines, manifest.read_bytes()]
        elif steps:
            whole = [line for line in lines if line.endswith(b"}")]  # the last one may be torn
            kept[folder.name] = [line for line in whole if json.loads(line)["step"] <= max(steps)]
    return kept


def assert_nothing_lost(before: dict[str, list[bytes]], after: dict[str, list[bytes]]) -> None:
    for stage, lines in before.items():
        assert after[stage][: len(lines)] == lines, f"stage {stage} was trained again"


def assert_equal_to_uninterrupted(place: Path, filled: Filled) -> None:
    ours, whole = manifests(place), manifests(filled.place)
    assert ours.keys() == whole.keys()
    for name, expected in whole.items():
        assert ours[name]["result"].get("metrics") == expected["result"].get("metrics")
        files, expected_files = ours[name]["files"], expected["files"]
        assert {file: kept for file, kept in files.items() if file != SPOOL} == {
            file: kept for file, kept in expected_files.items() if file != SPOOL
        }, f"other bits in {name}"
        assert figures(place, name) == figures(filled.place, name)
    assert_tracked_once(place, filled)


def assert_tracked_once(place: Path, filled: Filled) -> None:
    """One parent and three children, all finished, each with every step once."""
    runs, expected = tracked_runs(place), {run.info.run_name: run for run in tracked_runs(filled.place)}
    assert [run.info.status for run in runs] == ["FINISHED"] * 4
    assert len({run.data.tags[TAG_KEY] for run in runs}) == 4
    for run in runs:
        twin = expected[run.info.run_name]
        assert run.data.metrics.get("mAP") == twin.data.metrics.get("mAP")
        assert steps_of(place, run) == steps_of(filled.place, twin)


def manifests(place: Path) -> dict[str, dict[str, Any]]:
    paths = place.glob(".harness/stages/*/*/manifest.json")
    return {path.parent.name: json.loads(json.loads(path.read_bytes())["content"]) for path in paths}


def figures(place: Path, stage: str) -> list[tuple[int, float, dict[str, float]]]:
    """The records of a stage, without timestamps."""
    records, _ = read_spool(place / ".harness" / "stages" / stage[:2] / stage / SPOOL)
    return [(record.step, record.epoch, dict(record.metrics)) for record in records]


JUMPING = """\
import time
days = {days}
now, now_ns = time.time, time.time_ns
time.time, time.time_ns = lambda: now() + days * 86_400, lambda: now_ns() + days * 86_400 * 10**9
"""
"""A module named ``sitecustomize``: Python runs it first, in every process."""


def test_a_clock_that_jumps_forwards_and_back_between_runs_changes_nothing(
    place: Path, photographs: Path, filled: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    command = ("run", "tiny.yaml", *PLAIN, *TWO_AT_ONCE, "--data", photographs)
    (tmp_path / "sitecustomize.py").write_text(JUMPING.format(days=400))
    running = background(place, *command)
    wait_for(lambda: any(place.glob(".harness/stages/*/*/checkpoints/step-*.pt")))
    kill(running, running.workers(), everything=True)
    before = trained_so_far(place)
    (tmp_path / "sitecustomize.py").write_text(JUMPING.format(days=-400))
    run_harness(place, *command)
    assert_nothing_lost(before, trained_so_far(place))
    assert_equal_to_uninterrupted(place, filled)
    parent = min(run.info.start_time for run in tracked_runs(place))
    assert abs(parent / 1000 - time.time()) > 399 * 86_400, "the clock did jump"


def test_two_harnesses_on_one_table_share_the_work_and_both_finish(
    place: Path, photographs: Path, filled: Filled
) -> None:
    command = ("run", "tiny.yaml", *PLAIN, *TWO_AT_ONCE, "--data", photographs, "--json")
    both = [background(place, *command, "--out", out) for out in ("one", "other")]
    outputs = [process.communicate(timeout=900) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    answers = [json.loads(out) for out, _ in outputs]
    assert sum(each["stages"]["trained"] for each in answers) == STAGES
    for each, out in zip(answers, ("one", "other"), strict=True):
        assert [row["metrics"] for row in each["rows"]] == [row["metrics"] for row in filled.answer["rows"]]
        assert (place / out / "tiny.md").is_file()
    assert_tracked_once(place, filled)


def test_ctrl_c_ends_the_run_marks_its_runs_as_killed_and_the_same_command_resumes(
    harness: Command, place: Path, photographs: Path, filled: Filled
) -> None:
    running = background(place, "run", "tiny.yaml", *PLAIN, *TWO_AT_ONCE, "--data", photographs)
    wait_for(lambda: any(place.glob(".harness/stages/*/*/checkpoints/step-*.pt")))
    os.killpg(running.pid, signal.SIGINT)
    _, stderr = running.communicate(timeout=900)
    assert running.returncode == 130
    assert "run the same command again to resume" in stderr
    assert "Traceback" not in stderr
    harness("sync")  # delivers what there was no time for
    runs = tracked_runs(place)
    assert {run.info.status for run in runs} == {"KILLED"}
    assert not psutil.pid_exists(running.pid)

    resumed = answer(harness("run", "tiny.yaml", *PLAIN, *TWO_AT_ONCE, "--data", photographs, "--json"))
    assert [row["metrics"] for row in resumed["rows"]] == [row["metrics"] for row in filled.answer["rows"]]
    assert_tracked_once(place, filled)


def wait_for(happened: Any) -> None:
    deadline = time.monotonic() + 900
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)
