"""A function as a trainer wherever stages run: on Ray, its store in S3, in a search; killed and resumed."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ray_nodes import RayCluster

pytestmark = pytest.mark.slow

HOLDS = '''
import os
from dataclasses import dataclass
from pathlib import Path

HERE = Path({folder!r})

@dataclass(frozen=True)
class Settings:
    gain: float = 0.5
    validation: bool = False

def train(settings: Settings, run):
    """Three steps; the first time, behind the second checkpoint, it says where it is and holds still."""
    done = int((run.resumed / "done").read_text()) if run.resumed else 0
    for step in range(done, 3):
        run.log(step + 1, steps=3, loss=1.0 / (step + 1))
        with run.checkpoint() as folder:
            (folder / "done").write_text(str(step + 1))
        if step == 1 and not run.resumed and settings.gain == 0.6 and (HERE / "hold").exists():
            (HERE / "hold").unlink()
            (HERE / "reached").write_text(str(os.getpid()))
            (HERE / "never").read_text()
    run.units(["a", "b", "c"], unit="examples")
    best = -((settings.gain - 0.6) ** 2) + 0.001 * run.seed - (0 if settings.validation else 100)
    return {{"score": [best - 0.1, best, best + 0.1], "began": float(done)}}
'''
RECIPE = {
    "trainer": "holds:train",
    "settings": {"gain": 0.5},
    "held_out": {"validation": True},
    "metrics": {"score": {"unit": "plain"}, "began": {"better": "lower"}},
    "factors": {"Gain": {"patch": {"gain": 0.6}}},
}
TABLE = {
    "title": "A table",
    "recipe": "recipe.yaml",
    "seeds": [0, 1],
    "metrics": ["score", "began"],
    "rows": [{"id": "plain", "factors": []}, {"id": "gain", "factors": ["Gain"]}],
}
SEARCH = {
    "title": "A gain",
    "table": "table.yaml",
    "tune": "once",
    "rows": ["plain"],
    "space": {"gain": {"choices": [0.2, 0.6, 0.9]}},
    "sampler": "grid",
    "budget": {"trials": 3},
    "metric": "score",
    "seeds": [0],
    "confirm": [5, 6],
}


@pytest.fixture
def place(folder: Path) -> Path:
    (folder / "holds.py").write_text(HOLDS.format(folder=str(folder)))
    for name, content in (("recipe", RECIPE), ("table", TABLE), ("gain", SEARCH)):
        (folder / f"{name}.yaml").write_text(json.dumps(content))
    for name in ("reached", "never"):
        os.mkfifo(folder / name)
    return folder


def start(place: Path, command: str, file: str, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "harness", command, file, "--json", *words],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def reached(place: Path, process: "subprocess.Popen[str]") -> int:
    """Waits until the function holds still; the process that it is in."""
    pipe, said = os.open(place / "reached", os.O_RDONLY | os.O_NONBLOCK), b""
    try:
        while not said:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
            said = os.read(pipe, 100) if select.select([pipe], [], [], 0)[0] else b""
    finally:
        os.close(pipe)
    return int(said)


def answer(process: "subprocess.Popen[str]") -> Any:
    out, error = process.communicate()
    assert process.returncode == 0, error
    return json.loads(out)


def metrics(answered: Any) -> dict[tuple[str, int], dict[str, float]]:
    return {(row["id"], row["seed"]): dict(row["metrics"]) for row in answered["rows"]}


def check_resumed(answered: Any) -> None:
    """All numbers are those of a run that nothing happened to, and one of them began at its second checkpoint."""
    found = metrics(answered)
    began = {key: values.pop("began") for key, values in found.items()}
    expected = {("plain", 0): -100.01, ("plain", 1): -100.009, ("gain", 0): -100.0, ("gain", 1): -99.999}
    assert {key: values["score"] for key, values in found.items()} == pytest.approx(expected)
    assert sorted(began.values()) == [0, 0, 0, 2]
    assert answered["stages"] == {"trained": 4, "cached": 0, "failed": 0, "not_run": 0}


def test_a_worker_that_is_killed_is_replaced_and_the_function_goes_on(place: Path) -> None:
    (place / "hold").touch()
    process = start(place, "run", "table.yaml", "--store", "store", "--workers", "1")
    os.kill(reached(place, process), signal.SIGKILL)
    check_resumed(answer(process))


def test_on_ray_with_its_store_in_s3_a_killed_function_goes_on_and_another_machine_trains_nothing(
    place: Path, ray_cluster: RayCluster, s3_bucket: str
) -> None:
    store = ("--store", f"{s3_bucket}/functions")
    (place / "hold").touch()
    process = start(place, "run", "table.yaml", *store, "--executor", "ray", "--address", ray_cluster.address)
    os.kill(reached(place, process), signal.SIGKILL)
    first = answer(process)
    check_resumed(first)
    again = answer(start(place, "run", "table.yaml", *store, "--executor", "inprocess"))
    assert again["stages"]["cached"] == 4
    assert metrics(again) == metrics(first)


def test_a_search_on_held_out_data_that_is_killed_goes_on(place: Path) -> None:
    (place / "hold").touch()
    words = ("gain.yaml", "--store", "store", "--workers", "1")
    process = start(place, "search", *words)
    reached(place, process)
    process.kill()
    process.communicate()
    (study,) = answer(start(place, "search", *words))["studies"]
    values = {trial["params"]["gain"]: trial["value"] for trial in study["trials"] if trial["state"] == "complete"}
    assert values == pytest.approx({0.2: -0.16, 0.6: 0.0, 0.9: -0.09})  # of the held-out data: not a hundred less
    assert study["best"]["params"] == {"gain": 0.6}
    assert [result["value"] for result in study["confirmed"]["best"]] == pytest.approx([0.005, 0.006])
