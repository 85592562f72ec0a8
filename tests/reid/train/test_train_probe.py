"""A probe: a few steps of a stage on random images, which leave numbers and nothing else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.code import reached_modules
from harness.reid.stages import CODE_ROOTS
from harness.reid.train import probe
from harness.trainer import Task


def probed(settings: dict[str, Any], context: dict[str, Any], folder: Path, kind: Any = "train") -> dict[str, Any]:
    folder.mkdir()
    details: list[Mapping[str, Any]] = []
    result = probe.run_probe(Task(kind, "probed", settings, folder, None, context), details.append)
    assert [detail["step"] for detail in details][:2] == [1, 2]
    return result


@pytest.fixture
def blind(context: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A context in which any access to the data set or to weights would fail, and a probe ends at once."""
    monkeypatch.setattr(probe, "_LEAST_S", 0.0)
    sizes = {"train": 40, "query": 12, "gallery": 30, "classes": 8}
    nowhere = {"cache": "/nowhere", "weights": {"none": "/nowhere/weights"}}
    return {**context, **nowhere, "data": [{"dataset": "market1501", "root": "/nowhere", "sizes": sizes}]}


def test_a_training_is_timed_step_by_step_without_data_or_weights(
    settings: dict[str, Any], blind: dict[str, Any], tmp_path: Path
) -> None:
    result = probed(settings, blind, tmp_path / "probe")
    assert result["steps"] == 10  # after one more that warms up
    assert result["units_per_s"] > 0
    assert result["device"]
    assert not list((tmp_path / "probe").rglob("*.pt"))


def test_batches_are_no_larger_than_the_data_can_fill(
    settings: dict[str, Any], blind: dict[str, Any], tmp_path: Path
) -> None:
    blind["data"][0]["sizes"]["classes"] = 3  # batches of 3 identities instead of 4
    assert probed(settings, blind, tmp_path / "few")["steps"] == 10
    settings["sampler"] = {"kind": "shuffled", "batch_size": 64}
    settings["losses"] = {"softmax": {"weight": 1.0, "label_smoothing": 0.0}}
    assert probed(settings, blind, tmp_path / "shuffled")["steps"] == 10


def test_a_probe_works_at_a_learning_rate_that_would_diverge(
    settings: dict[str, Any], blind: dict[str, Any], tmp_path: Path
) -> None:
    settings["optimizer"]["lr"] = 1e30
    assert probed(settings, blind, tmp_path / "probe")["steps"] == 10


def test_a_slow_device_is_probed_only_briefly(
    settings: dict[str, Any], blind: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "_MOST_S", 0.0)
    folder = tmp_path / "probe"
    folder.mkdir()
    task = Task("train", "probed", settings, folder, None, blind)
    assert probe.run_probe(task, lambda _: None)["steps"] == 1


@pytest.mark.parametrize("rerank", [False, True])
def test_an_evaluation_is_timed_with_a_ranking_of_the_data_sets_size(
    settings: dict[str, Any], blind: dict[str, Any], tmp_path: Path, rerank: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    def ranked(evaluation: Any, resources: Any, query: Any, gallery: Any) -> None:
        sizes.append((len(query[0]), len(gallery[0]), query[0].shape[1], evaluation.rerank.enabled))

    monkeypatch.setattr(probe, "rank", ranked)
    result = probed(evaluated(settings, rerank=rerank), blind, tmp_path / "probe", "evaluate")
    assert sizes[-1] == (12, 30, 16, rerank)
    assert result["units_per_s"] > 0


def evaluated(settings: dict[str, Any], *, rerank: bool) -> dict[str, Any]:
    kept = {name: settings[name] for name in ("data", "model", "arithmetic", "code")}
    evaluation = {"protocol": "market", "rerank": {"enabled": rerank}}
    return {**kept, "mean": [0.5] * 3, "std": [0.25] * 3, "evaluation": evaluation}


def test_random_features_can_be_ranked(settings: dict[str, Any], blind: dict[str, Any], tmp_path: Path) -> None:
    assert probed(evaluated(settings, rerank=True), blind, tmp_path / "probe", "evaluate")["units_per_s"] > 0


def test_held_out_identities_are_scored_on_part_of_the_training_images(
    settings: dict[str, Any], blind: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    monkeypatch.setattr(probe, "rank", lambda e, c, query, gallery: sizes.append((len(query[0]), len(gallery[0]))))
    settings["data"]["held_out"] = {"share": 0.5, "seed": 0}
    probed(evaluated(settings, rerank=False), blind, tmp_path / "probe", "evaluate")
    assert sizes[-1] == (5, 15)  # half of 40 images, one in four a query


def test_a_classification_needs_no_ranking(settings: dict[str, Any], blind: dict[str, Any], tmp_path: Path) -> None:
    scored = evaluated(settings, rerank=False)
    scored["evaluation"] = {"protocol": "classification"}
    assert (
        probed(
            scored,
            {**blind, "data": [{**blind["data"][0], "sizes": {"train": 40, "test": 9, "classes": 8}}]},
            tmp_path / "probe",
            "evaluate",
        )["steps"]
        == 10
    )


def test_no_fingerprint_depends_on_the_probe() -> None:
    for root in CODE_ROOTS.values():
        assert "harness.reid.train.probe" not in reached_modules((root,))
