"""The real command line, on a table small enough to train in seconds."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import warm
from filelock import FileLock

from harness.track.client import connect, search_all_runs
from harness.track.tags import MARKER

ABLATIONS = Path(__file__).parents[2] / "ablations"

TINY = """\
title: A tiny table
recipe: recipes/market1501.yaml
seeds: [0]
metrics: [mAP, rank1]
rows:
  - {id: "1", factors: [Softmax], paper: {mAP: 68.5, rank1: 83.7}}
  - {id: "3", factors: [Softmax, Quadruplet], paper: {mAP: 73.5, rank1: 87.3}}
  - {id: "8", factors: [Softmax, Quadruplet, DIL, SAC, Multi], paper: {mAP: 81.6, rank1: 92.8}}
  - {id: "no", factors: [Softmax, SAC]}
claims:
  - {text: Quadruplet adds to softmax, better: "3", than: "1", metric: mAP, by: 5.0}
profiles:
  demo:
    seeds: [0]
    set:
      data: {height_px: 32, width_px: 16}
      model: {embedding_dim: 16}
      stages:
        classify: {epochs: 2}
        metric: {epochs: 1, sampler: {identities: 4, images: 2}}
"""


DEMO = ("--profile", "demo", "--workers", "1")
"""One stage at a time: every worker more imports torch for seconds."""
TWO_AT_ONCE = ("--profile", "demo", "--workers", "2")
PLAIN = ("--format", "md")
"""A report without figures, which most tests do not look at."""
STAGES = 7
"""Rows 1 and 3 share stage 1: two "classify", two "metric", three evaluations."""


IDENTITIES, DATA_SEED = 16, 1
"""Of ``photographs``."""

MakePlace = Callable[[], Path]


@pytest.fixture(scope="session")
def make_bare_place(tmp_path_factory: pytest.TempPathFactory) -> MakePlace:
    """Makes a folder with the tiny table and the repository's recipes, whose synthetic set is ``photographs``."""

    def make() -> Path:
        folder = tmp_path_factory.mktemp("place")
        shutil.copytree(ABLATIONS / "recipes", folder / "recipes")
        recipe = folder / "recipes" / "market1501.yaml"
        text, small = recipe.read_text(encoding="utf-8"), f"identities: {IDENTITIES}, seed: {DATA_SEED}"
        assert text.count("identities: 300, seed: 0") == 1
        recipe.write_text(text.replace("identities: 300, seed: 0", small), encoding="utf-8")
        (folder / "tiny.yaml").write_text(TINY, encoding="utf-8")
        return folder

    return make


@pytest.fixture(scope="session")
def make_place(make_bare_place: MakePlace, empty_tracker: Path) -> MakePlace:
    """Makes a folder with the tiny table, the recipes and an empty tracker."""
    return lambda: Path(shutil.copytree(empty_tracker, make_bare_place(), dirs_exist_ok=True))


@pytest.fixture
def place(make_place: MakePlace) -> Path:
    return make_place()


TOY = """
def train(settings, run):
    for step in range(1, 4):
        run.log(step, steps=3, loss=1 / step)
    return {"score": settings.gain + run.seed / 100}
"""
TOY_RECIPE = {
    "trainer": "toy:train",
    "settings": {"gain": 0.5, "validation": False},
    "held_out": {"validation": True},
    "metrics": {"score": {"title": "Score", "better": "higher", "unit": "plain"}},
    "factors": {"Gain": {"patch": {"gain": 0.7}}},
}
TOY_TABLE = {
    "title": "A toy",
    "recipe": "toy_recipe.yaml",
    "seeds": [0, 1],
    "metrics": ["score"],
    "rows": [{"id": "plain", "factors": []}, {"id": "gain", "factors": ["Gain"]}],
}

TOY_SEARCH = {
    "title": "A toy's gain",
    "table": "toy.yaml",
    "tune": "once",
    "rows": ["plain"],
    "space": {"gain": {"choices": [0.1, 0.3]}},
    "sampler": "grid",
    "budget": {"trials": 2},
    "metric": "score",
    "seeds": [0],
    "confirm": [5, 6],
}


@pytest.fixture
def toy_place(tmp_path: Path, empty_tracker: Path) -> Path:
    """A folder with ``toy.yaml`` (two rows, two seeds, no time), ``gain.yaml`` that searches on it, and a tracker."""
    folder = Path(shutil.copytree(empty_tracker, tmp_path / "project"))
    (folder / "toy.py").write_text(TOY, encoding="utf-8")
    (folder / "toy_recipe.yaml").write_text(json.dumps(TOY_RECIPE), encoding="utf-8")
    (folder / "toy.yaml").write_text(json.dumps(TOY_TABLE), encoding="utf-8")
    (folder / "gain.yaml").write_text(json.dumps(TOY_SEARCH), encoding="utf-8")
    return folder


@dataclass(frozen=True)
class Filled:
    """A table that ran from its start to its end in one go; only to be read."""

    place: Path
    answer: Any

    def lend_store(self, place: Path) -> None:
        """Copies the finished stages to another place."""
        ignore = shutil.ignore_patterns("outbox", "locks")
        shutil.copytree(self.place / ".harness", place / ".harness", ignore=ignore, dirs_exist_ok=True)


@pytest.fixture(scope="session")
def filled(make_place: MakePlace, photographs: Path, shared: Path) -> Filled:
    """The table of all tests that only read it."""
    kept = shared / "filled.json"
    with FileLock(shared / "filled.lock"):
        if not kept.exists():
            folder = make_place()
            done = run_harness(folder, "run", "tiny.yaml", *DEMO, "--data", photographs, "--json")
            kept.write_text(json.dumps([str(folder), answer(done)]), encoding="utf-8")
    folder_name, found = json.loads(kept.read_text(encoding="utf-8"))
    return Filled(Path(folder_name), found)


def environment() -> dict[str, str]:
    """The tests' environment without what would lead the command elsewhere."""
    kept = {name: value for name, value in os.environ.items() if name not in {"HARNESS_DATA", "HARNESS_STORE"}}
    return {**kept, "MLFLOW_TRACKING_URI": "", "OMP_NUM_THREADS": "1", "COLUMNS": "120"}


def run_harness(place: Path, *words: str | Path, code: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs ``python -m harness ...`` in a place, with more environment variables; checks the exit code."""
    done = warm.run(["harness", *map(str, words)], place, environment() | variables, timeout_s=900)
    assert done.returncode == code, f"exit code {done.returncode}, expected {code}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    return done


def background(place: Path, *words: str | Path, **variables: str) -> warm.WarmCommand:
    """Starts ``python -m harness ...`` in a place, at the head of its own process group as a shell does."""
    return warm.WarmCommand(["harness", *map(str, words)], place, environment() | variables)


def cold_background(place: Path, *words: str | Path, **variables: str) -> "subprocess.Popen[str]":
    """The same in an interpreter of its own, its workers too: with the seconds in which libraries are imported."""
    command = [sys.executable, "-m", "harness", *map(str, words)]
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    env = environment() | variables
    return subprocess.Popen(command, cwd=place, env=env, start_new_session=True, **pipes)


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def harness(place: Path) -> Command:
    """``run_harness`` in the test's own place."""
    return partial(run_harness, place)


def answer(done: subprocess.CompletedProcess[str]) -> Any:
    """The JSON that a command printed: the whole of its standard output."""
    return json.loads(done.stdout)


def tracked_runs(place: Path) -> list[Any]:
    """Every run that the place's tracker holds."""
    uri = f"sqlite:///{place}/mlflow.db"
    ids = [experiment.experiment_id for experiment in connect(uri).search_experiments()]
    return list(search_all_runs(uri, ids, ""))


def steps_of(place: Path, run: Any) -> list[int]:
    """The steps of a run that the place's tracker has figures of."""
    history = connect(f"sqlite:///{place}/mlflow.db").get_metric_history(run.info.run_id, MARKER)
    return sorted(metric.step for metric in history)
