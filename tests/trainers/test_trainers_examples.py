"""The examples of the repository, by the real command line: digits, a retrieval pipeline, a command that is killed."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import warm

from harness.units import UNITS, read_units

ROOT = Path(__file__).parents[2]


def words(folder: Path, table: str, *more: str) -> list[str]:
    places = ["--store", str(folder / "store"), "--out", str(folder / "reports"), "--format", "md", "--json"]
    return ["harness", "run", f"ablations/{table}.yaml", *places, *more]


def ran(folder: Path, table: str, *more: str, **variables: str) -> Any:
    """What ``run --json`` of a table of the repository answers."""
    done = warm.run(words(folder, table, *more), ROOT, {**os.environ, **variables}, timeout_s=900)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_digits_are_a_table(folder: Path) -> None:
    ran(folder, "digits", "--seeds", "0")
    report = (folder / "reports" / "digits.md").read_text(encoding="utf-8")
    assert "| wide | ✓ | ✓ | wide |" in report


def test_the_retrieval_pipeline_is_a_table_over_collections_and_queries(folder: Path) -> None:
    answer = ran(folder, "retrieval", "--seeds", "0,1", "--rows", "plain,BM25,top-50")
    score = {(row["id"], row["seed"]): row["metrics"]["map"] for row in answer["rows"]}
    assert score["plain", 0] < score["BM25", 0] < score["top-50", 0]
    assert score["plain", 0] != score["plain", 1]
    assert answer["stages"]["trained"] == 10  # the stems of a seed are indexed once: 2 x (2 indices + 3 rankings)
    report = (folder / "reports" / "retrieval.md").read_text(encoding="utf-8")
    assert "| plain | words | counts | none |" in report
    assert "both vary by chance (here 24 topics)" in report  # 36, of which 12 are kept for choosing values


def test_average_precision() -> None:
    from ablations.retrieval import average_precision

    assert average_precision(np.array([False, True, False, True])) == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert average_precision(np.array([False, False])) == 0.0


HELD_MV = """\
#!/bin/sh
{mv} "$@"
if [ -e {folder}/hold ] && grep -q "^epoch 2" "$2"; then
    echo $PPID >{folder}/reached
    read -r line <{folder}/never
fi
"""


def test_a_command_that_is_killed_goes_on_to_the_same_numbers(folder: Path) -> None:
    """The second epoch's checkpoint is written, and its ``mv`` holds still until everything is killed."""
    row = ("--rows", "Scale + Rate=middle + Momentum", "--seeds", "1", "--workers", "1")
    programs = folder / "programs"
    programs.mkdir()
    (programs / "mv").write_text(HELD_MV.format(mv=shutil.which("mv"), folder=folder))
    (programs / "mv").chmod(0o755)
    for name in ("reached", "never"):
        os.mkfifo(folder / name)
    (folder / "hold").touch()
    path = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    running = warm.WarmCommand(words(folder, "command", *row), ROOT, {**os.environ, **path})
    script = int((folder / "reached").read_text())  # waits until the script is there
    running.kill()
    _wait_for_the_end_of(script)
    (folder / "hold").unlink()

    (resumed,) = ran(folder, "command", *row)["rows"]
    whole_folder = folder / "whole"
    whole_folder.mkdir()
    (whole,) = ran(whole_folder, "command", *row)["rows"]
    assert resumed["metrics"] == whole["metrics"]
    first, second = (next((place / "store" / "stages").rglob(UNITS)) for place in (folder, whole_folder))
    for name, values in read_units(first).values.items():
        assert np.array_equal(values, read_units(second).values[name])
    steps = [[json.loads(line)["step"] for line in (file.parent / "spool.jsonl").open()] for file in (first, second)]
    assert steps == [[1, 2, 3], [1, 2, 3]]


def _wait_for_the_end_of(pid: int, patience_s: float = 300.0) -> None:
    """The worker sees that its parent is gone and ends its own children."""
    ends = time.monotonic() + patience_s
    while time.monotonic() < ends:
        if subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout[:1] in {
            "",
            "Z",
        }:
            return
        time.sleep(0.05)
    raise AssertionError(f"the command (process {pid}) outlived the harness")
