"""Effects after equal tuning, on a toy whose scores are known at every learning rate."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import InputError, Search

# The trick is worth nothing at the rate that was good for the plain model, 0.01, and 0.2 at its own best, 0.1:
#   rate       0.001   0.01   0.1
#   plain       0.3    0.5    0.3
#   trick       0.3    0.5    0.7
# The seeds move both alike by 0.01 and their difference by 0.001; the units that choose are none of those that confirm.
TOY = """
import numpy as np
from pathlib import Path

SCORES = {False: {0.001: 0.3, 0.01: 0.5, 0.1: 0.3}, True: {0.001: 0.3, 0.01: 0.5, 0.1: 0.7}}


def train(settings, run):
    if Path("die").exists() and settings.trick and settings.rate == 0.1:
        raise KeyboardInterrupt
    first = {"test": 0, "choose": 100, "confirm": 200, "overlapping": 103}[settings.scored_on]
    run.units(range(first, first + 4), unit="examples", group="authors")
    noise = 0.01 * (run.seed % 3) + settings.trick * 0.001 * (run.seed % 3 - 1)
    spread = np.array([-0.01, 0.01, -0.01, 0.01])
    return {"score": SCORES[settings.trick][settings.rate] + noise + spread, "loss": 0.0}
"""
RECIPE: dict[str, Any] = {
    "trainer": "tuned_toy:train",
    "settings": {"rate": 0.01, "trick": False, "scored_on": "test", "depth": 1},
    "held_out": {"choose": {"scored_on": "choose"}, "confirm": {"scored_on": "confirm"}},
    "metrics": {"score": {"title": "Score"}, "loss": {"better": "lower"}},
    "factors": {"Trick": {"patch": {"trick": True}}},
}
CLAIM = {"text": "the trick helps", "better": "trick", "than": "plain", "metric": "score"}
TABLE: dict[str, Any] = {
    "title": "A toy",
    "recipe": "recipe.yaml",
    "seeds": [0],
    "metrics": ["score"],
    "rows": [{"id": "plain", "factors": []}, {"id": "trick", "factors": ["Trick"]}],
    "cited": [{"method": "Theirs", "values": {"score": 0.6}}],
    "claims": [
        CLAIM,
        {**CLAIM, "text": "the trick beats them", "than": "Theirs"},
        {**CLAIM, "text": "the trick lowers the loss", "metric": "loss"},
    ],
}
SEARCH: dict[str, Any] = {
    "title": "A toy, tuned",
    "table": "toy.yaml",
    "tune": "per-row",
    "claims": ["the trick helps"],
    "space": {"rate": {"choices": [0.001, 0.01, 0.1]}},
    "sampler": "grid",
    "budget": {"trials": 3},
    "metric": "score",
    "seeds": [0, 1],
    "confirm": [10, 11, 12],
}


@pytest.fixture
def folder(tmp_path: Path, empty_tracker: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    (tmp_path / "mlflow.db").write_bytes((empty_tracker / "mlflow.db").read_bytes())
    (tmp_path / "tuned_toy.py").write_text(TOY)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "tuned_toy", raising=False)
    return tmp_path


def declare(folder: Path, search: dict[str, Any], recipe: dict[str, Any] = RECIPE, **options: Any) -> Search:
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    (folder / "toy.yaml").write_text(json.dumps(TABLE))
    (folder / "tuned.yaml").write_text(json.dumps(search))
    return Search(folder / "tuned.yaml", **options)


def run(folder: Path, search: dict[str, Any], **options: Any) -> Search:
    return declare(folder, search, **options).run(executor="inprocess", progress=False, out=folder / "out")


def test_an_effect_that_shows_only_after_tuning_is_found_and_one_that_tuning_makes_is_split_off(folder: Path) -> None:
    found = run(folder, SEARCH)
    # At 0.01 both have 0.5; tuned the trick has 0.7 and the plain model 0.5. The seeds' own differences, -0.001, 0 and
    # 0.001, are in both effects, and cancel in what tuning adds.
    gains = found.claims().set_index("effect")
    assert gains.gain.to_dict() == pytest.approx({"own": 0.0, "tuned": 0.2, "change": 0.2})
    assert gains.low["tuned"] == pytest.approx(0.2 - 4.3027 * 0.001 / 3**0.5, abs=1e-6)  # t of 2 degrees of freedom
    assert found.best == {"trick": {"rate": 0.1}, "plain": {"rate": 0.01}}
    page = (folder / "out" / "tuned.md").read_text()
    assert "| the trick helps | trick vs plain | 0.000 [−0.002, +0.002]" in page.replace("+0.000 [", "0.000 [")
    assert "+0.200 [+0.198, +0.202]" in page
    assert "Both sides had 3 trials of 2 seeds each." in page
    assert "| trick | 0.01 → 0.1 | 3 complete |" in page
    assert "**Row trick: `rate` 0.1 lies at the upper end of its range**" in page
    assert "Row plain: `rate`" not in page


def test_both_sides_are_given_the_same_points_their_own_values_first(folder: Path) -> None:
    record = run(folder, {**SEARCH, "sampler": "random", "budget": {"trials": 5}}).record
    points = [[trial["params"]["rate"] for trial in study["trials"]] for study in record["studies"]]
    assert points[0] == points[1]
    assert points[0][0] == 0.01
    assert len(points[0]) == 5
    assert [study["units_checked"] for study in record["studies"]] == [True, True]


def test_a_search_that_was_killed_ends_as_one_that_was_not(folder: Path) -> None:
    search = {**SEARCH, "sampler": "random", "budget": {"trials": 6}, "sampler_seed": 3}
    whole = run(folder, search, store=folder / "whole").record
    assert any(trial["params"]["rate"] == 0.1 for trial in whole["studies"][0]["trials"])
    (folder / "die").touch()
    with pytest.raises(KeyboardInterrupt):
        run(folder, search, store=folder / "killed")
    (folder / "die").unlink()
    resumed = run(folder, search, store=folder / "killed").record
    for one, other in zip(whole["studies"], resumed["studies"], strict=True):
        assert [trial["params"] for trial in one["trials"]] == [trial["params"] for trial in other["trials"]]
        assert [trial["values"] for trial in one["trials"]] == [trial["values"] for trial in other["trials"]]
    assert whole["effects"] == resumed["effects"]


def test_fewer_trials_than_one_side_has_had_are_refused(folder: Path) -> None:
    random = {**SEARCH, "sampler": "random"}
    run(folder, random)
    with pytest.raises(InputError, match=r'tuned.yaml:1: budget.trials: found 2, and row "trick" has had 3'):
        run(folder, random, trials=2)


def test_the_cost_is_known_before_and_nothing_is_left_afterwards(folder: Path) -> None:
    from harness.api.search_cost import cost_lines, describe_search_cost
    from harness.api.slots import slots_for
    from harness.api.studies import prepare_search

    def cost() -> dict[str, Any]:
        declare(folder, SEARCH)
        prepared = prepare_search(folder / "tuned.yaml", store=str(folder / ".harness"))
        return describe_search_cost(prepared, slots_for(1))

    before = cost()
    assert not (folder / ".harness" / "studies").exists() or not list((folder / ".harness" / "studies").iterdir())
    # A row: three trials of two seeds, and best and reference under three seeds.
    assert [one["stages_to_run"] for one in before["rows"]] == [12, 12]
    assert cost_lines(before)[-1] == "To run: 24 stages, 0 epochs, if no trial is pruned."
    run(folder, SEARCH)
    assert cost()["stages_to_run"] == 0


def test_units_that_both_choose_and_confirm_are_refused(folder: Path) -> None:
    recipe = {**RECIPE, "held_out": {**RECIPE["held_out"], "confirm": {"scored_on": "overlapping"}}}
    with pytest.raises(InputError, match=r'1 authors both chose and confirmed the values of row "trick"'):
        declare(folder, SEARCH, recipe).run(executor="inprocess", progress=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"claims": ["the trick help"]}, '"the trick help" is not a claim of'),
        ({"claims": ["the trick beats them"]}, "compares a cited method, which cannot be tuned"),
        ({"claims": ["the trick lowers the loss"]}, "is on loss, found metric: score"),
        ({"rows": ["plain"]}, "rows: found rows and claims, expected one of them"),
        ({"claims": []}, "found neither rows nor claims, expected one of them"),
        ({"tune": "once"}, "tune: found once, expected per-row with claims"),
        ({"reference": {"rate": 0.1}}, "reference: expected none with claims"),
        ({"budget": {"trials": 3, "hours": 1}}, "budget.hours: expected none with claims: every row gets the same"),
        ({"budget": {"trials": 2}}, "budget.trials: found 2, expected 3, all of the grid"),
        ({"space": {"rate": {"choices": [0.001, 0.1]}}}, 'space.rate: lacks 0.01, the value of row "trick"'),
        ({"space": {"rat": {"choices": [0.001, 0.1]}}}, 'space.rat: "rat" is not a key'),
    ],
)
def test_what_does_not_compare_fairly_is_refused(folder: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as refused:
        declare(folder, {**SEARCH, **changes}).run(executor="inprocess", progress=False)
    assert message in str(refused.value)
    assert str(refused.value).startswith(f"{folder / 'tuned.yaml'}:1: ")


def test_one_part_that_both_chooses_and_confirms_is_refused(folder: Path) -> None:
    recipe = {**RECIPE, "held_out": {"scored_on": "choose"}}
    with pytest.raises(InputError, match=r"claims: the trainer scores both parts alike; expected other data"):
        declare(folder, SEARCH, recipe).run(executor="inprocess", progress=False)
