"""A table on a Ray cluster of two nodes, one of which is killed while it trains."""

import subprocess
from pathlib import Path

import psutil
from conftest import STAGES, Filled, MakePlace, answer, background, tracked_runs
from ray_nodes import RayCluster, wait_for


def test_a_table_whose_node_is_killed_while_it_trains_equals_the_local_one(
    filled: Filled, make_place: MakePlace, photographs: Path, ray_cluster: RayCluster
) -> None:
    place, node = make_place(), psutil.Process(ray_cluster.newest.pid)
    cluster = ("--executor", "ray", "--address", ray_cluster.address)
    command = background(place, "run", "tiny.yaml", "--profile", "demo", *cluster, "--data", photographs, "--json")

    def trains() -> bool:
        assert command.poll() is None, command.communicate()
        on_node = any(process.name().startswith("ray::_carry") for process in node.children(recursive=True))
        return on_node and any((place / ".harness" / "stages").glob("*/*/checkpoints/*.pt"))

    try:
        wait_for(trains, 120)
        ray_cluster.kill(ray_cluster.newest)
        out, told = command.communicate(timeout=200)
    finally:
        command.kill()
        ray_cluster.add_node()
    assert command.returncode == 0, told
    result = answer(subprocess.CompletedProcess(command.args, 0, out, told))
    assert result["stages"] == {"trained": STAGES, "cached": 0, "failed": 0, "not_run": 0}
    assert result["rows"] == filled.answer["rows"]
    assert "a Ray cluster of" in told
    assert "was lost: killed, mostly since memory ran out, or with the whole node; it goes on" in told
    assert {run.info.status for run in tracked_runs(place)} == {"FINISHED"}
