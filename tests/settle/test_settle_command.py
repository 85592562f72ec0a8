"""``run --settle`` on the command line: on Ray as on this machine, and a table in which nothing differs."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ray_nodes import RayCluster

pytestmark = pytest.mark.slow

Declare = Callable[..., Path]
SAME = [{"id": "plain", "factors": []}, {"id": "other", "factors": ["Other"]}]


def settled(*words: str) -> dict[str, Any]:
    """Settles ``table.yaml`` into a store of its own, and returns its report as plain data."""
    for command in (
        ["run", "table.yaml", "--settle", *words],
        ["report", "table", "--format", "json", "--out", "out", "--json"],
    ):
        done = subprocess.run([sys.executable, "-m", "harness", *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    (report,) = json.loads(done.stdout)["tables"]
    Path("mlflow.db").rename(f"{len(list(Path().glob('*.db')))}.db")
    return dict(report)


def test_on_ray_it_takes_the_same_looks_and_decisions_as_on_local_processes(
    declare: Declare, ray_cluster: RayCluster
) -> None:
    declare()
    local = settled("--store", "local", "--workers", "2")
    on_ray = settled("--store", "ray", "--executor", "ray", "--address", ray_cluster.address)
    for report in (on_ray, local):
        for one in report["settled"]["rounds"]:
            assert one.pop("seconds") > 0
        for row in report["rows"]:
            del row["costs"], row["runs"]  # seconds, and ids in the tracker
    assert on_ray["settled"] == local["settled"]
    looks = {line["verdict"]: len(line["looks"]) for line in local["settled"]["comparisons"]}
    assert set(looks) == {"better", "practically equal"}
    assert max(looks.values()) > 1, "no seed was added, so only a plain table was compared"
    for part in ("title", "heading", "rows", "claims", "effects"):
        assert on_ray[part] == local[part], part


def test_a_table_in_which_nothing_differs_ends_practically_equal_and_not_at_the_last_seed(declare: Declare) -> None:
    declare(rows=SAME, claims=[], settle={"within": {"score": 0.2}})
    report = settled("--store", "local", "--max-seeds", "30", "--workers", "2")
    (line,) = report["settled"]["comparisons"]
    assert line["verdict"] == "practically equal"
    seeds = line["looks"][-1]["seeds"]
    assert 3 < seeds < 30
    assert [row["metrics"]["score"]["measured"]["seeds"] for row in report["rows"]] == [seeds, seeds]
