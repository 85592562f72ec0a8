"""What the report of a search says: the verdict above all."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from harness.reid.metrics import METRICS
from harness.report.search_page import compare, study_to_markdown, write_study

E1, E2 = "losses.quadruplet.epsilon1", "losses.quadruplet.epsilon2"
PAPER = {E1: 0.5, E2: 0.2}


def results(values: list[float], name: str) -> list[dict[str, Any]]:
    return [
        {"seed": seed, "value": value, "evaluation": f"{name}{seed}", "reason": ""} for seed, value in enumerate(values)
    ]


def trial(number: int, epsilon1: float, value: float | None, state: str = "complete") -> dict[str, Any]:
    params = {E1: epsilon1, E2: 0.2}
    values = [] if value is None else [value - 0.01, value + 0.01]
    ended = {"number": number, "state": state, "params": params, "reason": ""}
    return {**ended, "value": value, "values": values, "epoch": None if value is None else 2}


def outcome(best: list[float], reference: list[float], metric: str = "mAP") -> dict[str, Any]:
    trials = [trial(0, 0.3, 0.6), trial(1, 0.1, None, "infeasible"), trial(2, 0.7, 0.8), trial(3, 0.9, 0.7)]
    trials.append(trial(4, 0.5, 0.4, "pruned"))
    study = {
        "row": "3",
        "reference": PAPER,
        "trials": trials,
        "best": trials[2],
        "importance": {E1: 0.75, E2: 0.25},
        "parts": {"choose": "a", "confirm": "b"},
        "noise": {"sd": 0.05, "allowed": 0.15, "p_value": 0.2},
        "confirmed": {"best": results(best, "b"), "reference": results(reference, "r")},
        "cost": {
            "results": 3.0,
            "seconds": 3600.0,
            "unshared_seconds": 7200.0,
            "epochs": 25.0,
            "unshared_epochs": 45.0,
        },
    }
    return {
        "name": "margins",
        "title": "Margins",
        "table": "table1.yaml",
        "tune": "once",
        "metric": metric,
        "measured": {key: asdict(one) for known in METRICS.values() for key, one in known.items()},
        "sampler": "tpe",
        "pruner": {"kind": "median", "every": 2},
        "budget": {"trials": 3, "hours": None, "device_hours": 2.0},
        "seeds": [0],
        "confirm": [100, 101, 102],
        "held_out": {"share": 0.2, "seed": 0},
        "space": {E1: "0.1 to 0.9", E2: "0.0 to 0.8"},
        "constraints": [f"{E2} < {E1}"],
        "claims": [],
        "profile": "demo",
        "dataset": "market1501",
        "synthetic": True,
        "studies": [study],
    }


@pytest.mark.parametrize(
    ("best", "metric", "verdict"),
    [
        # Differences to 0.70, 0.71, 0.72 of 10, 11 and 12 points: t = 11 / (1 / sqrt 3) = 19, p = 0.003.
        ([0.80, 0.82, 0.84], "mAP", "better"),
        ([0.60, 0.60, 0.60], "mAP", "worse"),  # -10, -11, -12
        ([0.60, 0.60, 0.60], "error", "better"),  # a lower error
        ([0.80, 0.61, 0.74], "mAP", "no difference that these seeds can show"),  # 10, -10, 2: t = 0.11
        ([0.80], "mAP", "not judged: these seeds give no variance"),
    ],
)
def test_the_best_point_is_judged_over_paired_fresh_seeds(best: list[float], metric: str, verdict: str) -> None:
    record = outcome(best, [0.70, 0.71, 0.72], metric)
    assert compare(record, record["studies"][0])[0] == verdict


def test_a_search_that_finds_the_reference_itself_says_so() -> None:
    record = outcome([0.7], [0.7])
    record["studies"][0]["reference"] = {E1: 0.7, E2: 0.2}
    assert compare(record, record["studies"][0])[0] == "the same values"


def test_the_report_has_question_verdict_trials_and_cost() -> None:
    text = study_to_markdown(outcome([0.80, 0.82, 0.84], [0.70, 0.71, 0.72]), ["figures/a.svg"])
    assert "**better** (+11.0 [+8.5, +13.5], p 0.003)" in text  # 4.303 * 1 / sqrt(3) = 2.48
    assert "| 1 | 0.1 | 0.2 | — |  | infeasible |" in text
    assert "| 2 | 0.7 | 0.2 | 80.0 ± 1.4 | best so far | complete |" in text  # 0.01 * sqrt(2)
    assert "| 3 | 0.9 | 0.2 | 70.0 ± 1.4 |  | complete |" in text
    assert "| 4 | 0.5 | 0.2 | 40.0 ± 1.4 |  | pruned after 2 epochs |" in text
    assert "pruner median after every 2 epochs" in text
    # 0.8 - 0.7 is within 0.15, 0.8 - 0.6 is not.
    assert "**no difference among the trials that they can show** (p 0.200" in text
    assert "1 of the 2 other complete trials (3) is nearer" in text
    assert "these shares may be noise" in text
    assert "budget 3 trials, 2 device hours a study" in text
    assert "3 complete, 1 infeasible, 1 pruned" in text
    assert "sharing stages and pruning leaves 50% of the time" in text


def test_a_search_on_synthetic_data_warns_of_the_values_that_it_searched() -> None:
    record = outcome([0.8], [0.7]) | {"space": {"optimizer.rate": "0.001 to 0.1, on a logarithmic scale"}}
    for trial_ in record["studies"][0]["trials"]:
        trial_["params"] = {"optimizer.rate": trial_["params"][E1]}
    text = study_to_markdown(record, [""])
    assert "on real data other values of `optimizer.rate` may be best." in text
    assert "margins" not in text.partition("# ")[2].partition("\n")[2]  # besides the title


def test_a_search_of_one_value_that_shares_nothing_and_counts_no_epochs_says_none_of_it() -> None:
    record = outcome([0.80, 0.82, 0.84], [0.70, 0.71, 0.72])
    record["studies"][0] |= {
        "importance": {E1: 1.0},
        "cost": {"results": 3.0, "seconds": 3600.0, "unshared_seconds": 3600.0, "epochs": 0.0, "unshared_epochs": 0.0},
    }
    text = study_to_markdown(record, [""])
    assert "Importance" not in text
    assert text.rstrip().endswith("3 results (trial x seed) took 1.00 hours on devices.")


def test_the_report_says_what_the_confirmation_rests_on() -> None:
    record = outcome([0.80, 0.82, 0.84], [0.70, 0.71, 0.72])
    text = study_to_markdown(record, [""])
    assert "on half of 20% of the training identities (drawn with seed 0), held out of training; the other half" in text
    assert "flatters it, and on the other half of what is held out, which chose nothing" in text
    text = study_to_markdown(record | {"held_out": {}}, [""])
    assert "flatters it, and on held-out data that chose nothing" in text
    record["studies"][0]["parts"] = {"choose": "a", "confirm": "a"}
    text = study_to_markdown(record | {"held_out": {}}, [""])
    assert "**on the same data that chose it**, which favours it: a point may seem better than it is" in text
    assert "names no other data to confirm on (`held_out: {choose: {...}, confirm: {...}}`)" in text


def test_a_search_without_any_result_still_has_a_report(tmp_path: Path) -> None:
    record = outcome([], [])
    record["studies"][0] |= {"best": None, "trials": [trial(0, 0.3, None, "failed")], "confirmed": {}}
    (path,) = write_study(record, tmp_path)
    assert "No trial has a result." in path.read_text(encoding="utf-8")


def test_the_surface_of_the_same_search_has_the_same_bytes(tmp_path: Path) -> None:
    record = outcome([0.80, 0.82, 0.84], [0.70, 0.71, 0.72])
    both = [write_study(record, tmp_path / name) for name in ("first", "second")]
    assert [path.name for path in both[0]] == ["margins.md", "margins-surface-1.svg", "margins-surface-1.png"]
    for first, second in zip(*both, strict=True):
        assert first.read_bytes() == second.read_bytes()
