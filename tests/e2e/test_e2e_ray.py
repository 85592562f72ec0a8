"""Searches and tables on a two-node Ray cluster with their store in S3; one node is lost together with its disk."""

import json
import shutil
from pathlib import Path

import psutil
from conftest import DEMO, PLAIN, Filled, MakePlace, answer, background, run_harness, tracked_runs
from ray_nodes import RayCluster, wait_for

from harness.execute.remote import Remote
from harness.trainer import SPOOL

CLIMBER = '''
import json
import os
from pathlib import Path

from pydantic import BaseModel

from harness.trainer import Metric, StageSpec, Trainer


class Settings(BaseModel):
    gain: float = 0.5
    epochs: int = 3
    part: str = ""


class Climber(Trainer):
    settings = Settings
    work = "climber:work"

    def metrics(self, settings):
        return {"score": Metric("score", "Score")}

    def stages(self, settings, seed, inputs):
        train = {"gain": settings.gain, "epochs": settings.epochs, "seed": seed}
        code = ("climber:work",)
        return [StageSpec("train", "climb", train, code), StageSpec("evaluate", "score", {"part": settings.part}, code)]

    def hold_out(self, settings, held_out, part):
        return settings.model_copy(update={"part": part})

    def stops(self, settings, every):
        stopped = {epoch: {"epochs": epoch} for epoch in range(every, settings.epochs, every)}
        return {**stopped, settings.epochs: {}}


def work(task, emit):
    """Trains the epochs that are not done yet, and records each in the journal of its own process."""
    if task.kind != "train":
        (gain, seed), done = json.loads((task.parent_folder / "state.json").read_text())
        return {"metrics": {"score": gain * done / 10 + seed / 100}, "seconds": 0.0}
    asked = [task.settings["gain"], task.settings["seed"]]
    done = 0
    if task.prefix_folder is not None:
        found, done = json.loads((task.prefix_folder / "state.json").read_text())
        assert found == asked
    with (Path(__file__).parent / f"{os.getpid()}.journal").open("a") as journal:
        for epoch in range(done + 1, task.settings["epochs"] + 1):
            journal.write(json.dumps([*asked, epoch]) + "\\n")
    (task.folder / "state.json").write_text(json.dumps([asked, task.settings["epochs"]]))
    return {"seconds": 0.0, "epochs": task.settings["epochs"] - done}
'''
CLIMB = {
    "title": "A climb",
    "recipe": {"trainer": "climber:Climber", "factors": {}},
    "seeds": [0],
    "metrics": ["score"],
    "rows": [{"id": "plain", "factors": []}],
}
GAINS, SEEDS, CONFIRM, EPOCHS = [0.3, 0.6], [0, 3], [5, 6], [1, 2, 3]
SEARCH = {
    "title": "A gain",
    "table": "climb.yaml",
    "tune": "once",
    "rows": ["plain"],
    "space": {"gain": {"choices": GAINS}},
    "sampler": "grid",
    "pruner": {"kind": "median", "every": 1},
    "budget": {"trials": len(GAINS)},
    "metric": "score",
    "seeds": SEEDS,
    "confirm": CONFIRM,
}


def test_a_search_whose_trials_resume_from_the_store_finds_what_it_finds_locally(
    tmp_path: Path, empty_tracker: Path, ray_cluster: RayCluster, s3_bucket: str
) -> None:
    cluster = ("ray", "--address", ray_cluster.address, "--store", f"{s3_bucket}/search")
    places, commands = [], []
    for where in (("inprocess",), cluster):
        place = Path(shutil.copytree(empty_tracker, tmp_path / where[0]))
        (place / "climber.py").write_text(CLIMBER)
        (place / "climb.yaml").write_text(json.dumps(CLIMB))
        (place / "gains.yaml").write_text(json.dumps(SEARCH))
        places.append(place)
        commands.append(background(place, "search", "gains.yaml", "--json", "--executor", *where))
    studies = []
    try:
        for command in commands:
            out, stderr = command.communicate(timeout=900)
            assert command.returncode == 0, stderr
            studies.append(json.loads(out)["studies"][0])
    finally:
        for command in commands:
            command.kill()
    here, there = (
        [(trial["params"], trial["state"], trial["curve"]) for trial in study["trials"]] for study in studies
    )
    assert there == here
    assert [sorted(curve) for _, state, curve in there if state == "complete"] == [["1", "2", "3"]] * 2
    values = [[result["value"] for result in study["confirmed"]["best"]] for study in studies]
    assert values[0] == values[1] != [None]
    trials = [[gain, seed, epoch] for gain in GAINS for seed in SEEDS for epoch in EPOCHS]
    confirmed = [[studies[0]["best"]["params"]["gain"], seed, epoch] for seed in CONFIRM for epoch in EPOCHS]
    for place in places:
        journals = [journal.read_text().splitlines() for journal in place.glob("*.journal")]
        trained = sorted(json.loads(line) for lines in journals for line in lines)
        assert trained == sorted(trials + confirmed), "no epoch was trained again"


COUNTER = """
import json
import time
from pathlib import Path


def count(settings, run):
    steps = json.loads((run.resumed / "steps.json").read_text()) if run.resumed else []
    for step in range(len(steps) + 1, settings.steps + 1):
        while step == settings.holds_at and not (Path(__file__).parent / "gate").exists():
            time.sleep(0.01)
        steps.append(step * run.seed)
        run.log(step, steps=settings.steps, loss=1 / step)
        with run.checkpoint() as folder:
            (folder / "steps.json").write_text(json.dumps(steps))
    (run.folder / "steps.json").write_text(json.dumps(steps))


def add_up(settings, run):
    return {"score": settings.gain * sum(json.loads((run.parent / "steps.json").read_text()))}
"""
HOLDS_AT = 4
"""The step before which a stage waits for a file named ``gate`` next to its code."""
COUNT = {
    "title": "A count",
    "recipe": {
        "trainer": {
            "stages": {
                "count": {"function": "counter:count", "reads": ["steps", "holds_at"]},
                "add": {"function": "counter:add_up", "reads": ["gain"]},
            }
        },
        "settings": {"gain": 0.5, "steps": 6, "holds_at": HOLDS_AT},
        "metrics": {"score": {"title": "Score", "better": "higher", "unit": "plain"}},
        "factors": {},
    },
    "seeds": [1, 2],
    "metrics": ["score"],
    "rows": [{"id": "plain", "factors": []}],
}


class TrainingOn:
    """Looks, when called, for a stage that trains on a node and has a checkpoint in the shared store."""

    def __init__(self, node: int, store: Remote) -> None:
        self._node, self._store = psutil.Process(node), store
        self.folder = ""

    def __call__(self) -> bool:
        here = {process.pid for process in self._node.children(recursive=True)}
        for lease in self._store.sizes("locks"):
            held, fingerprint = self._store.read(f"locks/{lease}"), lease.partition("/")[0]
            if held is not None and json.loads(held)["pid"] in here:
                self.folder = f"stages/{fingerprint[:2]}/{fingerprint}"
                sent = self._store.sizes(f"{self.folder}/checkpoints")
                return any(Path(name).stem == f"step-{HOLDS_AT - 1:09d}" for name in sent)
        return False


def test_a_table_whose_node_is_lost_during_training_resumes_from_the_store_and_equals_the_local_one(
    tmp_path: Path, empty_tracker: Path, ray_cluster: RayCluster, s3_bucket: str
) -> None:
    def place_with_table(name: str) -> Path:
        made = Path(shutil.copytree(empty_tracker, tmp_path / name))
        (made / "counter.py").write_text(COUNTER)
        (made / "count.yaml").write_text(json.dumps(COUNT))
        return made

    words = ("run", "count.yaml", *PLAIN, "--json")
    here, place, store = place_with_table("here"), place_with_table("there"), Remote(f"{s3_bucket}/ablations")
    (here / "gate").touch()
    alone = answer(run_harness(here, *words, "--executor", "inprocess"))
    cluster = ("--executor", "ray", "--address", ray_cluster.address, "--store", store.address)
    command = background(place, *words, *cluster)
    training = TrainingOn(ray_cluster.newest.pid, store)

    def trains() -> bool:
        assert command.poll() is None, command.communicate()
        return training()

    try:
        wait_for(trains, 900)
        before = (store.read(f"{training.folder}/so-far/{SPOOL}") or b"").splitlines()
        ray_cluster.kill(ray_cluster.newest)
        shutil.rmtree(place / ".harness" / training.folder)  # on one machine, the other node would find it there
        (place / "gate").touch()
        out, stderr = command.communicate(timeout=900)
    finally:
        command.kill()
    assert command.returncode == 0, stderr
    result = json.loads(out)
    assert result["stages"] == {"trained": 4, "cached": 0, "failed": 0, "not_run": 0}
    assert result["rows"] == alone["rows"]
    assert "a Ray cluster of 2 nodes" in stderr
    assert "was lost: killed, usually because memory ran out, or lost with its node; it resumes" in stderr
    assert {run.info.status for run in tracked_runs(place)} == {"FINISHED"}

    lines = (store.read(f"{training.folder}/{SPOOL}") or b"").splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert lines[: HOLDS_AT - 1] == before, (
        "no step up to the checkpoint was trained again: its time of day is the same"
    )


def test_a_row_of_the_papers_trainer_on_a_cluster_equals_the_local_one(
    filled: Filled, make_place: MakePlace, photographs: Path, ray_head: RayCluster, s3_bucket: str
) -> None:
    cluster = ("--executor", "ray", "--address", ray_head.address, "--store", f"{s3_bucket}/paper")
    words = ("run", "tiny.yaml", *DEMO, *PLAIN, "--rows", "1", "--json", "--data", photographs, *cluster)
    result = answer(run_harness(make_place(), *words))
    assert result["stages"] == {"trained": 2, "cached": 0, "failed": 0, "not_run": 0}
    (row,) = result["rows"]
    (expected,) = (row for row in filled.answer["rows"] if row["id"] == "1")
    assert row["metrics"] == expected["metrics"]
