"""A search and a table on a Ray cluster of two nodes with their store in S3; one node is lost, disk and all."""

import json
import shutil
from pathlib import Path

import psutil
from conftest import MakePlace, answer, background, run_harness, tracked_runs
from ray_nodes import RayCluster, wait_for

from harness.execute.remote import Remote
from harness.trainer import SPOOL

SLOW = ("run", "tiny.yaml", "--profile", "demo", "--rows", "3", "--seeds", "0,1")
LONGER = ("--set", "stages.classify.epochs=40", "--json")
"""Two stages that train for seconds, one for each node, and what needs them: two more trainings, two evaluations."""

MARGINS = """\
title: Two margins
table: tiny.yaml
tune: once
rows: ["3"]
space: {losses.quadruplet.epsilon1: {choices: [0.3, 0.6]}}
sampler: grid
pruner: {kind: median, every: 1}
budget: {trials: 2}
metric: mAP
seeds: [0, 3]
confirm: [5, 6]
held_out: {share: 0.4, seed: 1}
"""


def test_a_search_whose_trials_go_on_from_the_store_finds_what_it_finds_here(
    make_place: MakePlace, photographs: Path, ray_cluster: RayCluster, s3_bucket: str
) -> None:
    cluster = ("ray", "--address", ray_cluster.address, "--store", f"{s3_bucket}/search")
    commands = []
    for where in (("inprocess",), cluster):
        place = make_place()
        (place / "margins.yaml").write_text(MARGINS)
        longer = (place / "tiny.yaml").read_text().replace("metric: {epochs: 1", "metric: {epochs: 2")
        (place / "tiny.yaml").write_text(longer)
        words = ("search", "margins.yaml", "--profile", "demo", "--data", photographs, "--json", "--executor", *where)
        commands.append(background(place, *words))
    studies = []
    try:
        for command in commands:
            out, told = command.communicate(timeout=900)
            assert command.returncode == 0, told
            studies.append(json.loads(out)["studies"][0])
    finally:
        for command in commands:
            command.kill()
    here, there = (
        [(trial["params"], trial["state"], trial["curve"]) for trial in study["trials"]] for study in studies
    )
    assert there == here
    assert [sorted(curve) for _, state, curve in there if state == "complete"] == [["1", "2"]] * 2
    values = [[result["value"] for result in study["confirmed"]["best"]] for study in studies]
    assert values[0] == values[1] != [None]


class TrainingOn:
    """A stage that trains on a node and has a checkpoint in the shared store; looked for when called."""

    def __init__(self, node: int, store: Remote) -> None:
        self._node, self._store = psutil.Process(node), store
        self.folder = ""
        self.reached = 0
        """The step of its newest checkpoint there."""

    def __call__(self) -> bool:
        here = {process.pid for process in self._node.children(recursive=True)}
        for lease in self._store.sizes("locks"):
            held, fingerprint = self._store.read(f"locks/{lease}"), lease.partition("/")[0]
            if held is not None and json.loads(held)["pid"] in here:
                self.folder = f"stages/{fingerprint[:2]}/{fingerprint}"
                sent = self._store.sizes(f"{self.folder}/checkpoints")
                self.reached = max((int(Path(name).stem.removeprefix("step-")) for name in sent), default=0)
        return self.reached > 0


def test_a_table_whose_node_is_lost_while_it_trains_goes_on_from_the_store_and_equals_the_local_one(
    make_place: MakePlace, photographs: Path, ray_cluster: RayCluster, s3_bucket: str
) -> None:
    alone = answer(run_harness(make_place(), *SLOW, *LONGER, "--executor", "inprocess", "--data", photographs))
    place, store = make_place(), Remote(f"{s3_bucket}/ablations")
    cluster = ("--executor", "ray", "--address", ray_cluster.address, "--store", store.address)
    command = background(place, *SLOW, *LONGER, *cluster, "--data", photographs)
    training = TrainingOn(ray_cluster.newest.pid, store)

    def trains() -> bool:
        assert command.poll() is None, command.communicate()
        return training()

    try:
        wait_for(trains, 900)
        before = (store.read(f"{training.folder}/so-far/{SPOOL}") or b"").splitlines()
        ray_cluster.kill(ray_cluster.newest)
        shutil.rmtree(place / ".harness" / training.folder)  # on loopback, the other node would find it there
        out, told = command.communicate(timeout=900)
    finally:
        command.kill()
        ray_cluster.add_node()
    assert command.returncode == 0, told
    result = json.loads(out)
    assert result["stages"] == {"trained": 6, "cached": 0, "failed": 0, "not_run": 0}
    assert result["rows"] == alone["rows"]
    assert "a Ray cluster of 2 nodes" in told
    assert "was lost: killed, mostly because memory ran out, or lost with its node; it resumes" in told
    assert {run.info.status for run in tracked_runs(place)} == {"FINISHED"}

    lines = (store.read(f"{training.folder}/{SPOOL}") or b"").splitlines()
    kept = [line for line in before if json.loads(line)["step"] <= training.reached]
    assert lines[: len(kept)] == kept, "no step up to the checkpoint was trained again: its time of day is the same"
    assert 0 < len(kept) < len(lines)
