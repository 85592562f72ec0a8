"""``harness search`` on the real command line: killed, continued, finished, and without any test image on the disk."""

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import mlflow
import optuna
import psutil
import pytest
import warm

from harness.api.listener import Listener
from harness.api.studies import PointTrainer, prepare_search
from harness.errors import InputError
from harness.execute import InProcessExecutor, Store
from harness.matrix import load_matrix
from harness.reid.data.synthetic import make_market1501
from harness.reid.files import WEIGHTS
from harness.search.storage import open_storage
from harness.track import list_tables
from harness.units import UNITS, read_units

E1, E2 = "losses.quadruplet.epsilon1", "losses.quadruplet.epsilon2"

TABLE = """\
title: A tiny table
recipe: recipes/market1501.yaml
seeds: [0]
metrics: [mAP]
rows:
  - {id: "1", factors: [Softmax]}
  - {id: "3", factors: [Softmax, Quadruplet]}
  - {id: "2", factors: [Quadruplet]}
profiles:
  demo:
    set:
      data: {height_px: 32, width_px: 16}
      model: {embedding_dim: 16}
      stages:
        classify: {epochs: 1, sampler: {batch_size: 16}}
        metric: {epochs: 2, sampler: {identities: 4, images: 2}}
"""
SEARCH = """\
title: Tiny margins
table: tiny.yaml
tune: once
rows: ["3"]
space:
  losses.quadruplet.epsilon1: {choices: [0.3, 0.6]}
  losses.quadruplet.epsilon2: {low: 0.0, high: 0.8, step: 0.8}
constraints: [losses.quadruplet.epsilon2 < losses.quadruplet.epsilon1]
sampler: grid
pruner: {kind: median, every: 1}
budget: {trials: 9}
metric: mAP
seeds: [0, 3]
confirm: [5, 6]
reference: {losses.quadruplet.epsilon1: 0.5, losses.quadruplet.epsilon2: 0.2}
held_out: {share: 0.4, seed: 1}
"""


class Place:
    """A folder with the search, its table and training images alone."""

    def __init__(self, folder: Path, empty_tracker: Path) -> None:
        self.folder = folder
        shutil.copy(empty_tracker / "mlflow.db", folder)
        shutil.copytree(Path(__file__).parents[2] / "ablations" / "recipes", folder / "recipes")
        (folder / "tiny.yaml").write_text(TABLE, encoding="utf-8")
        (folder / "margins.yaml").write_text(SEARCH, encoding="utf-8")
        self.images = make_market1501(folder / "images", identities=16, seed=1)
        for tests in ("query", "bounding_box_test"):
            shutil.rmtree(self.images / tests)
        self.tracker = f"sqlite:///{folder / 'mlflow.db'}"

        self.environment = {**os.environ, "MLFLOW_TRACKING_URI": self.tracker, "OMP_NUM_THREADS": "1"}
        self.environment.pop("HARNESS_STORE", None)

    def command(self, *words: str) -> list[str]:
        places = ["--data", str(self.images), "--workers", "1"]
        return ["harness", "search", "margins.yaml", "--profile", "demo", *words, *places]

    def run(self, *words: str, code: int = 0) -> tuple[str, str]:
        done = warm.run(self.command(*words), self.folder, self.environment, timeout_s=900)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout, done.stderr

    def kill_once_it_trains(self) -> None:
        running = warm.WarmCommand(self.command(), self.folder, self.environment)
        while "started    metric" not in running.notices():
            assert running.poll() is None, running.notices()
            time.sleep(0.05)
        workers = running.workers()
        running.kill()
        _, left = psutil.wait_procs(workers, timeout=300)
        assert not left, "a worker sees that nobody listens"

    def trials(self) -> list[optuna.trial.FrozenTrial]:
        storage = open_storage(None, self.folder / ".harness" / "studies" / "margins-demo.journal")
        (study,) = storage.get_all_studies()
        return storage.get_all_trials(study._study_id)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, empty_tracker: Path) -> Place:
    return Place(tmp_path_factory.mktemp("search"), empty_tracker)


@pytest.fixture(scope="module")
def finished(place: Place) -> tuple[Place, dict[str, Any]]:
    """The search, killed while its first trial trained, then run to its end; what that run printed."""
    place.kill_once_it_trains()
    assert optuna.trial.TrialState.RUNNING in {trial.state for trial in place.trials()}
    answer, _ = place.run("--json")
    return place, json.loads(answer)


def test_a_search_needs_no_test_image_and_finds_the_best_point(finished: tuple[Place, dict[str, Any]]) -> None:
    place, record = finished
    assert not (place.images / "query").exists()
    (study,) = record["studies"]
    complete = [trial for trial in study["trials"] if trial["state"] == "complete"]
    assert len(complete) == 2
    assert study["best"]["value"] == max(trial["value"] for trial in complete)
    assert [result["seed"] for result in study["confirmed"]["best"]] == [5, 6]
    kept = (place.folder / ".harness/studies/margins-demo.json").read_text()
    assert json.loads(kept) == {key: value for key, value in record.items() if key not in {"reports", "folders"}}
    assert str(place.folder) not in kept  # the file moves with its store


def test_the_best_point_is_confirmed_on_identities_that_chose_nothing(finished: tuple[Place, dict[str, Any]]) -> None:
    place, record = finished
    (study,) = record["studies"]
    assert study["parts"]["choose"] != study["parts"]["confirm"]
    store = Store(place.folder / ".harness")
    stages = {entry.stage.fingerprint: entry.stage for entry in store.list_entries() if entry.stage is not None}
    parts = {"choose": [], "confirm": []}
    for trial in study["trials"]:
        parts["choose"] += [chain[-1] for chain in trial["chains"]]
    parts["confirm"] = [result["evaluation"] for point in study["confirmed"].values() for result in point]
    people: dict[str, set[str]] = {}
    for part, evaluations in parts.items():
        assert evaluations
        for name in evaluations:
            assert stages[name].settings["data"]["held_out"] == {"share": 0.4, "seed": 1, "part": part}
        people[part] = set(read_units(store.folder(evaluations[0]) / UNITS).groups.tolist())
        assert people[part]
    assert not people["choose"] & people["confirm"]
    text = (place.folder / "reports" / "margins.md").read_text(encoding="utf-8")
    assert "on the other half of what is held out, which chose nothing" in text
    assert "favour" not in text


def test_a_killed_search_loses_no_trial_and_leaves_none_running(finished: tuple[Place, dict[str, Any]]) -> None:
    place, _ = finished
    points = [tuple(trial.params.values()) for trial in place.trials()]
    assert len(points) == len(set(points)) == 2 * 2
    assert all(trial.state.is_finished() for trial in place.trials())


def test_all_trials_share_the_first_stage(finished: tuple[Place, dict[str, Any]]) -> None:
    _, record = finished
    (study,) = record["studies"]
    chains = [chain for trial in study["trials"] for chain in trial["chains"]]
    assert len({chain[0] for chain in chains}) == 2  # one a seed
    assert len({chain[1] for chain in chains}) == 2 * 2
    assert study["cost"]["epochs"] == 2 * (1 + 2 * 2)  # a seed: one classify epoch, and two metric epochs a trial
    assert study["cost"]["unshared_epochs"] == 2 * 2 * (1 + 2)


def test_trials_are_evaluated_on_the_way_and_only_their_last_training_is_kept(
    finished: tuple[Place, dict[str, Any]],
) -> None:
    place, record = finished
    (study,) = record["studies"]
    complete = [trial for trial in study["trials"] if trial["state"] == "complete"]
    assert [list(trial["curve"]) for trial in complete] == [["1", "2"]] * 2
    kept = [entry.stage for entry in Store(place.folder / ".harness").list_entries() if entry.stage is not None]
    assert sum(stage.kind == "evaluate" for stage in kept) == 2 * 2 * 2 + 2 * 2  # two a result, and the confirmation's
    assert not [stage for stage in kept if "stop_after" in stage.settings]


def test_a_trial_that_is_not_given_up_ends_with_the_weights_it_has_without_a_pruner(
    finished: tuple[Place, dict[str, Any]], tmp_path: Path
) -> None:
    place, record = finished
    path = place.folder / "whole.yaml"
    path.write_text(SEARCH.replace("pruner: {kind: median, every: 1}\n", ""), encoding="utf-8")
    prepared = prepare_search(path, profile="demo", data=place.images, trials=None, store=tmp_path / "store")
    (trials,) = prepared.trials
    trial = next(trial for trial in record["studies"][0]["trials"] if trial["state"] == "complete")
    points = PointTrainer(prepared, trials, InProcessExecutor(prepared.store), Listener())
    score = points.evaluate({"whole": trial["params"]}, [3])["whole", 3]
    assert score.stages == tuple(trial["chains"][1])
    assert score.value == trial["values"][1]
    training, there = score.stages[-2], Store(place.folder / ".harness")
    whole, gone_on = (store.folder(training) / WEIGHTS for store in (prepared.store, there))
    assert whole.read_bytes() == gone_on.read_bytes()


def test_a_search_knows_the_training_images_alone(place: Place) -> None:
    prepared = prepare_search(
        place.folder / "margins.yaml", profile="demo", data=place.images, trials=None, store=place.folder / ".harness"
    )
    (trials,) = prepared.trials
    plan = trials.plan([("p", {E1: 0.6, E2: 0.0})], [0], lambda _: False, "choose")
    assert {split for stage in plan.stages.values() for split in stage.settings["data"]["splits"]} == {"train"}
    assert set(prepared.inputs.contents) == {"train"}


def test_every_trial_is_a_child_run_with_its_values(finished: tuple[Place, dict[str, Any]]) -> None:
    place, record = finished
    client = mlflow.MlflowClient(tracking_uri=place.tracker)
    experiment = client.get_experiment_by_name("margins")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if run is not parent]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert parent.info.status == "FINISHED"
    assert sorted(run.data.params["state"] for run in children) == ["complete"] * 2 + ["infeasible"] * 2
    assert {run.info.status for run in children} == {"FINISHED"}
    assert {run.data.params["row"] for run in children} == {"3"}
    complete = [run.data.metrics for run in children if run.data.params["state"] == "complete"]
    assert all({"mAP", "mAP seed 0", "mAP seed 3", "mAP after 1 epochs"} == set(metrics) for metrics in complete)
    recorded = {
        (run.data.params["epsilon1"], run.data.params["epsilon2"]): run.data.metrics.get("mAP") for run in children
    }
    (study,) = record["studies"]
    for trial in study["trials"]:
        epsilon1, epsilon2 = map(str, trial["params"].values())
        assert recorded[epsilon1, epsilon2] == trial["value"]


def test_a_studys_page_draws_its_trials_over_values_and_metric_and_is_no_table(
    finished: tuple[Place, dict[str, Any]],
) -> None:
    place, _ = finished
    experiment = mlflow.MlflowClient(tracking_uri=place.tracker).get_experiment_by_name("margins")
    assert experiment is not None
    view = json.loads(experiment.tags["mlflow.sharedViewState.harness"])
    (chart,) = view["compareRunCharts"]
    assert chart["type"] == "PARALLEL"
    assert (chart["selectedParams"], chart["selectedMetrics"]) == (["epsilon1", "epsilon2"], ["mAP"])
    assert (view["orderByKey"], view["orderByAsc"]) == ("metrics.`mAP`", False)
    assert list_tables(place.tracker) == []
    assert [entry.table for entry in list_tables(place.tracker, ("table", "study"))] == ["margins"]


def test_the_report_judges_the_best_point_against_the_reference(finished: tuple[Place, dict[str, Any]]) -> None:
    place, _ = finished
    text = (place.folder / "reports" / "margins.md").read_text(encoding="utf-8")
    assert "no test image was read" in text
    assert "Tuned once" in text
    assert "infeasible" in text
    assert "Against the reference" in text
    assert (place.folder / "reports" / "figures" / "margins-surface-1.svg").is_file()


def test_a_table_takes_its_margins_from_the_finished_search(finished: tuple[Place, dict[str, Any]]) -> None:
    place, record = finished
    taking = "set: {losses.quadruplet: {epsilon1: {from: margins}, epsilon2: {from: margins}}}\nrows:"
    (place.folder / "taking.yaml").write_text(TABLE.replace("rows:", taking), encoding="utf-8")
    matrix = load_matrix(
        place.folder / "taking.yaml", profile="demo", rows=["3"], studies=place.folder / ".harness" / "studies"
    )
    (study,) = record["studies"]
    quadruplet = matrix.rows[0].recipe.losses.quadruplet
    assert [quadruplet.epsilon1, quadruplet.epsilon2] == list(study["best"]["params"].values())
    assert matrix.rows[0].recipe.data.held_out is None
    assert matrix.studies == {"margins": f"{study['study']}, tuned once"}


def test_a_tables_report_and_runs_name_the_study_that_its_margins_come_from(
    finished: tuple[Place, dict[str, Any]], tmp_path: Path
) -> None:
    place, record = finished
    images = make_market1501(tmp_path / "images", identities=16, seed=1)  # the same, with the test images
    taking = "set: {losses.quadruplet: {epsilon1: {from: margins}, epsilon2: {from: margins}}}\nrows:"
    (place.folder / "taking.yaml").write_text(TABLE.replace("rows:", taking), encoding="utf-8")
    words = [
        "run",
        "taking.yaml",
        "--profile",
        "demo",
        "--rows",
        "3",
        "--data",
        str(images),
        "--executor",
        "inprocess",
        "--format",
        "md",
    ]
    done = warm.run(["harness", *words], place.folder, place.environment, timeout_s=900)
    assert done.returncode == 0, done.stderr
    (study,) = record["studies"]
    named = f"{study['study']}, tuned once"
    assert f"| study margins | {named} |" in (place.folder / "reports" / "taking.md").read_text(encoding="utf-8")
    client = mlflow.MlflowClient(tracking_uri=place.tracker)
    experiment = client.get_experiment_by_name("taking")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert {run.data.tags["harness.study margins"] for run in runs} == {named}
    (child,) = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert [float(child.data.params[name]) for name in ("epsilon1", "epsilon2")] == list(
        study["best"]["params"].values()
    )


def test_the_same_search_again_trains_nothing(finished: tuple[Place, dict[str, Any]]) -> None:
    place, record = finished
    answer, notices = place.run("--json")
    assert "started" not in notices
    assert json.loads(answer) == record


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('rows: ["3"]', 'rows: ["4"]', 'margins.yaml:4: rows.0: "4" is not a row of'),
        ('rows: ["3"]', 'rows: ["1"]', 'margins.yaml:6: space.losses.quadruplet.epsilon1: changes nothing in row "1"'),
        ("metric: mAP", "metric: error", "is not measured here"),
        ("low: 0.0", "low: -0.8", "margins.yaml:7: space.losses.quadruplet.epsilon2: found -0.8"),
    ],
)
def test_what_does_not_fit_the_table_is_reported_by_line(place: Place, old: str, new: str, message: str) -> None:
    path = place.folder / "wrong.yaml"
    path.write_text(SEARCH.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError) as refused:
        prepare_search(path, profile="demo", data=place.images, trials=None, store=place.folder / ".harness")
    assert message.replace("margins.yaml", "wrong.yaml") in str(refused.value)


def test_tuned_per_row_every_row_has_a_study_of_its_own_and_the_same_budget(place: Place) -> None:
    path = place.folder / "each.yaml"
    path.write_text(SEARCH.replace('tune: once\nrows: ["3"]', 'tune: per-row\nrows: ["3", "2"]'), encoding="utf-8")
    prepared = prepare_search(path, profile="demo", data=place.images, trials=4, store=place.folder / ".harness")
    assert [trials.row.id for trials in prepared.trials] == ["3", "2"]
    assert len({trials.identity for trials in prepared.trials}) == 2
    assert {trials.search.budget.trials for trials in prepared.trials} == {4}
