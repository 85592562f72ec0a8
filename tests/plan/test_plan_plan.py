"""Plans: sharing, caching.

To renew the golden plan after a deliberate change: python tests/plan/test_plan_plan.py
"""

import json
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from plan_tables import DATA, FACTORS, matrix, planned, row, table1

from harness.errors import InputError
from harness.matrix.matrix import Claim
from harness.plan import build_plan, fingerprint, identify_matrix, plan_to_json
from harness.plan.plan import sharing_of
from harness.reid.trainer import TRAINER

GOLDEN_FILE = Path(__file__).parent / "golden_plan.json"


def digest_of_table1() -> dict[str, list[str]]:
    return {f"{run.row} seed {run.seed}": list(run.stages) for run in planned(table1((0, 1))).runs}


def test_the_plan_of_table_1_is_the_pinned_one() -> None:
    assert digest_of_table1() == json.loads(GOLDEN_FILE.read_text())


def test_rows_that_share_a_stage_train_it_once() -> None:
    plan = planned(table1())
    shared = {tuple(run.row for run in plan.runs_of(name)) for name in plan.stages if len(plan.runs_of(name)) > 1}
    assert shared == {("1", "3", "3(T)"), ("4", "5"), ("6", "8")}


def test_sharing_is_counted() -> None:
    # Rows: 1, 4, 6 train classify (4 epochs); 2, 7 train metric (6); 3, 3(T), 5, 8 both (10).
    # Unshared: 3 x 4 + 2 x 6 + 4 x 10 = 64 epochs in 3 + 2 + 8 trainings and 9 evaluations = 22 stages.
    # Shared: classify of {1, 3, 3(T)}, {4, 5}, {6, 8} = 3 x 4, metric x 6 = 36: 48 epochs in 9 trainings.
    sharing = sharing_of(planned(table1()))
    assert (sharing.epochs_unshared, sharing.epochs, sharing.epochs_to_run) == (64, 48, 48)
    assert (sharing.stages_unshared, sharing.stages) == (22, 18)


def test_the_fingerprint_covers_kind_settings_and_parent_and_nothing_else() -> None:
    for stage in planned(table1()).stages.values():
        assert stage.fingerprint == fingerprint(
            {"kind": stage.kind, "settings": stage.settings, "parent": stage.parent}
        )


def test_the_code_is_part_of_the_identity() -> None:
    plan = planned(table1())
    other = build_plan(table1(), TRAINER, DATA, lambda _: "u" * 32, lambda _: False)
    assert not plan.stages.keys() & other.stages.keys()


def test_parents_come_first_and_every_stage_once() -> None:
    plan = planned(table1((0, 1)))
    seen: set[str] = set()
    for name, stage in plan.stages.items():
        assert name == stage.fingerprint
        assert stage.parent is None or stage.parent in seen
        seen.add(name)
    assert {name for run in plan.runs for name in run.stages} == seen


def test_each_seed_is_a_run_of_its_own() -> None:
    plan = planned(table1((0, 1, 2)))
    assert len(plan.runs) == 27
    assert len(plan.stages) == 3 * 18


def test_a_fully_cached_plan_runs_nothing() -> None:
    plan = planned(table1())
    again = planned(table1(), frozenset(plan.stages))
    assert again.to_run == ()
    assert {stage.kind for stage in again.to_execute} == {"evaluate"}
    assert sharing_of(again).epochs_to_run == 0


def test_a_training_whose_uses_are_all_cached_need_not_run_again() -> None:
    plan = planned(table1())
    evaluations = frozenset(run.evaluation for run in plan.runs)
    assert planned(table1(), evaluations).to_run == ()


def test_an_evaluation_that_is_missing_asks_for_its_cached_parent_and_no_more() -> None:
    plan = planned(table1())
    run = next(run for run in plan.runs if run.row == "8")
    again = planned(table1(), frozenset(plan.stages) - {run.evaluation} - {run.stages[0]})
    assert [stage.fingerprint for stage in again.to_run] == [run.evaluation]
    executed = {stage.fingerprint for stage in again.to_execute}
    assert run.stages[1] in executed
    assert run.stages[0] not in executed


def test_images_are_epochs_times_training_images_or_the_images_scored() -> None:
    plan = planned(matrix((row("3", ("Softmax", "Quadruplet")),)))
    assert [stage.amount for stage in plan.stages.values()] == [400, 600, 70]


def test_a_row_that_trains_nothing_is_listed_as_refused_and_the_others_are_planned() -> None:
    plan = planned(matrix((row("none", ()), row("1", ("Softmax",))), (0, 1)))
    assert [run.row for run in plan.runs] == ["1", "1"]
    (refused,) = plan.refused
    assert (refused.id, refused.factors) == ("none", ())
    assert "trains nothing" in refused.constraint


def test_a_table_without_a_row_to_train_is_an_error() -> None:
    with pytest.raises(InputError, match="table1: no row can be trained: none: trains nothing"):
        planned(matrix((row("none", ()),)))
    with pytest.raises(InputError, match="it declares no rows or no seeds"):
        planned(matrix((row("1", ("Softmax",)),), ()))


def test_the_plan_as_json_names_shared_stages_and_what_is_left() -> None:
    plan = planned(table1())
    cached = plan.runs[0].stages
    exported = json.loads(json.dumps(plan_to_json(planned(table1(), frozenset(cached)), table1())))
    by_name = {stage["fingerprint"]: stage for stage in exported["stages"]}
    assert by_name[cached[0]]["rows"] == ["1", "3", "3(T)"]
    assert by_name[cached[0]]["state"] == "cached"
    assert sum(stage["state"] == "to run" for stage in exported["stages"]) == 16
    assert exported["sharing"]["epochs_saved"] == 16
    assert [entry["id"] for entry in exported["rows"]][:4] == ["1", "2", "3", "3(T)"]
    assert exported["rows"][0]["runs"] == [{"seed": 0, "stages": list(cached)}]


def test_claims_are_judged_against_the_rows_that_are_planned() -> None:
    claims = (Claim("SAC helps", "8", "5", "mAP"), Claim("lost", "8", "none", "mAP"))
    table = replace(table1(), claims=claims, rows=(*table1().rows, row("none", ())))
    identified = identify_matrix(table, planned(table))
    assert [status.identifiable for status in identified.claims] == [True, False]
    assert 'row "none" is refused' in identified.claims[1].reason


def test_a_thousand_rows_are_planned_and_identified() -> None:
    settings = [on for on in product((False, True), repeat=6) if on[0] and (on[3] or not on[4])]
    rows = []
    for number in range(1000):
        factors = tuple(name for name, on in zip(FACTORS, settings[number % len(settings)], strict=True) if on)
        rows.append(row(f"{number}", factors, {"losses": {"quadruplet": {"epsilon1": 0.5 + number // 24}}}))
    table = matrix(tuple(rows))
    plan = planned(table)
    identify_matrix(table, plan)
    assert len(plan.runs) == len(plan_to_json(plan, table)["rows"]) == 1000


def test_planning_imports_neither_torch_nor_the_tracker_nor_numpy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, harness.plan, harness.execute; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert not {"torch", "mlflow", "numpy", "pandas"} & set(done.stdout.split())


def test_fingerprints_do_not_depend_on_the_order_in_which_a_recipe_is_written() -> None:
    stage = planned(table1()).stages[planned(table1()).runs[0].stages[0]]
    backwards = dict(reversed(stage.settings.items()))
    assert fingerprint({"kind": "train", "settings": backwards, "parent": None}) == stage.fingerprint


if __name__ == "__main__":
    GOLDEN_FILE.write_text(json.dumps(digest_of_table1(), indent=2) + "\n")
