"""Faults from outside a run: damaged files, full disks, unwritable folders. Each gives a message and an exit code."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import warm
from conftest import DEMO, PLAIN, STAGES, Command, Filled, answer, environment, tracked_runs

from harness.reid.files import WEIGHTS

IN_PROCESS = ("--profile", "demo", "--executor", "inprocess")


@pytest.fixture
def own_photographs(photographs: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(photographs, tmp_path / "own"))


def a_photograph(folder: Path) -> Path:
    return min((folder / "bounding_box_train").glob("*.jpg"))


def stage_folders(place: Path, name: str) -> list[Path]:
    """The folders of the finished stages with this name."""
    paths = sorted(place.glob(".harness/stages/*/*/manifest.json"))
    return [path.parent for path in paths if content_of(path)["stage"]["name"] == name]


def content_of(manifest: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(json.loads(manifest.read_bytes())["content"])
    return content


def test_a_truncated_cache_entry_is_reported_and_rebuilt_with_the_same_numbers(
    harness: Command, place: Path, photographs: Path, filled: Filled
) -> None:
    filled.lend_store(place)
    damaged = stage_folders(place, "metric")[0] / WEIGHTS
    damaged.write_bytes(damaged.read_bytes()[:1000])
    verified = harness("cache", "verify", code=1)
    assert f"{damaged.name} is damaged: found 1000 bytes" in verified.stdout
    for evaluation in stage_folders(place, "evaluate"):
        (evaluation / "manifest.json").write_text("{torn", encoding="utf-8")
    for decoded in place.glob(".harness/cache/*.npy"):
        decoded.write_bytes(decoded.read_bytes()[:500])

    done = harness("run", "tiny.yaml", *PLAIN, *DEMO, "--data", photographs, "--json")
    assert "is damaged" in done.stderr
    assert "damaged cache of decoded images (it has 500 bytes instead of" in done.stderr
    # The truncated stage and the three evaluations; two classify stages and the other metric stage are intact.
    assert answer(done)["stages"] == {"trained": 4, "cached": STAGES - 4, "failed": 0, "not_run": 0}
    assert [row["metrics"] for row in answer(done)["rows"]] == [row["metrics"] for row in filled.answer["rows"]]
    harness("cache", "verify")


def test_a_truncated_photograph_fails_its_rows_and_is_named_in_the_table(
    harness: Command, place: Path, own_photographs: Path
) -> None:
    photograph = a_photograph(own_photographs)
    photograph.write_bytes(photograph.read_bytes()[:300])
    checked = harness("data", "check", own_photographs, code=1)
    assert photograph.name in checked.stdout

    done = harness("run", "tiny.yaml", *PLAIN, *DEMO, "--rows", "1", "--data", own_photographs, "--json", code=1)
    assert photograph.name in answer(done)["rows"][0]["reason"]
    assert photograph.name in (place / "reports" / "tiny.md").read_text(encoding="utf-8")


def test_a_misnamed_photograph_is_reported_by_the_check(harness: Command, own_photographs: Path) -> None:
    photograph = a_photograph(own_photographs)
    photograph.rename(photograph.with_name("holiday.jpg"))
    checked = harness("data", "check", own_photographs)
    assert "holiday.jpg" in checked.stdout


def test_a_run_with_a_deleted_folder_ends_with_its_name(harness: Command, own_photographs: Path) -> None:
    shutil.rmtree(own_photographs / "query")
    done = harness("run", "tiny.yaml", *PLAIN, *DEMO, "--data", own_photographs, code=2)
    assert "query" in done.stderr


def test_a_store_that_cannot_be_written_to_is_reported_before_anything_runs(
    harness: Command, place: Path, photographs: Path
) -> None:
    (place / "file").write_text("in the way", encoding="utf-8")
    for data in (("--data", photographs), ()):
        done = harness("run", "tiny.yaml", *PLAIN, *DEMO, *data, "--store", "file/store", code=2)
        assert "error: " in done.stderr
        assert "file/store" in done.stderr


def test_a_read_only_store_allows_planning_and_listing_and_a_run_says_what_it_needs(
    place: Path, photographs: Path, filled: Filled
) -> None:
    filled.lend_store(place)
    mount = "mount --bind .harness .harness && mount -o remount,ro,bind .harness"
    planned = with_a_mount(mount, place, "plan", "tiny.yaml", *DEMO, "--data", photographs, "--json")
    if planned is None:
        pytest.skip("mounting is not allowed here")
    assert {stage["state"] for stage in answer(planned)["stages"]} == {"cached"}
    listed = with_a_mount(mount, place, "cache", "list")
    assert listed is not None
    assert f"{STAGES} stages, " in listed.stdout
    assert "also decoded images" in listed.stdout
    done = with_a_mount(mount, place, "run", "tiny.yaml", *PLAIN, *DEMO, "--data", photographs)
    assert done is not None
    assert done.returncode == 2
    assert "Read-only file system: expected a folder that can be written to" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unreadable_photograph_is_named_before_anything_runs(
    harness: Command, place: Path, own_photographs: Path
) -> None:
    photograph = a_photograph(own_photographs)
    photograph.unlink()
    photograph.symlink_to("nowhere")
    done = harness("run", "tiny.yaml", *PLAIN, *DEMO, "--data", own_photographs, code=2)
    assert f"{photograph.name}: cannot be read (No such file or directory)" in done.stderr


def test_a_report_that_cannot_be_written_is_reported_and_nothing_is_trained_again(
    harness: Command, place: Path, photographs: Path, filled: Filled
) -> None:
    filled.lend_store(place)
    (place / "reports").write_text("in the way", encoding="utf-8")
    done = harness("run", "tiny.yaml", *PLAIN, *DEMO, "--data", photographs, code=2)
    assert "reports" in done.stderr
    (place / "reports").unlink()
    figure = place / "reports" / "figures" / "tiny-results.png"
    figure.mkdir(parents=True)
    done = harness("report", "tiny", code=2)
    assert f"{figure.relative_to(place)}: Is a directory: expected a file, or nothing" in done.stderr
    result = answer(harness("run", "tiny.yaml", *PLAIN, *DEMO, "--data", photographs, "--out", "other", "--json"))
    assert result["stages"]["trained"] == 0


def test_an_unusable_tracker_hides_no_number_and_the_next_run_delivers_and_reports(
    harness: Command, place: Path, photographs: Path, filled: Filled
) -> None:
    filled.lend_store(place)
    database = place / "mlflow.db"
    whole = database.read_bytes()
    database.write_bytes(b"not a database")
    done = harness("run", "tiny.yaml", *PLAIN, *DEMO, "--data", photographs)
    assert "mlflow.db accepts no results now" in done.stderr
    assert "`harness sync` or the next run delivers them" in done.stderr
    assert "no report: the tracker does not answer" in done.stdout
    values = [f"{100 * row['metrics']['mAP']:.1f}" for row in filled.answer["rows"]]
    assert [line.split()[2] for line in done.stdout.splitlines()[4:7]] == values
    assert not (place / "reports").exists()

    database.write_bytes(whole)
    harness("run", "tiny.yaml", *PLAIN, *DEMO, "--data", photographs)
    report = (place / "reports" / "tiny.md").read_text(encoding="utf-8")
    assert all(value in report for value in values)
    assert [run.info.status for run in tracked_runs(place)] == ["FINISHED"] * 4


MOUNTED = """\
import ctypes, os, runpy, subprocess, sys

NEWNS, NEWUSER = 0x20000, 0x10000000
user, group = os.geteuid(), os.getegid()
if ctypes.CDLL(None).unshare(NEWNS | (NEWUSER if user else 0)):
    sys.exit(77)
if user:  # root in its own namespace
    for file, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        open(f"/proc/self/{file}", "w").write(text)
mount = sys.argv.pop(1)
if subprocess.run(["sh", "-c", f"mount --make-rprivate / && {mount}"]).returncode:
    sys.exit(77)
runpy.run_module("harness", run_name="__main__", alter_sys=True)
"""
NOT_ALLOWED = 77


def with_a_mount(mount: str, place: Path, *words: str | Path) -> subprocess.CompletedProcess[str] | None:
    """Runs the command line with a mount that only it sees (no worker does); None if mounting is not allowed."""
    (place / "mounted.py").write_text(MOUNTED, encoding="utf-8")
    done = warm.run(["mounted", mount, *map(str, words)], place, environment(), timeout_s=900)
    return None if done.returncode == NOT_ALLOWED else done


def test_a_full_disk_fails_the_rows_with_advice_and_the_same_command_resumes(
    harness: Command, place: Path, photographs: Path, filled: Filled
) -> None:
    words = ("run", "tiny.yaml", *PLAIN, *IN_PROCESS, "--rows", "1", "--json", "--data", photographs)
    (place / ".harness").mkdir()
    done = with_a_mount("mount -t tmpfs -o size=2m tmpfs .harness", place, *words)
    if done is None:
        # No file may exceed 1.3 MB: the tracker's database (1 MB) fits, weights and checkpoints (1.5 MB) do not.
        command = ["prlimit", "--fsize=1300000", sys.executable, "-m", "harness", *map(str, words)]
        done = subprocess.run(command, cwd=place, env=environment(), capture_output=True, text=True, timeout=900)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "nothing more can be written. Free space" in json.loads(done.stdout)["rows"][0]["reason"]
    assert "nothing more can be written" in (place / "reports" / "tiny.md").read_text(encoding="utf-8")

    healed = answer(harness(*words))
    assert healed["rows"][0]["metrics"] == filled.answer["rows"][0]["metrics"]


def test_a_hand_kept_version_is_trusted_on_request_and_the_report_says_so(
    harness: Command, place: Path, photographs: Path
) -> None:
    command = ("run", "tiny.yaml", *PLAIN, *DEMO, "--rows", "1", "--data", photographs, "--json", "--reuse", "version")
    done = harness(*command)
    assert "hand-kept version" in done.stderr
    report = (place / "reports" / "tiny.md").read_text(encoding="utf-8")
    assert "trusted by the code's hand-kept version" in report

    for path in place.glob(".harness/stages/*/*/manifest.json"):
        make_of_older_torch(path)
    again = harness(*command)
    assert answer(again)["stages"]["trained"] == 0
    assert again.stderr.count("cached stages were made with torch 1.0; ") == 1
    # Results under a trusted version never count as results of the code itself.
    by_code = answer(harness("plan", "tiny.yaml", *DEMO, "--rows", "1", "--data", photographs, "--json"))
    assert {stage["state"] for stage in by_code["stages"]} == {"to run"}


def make_of_older_torch(manifest: Path) -> None:
    """Rewrites a manifest as if the stage had run with torch 1.0."""
    content = content_of(manifest)
    content["versions"]["torch"] = "1.0"
    text = json.dumps(content, sort_keys=True)
    checksum = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    manifest.write_text(json.dumps({"checksum": checksum, "content": text}), encoding="utf-8")
