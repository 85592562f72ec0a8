"""A user's function as a trainer: from YAML to a table, what identifies it, what it is given, how it fails."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from toy_tables import METRICS, Declare, Runs

from harness.api.engine import Engine
from harness.api.prepare import prepare
from harness.api.run import run_table
from harness.errors import InputError
from harness.trainer import PARTS
from harness.units import UNITS, read_units


def scores(ended: Any) -> dict[tuple[str, int], float]:
    return {(row["id"], row["seed"]): row["metrics"]["score"] for row in ended.to_json()["rows"]}


def stages(table: Path, folder: Path, **options: Any) -> dict[str, list[str]]:
    plan = prepare(table, store=str(folder / "store"), **options).plan
    return {f"{run.row} {run.seed}": list(run.stages) for run in plan.runs}


def test_a_function_fills_a_table_with_intervals_over_seeds_and_units(
    declare: Declare, run: Runs, folder: Path
) -> None:
    ended = run(declare())
    # Values gain + 0.1 * (0, 1, 2, 3) + 0.01 * seed have the mean gain + 0.15 + 0.01 * seed.
    assert scores(ended) == pytest.approx(
        {("plain", 0): 0.65, ("plain", 1): 0.66, ("gain", 0): 0.85, ("gain", 1): 0.86}
    )
    assert ended.report is not None
    cell = ended.report.rows[1].cells["score"].measured
    assert cell is not None
    assert cell.chance is not None
    assert cell.chance.units == 2  # two groups of two units
    (claim,) = ended.report.claims
    assert claim.measured is not None
    assert claim.measured.mean == pytest.approx(0.2)
    assert "a note of the run" in (folder / "reports" / "table.md").read_text()
    assert run(declare()).trained == 0


def test_what_the_function_keeps_is_kept(declare: Declare, run: Runs) -> None:
    ended = run(declare(seeds=[0]))
    store, plan = ended.prepared.store, ended.prepared.plan
    place = store.fetch(plan.runs[0].evaluation)
    units = read_units(place / UNITS)
    assert units.ids.tolist() == ["a", "b", "c", "d"]
    assert (units.unit, units.group) == ("examples", "authors")
    assert units.values["score"].tolist() == pytest.approx([0.5, 0.6, 0.7, 0.8])
    assert store.result(plan.runs[0].evaluation)["parameters"] == 10
    assert store.result(plan.runs[0].evaluation)["steps"] == 3


def test_a_killed_run_goes_on_from_its_checkpoint(declare: Declare, run: Runs, folder: Path) -> None:
    table = declare(seeds=[0], rows=[{"id": "plain", "factors": []}], claims=[])
    (folder / "die").touch()
    with pytest.raises(KeyboardInterrupt):
        run(table)
    ended = run(table)
    place = ended.prepared.store.fetch(ended.prepared.plan.runs[0].evaluation)
    assert (place / "files" / "began_at").read_text() == "2"
    records = [json.loads(line) for line in (place / "spool.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records] == [1, 2, 3]


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("0.1 * np.arange(4)", "0.2 * np.arange(4)", False),
        ('"""Four units', '"""Five units', True),
        ("    run.cost(parameters=10)\n", "    # a comment\n    run.cost(parameters=10)\n", True),
    ],
)
def test_changed_code_is_run_again_and_a_changed_comment_is_not(
    declare: Declare, folder: Path, old: str, new: str, same: bool
) -> None:
    table = declare()
    before = stages(table, folder)
    text = (folder / "toy.py").read_text()
    assert old in text
    (folder / "toy.py").write_text(text.replace(old, new))
    assert (stages(table, folder) == before) is same


def test_one_process_runs_what_each_plan_names_whatever_it_has_imported(
    declare: Declare, run: Runs, folder: Path
) -> None:
    def helper(gain: float) -> None:  # of equal length and often in the same second: Python's bytecode knows no more
        (folder / "my_helper.py").write_text(f"def gained(gain):\n    return gain + {gain}\n")

    helper(1.0)
    (folder / "mine.py").write_text(
        "from my_helper import gained\n\ndef train(settings, run):\n    return {'score': gained(settings.gain)}\n"
    )
    recipe = {"trainer": "mine:train", "metrics": {"score": METRICS["score"]}, "settings": {"gain": 0.5}, "factors": {}}
    table = declare(recipe, rows=[{"id": "plain", "factors": []}], claims=[], seeds=[0], metrics=["score"])
    assert scores(run(table)) == {("plain", 0): 1.5}
    helper(2.0)
    assert scores(run(table)) == {("plain", 0): 2.5}
    helper(1.0)
    ended = run(table)
    assert (scores(ended), ended.trained) == ({("plain", 0): 1.5}, 0)
    for name in ("mine", "my_helper"):
        sys.modules.pop(name)


def write(file: Path, text: str) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)


ONE_ROW: dict[str, Any] = {
    "rows": [{"id": "plain", "factors": []}],
    "claims": [],
    "seeds": [0],
    "metrics": ["score"],
}


def of(trainer: Any) -> dict[str, Any]:
    """A recipe of a trainer that has a score alone."""
    return {"trainer": trainer, "metrics": {"score": METRICS["score"]}, "settings": {"gain": 0.5}, "factors": {}}


def test_a_helper_of_two_trainers_is_read_again_by_both(declare: Declare, run: Runs, folder: Path) -> None:
    def helper(value: float) -> None:
        write(folder / "my_helper.py", f"def value():\n    return {value}\n")

    for name in ("one", "two"):
        write(
            folder / f"mine_{name}.py",
            "from my_helper import value\ndef train(settings, run):\n    return {'score': value()}\n",
        )
    found = []
    for value in (1.0, 2.0):
        helper(value)
        found += [scores(run(declare(of(f"mine_{name}:train"), **ONE_ROW)))["plain", 0] for name in ("one", "two")]
    assert found == [1.0, 1.0, 2.0, 2.0]


def test_a_module_that_its_user_reloaded_meanwhile_is_read_again(declare: Declare, run: Runs, folder: Path) -> None:
    def helper(value: float) -> None:
        write(folder / "my_reloaded.py", f"def value():\n    return {value}\n")

    write(
        folder / "mine_reloading.py",
        "import my_reloaded\ndef train(settings, run):\n    return {'score': my_reloaded.value() + settings.gain}\n",
    )
    helper(1.0)
    table = declare(of("mine_reloading:train"), **ONE_ROW)
    for _ in range(2):
        assert scores(run(table)) == {("plain", 0): 1.5}  # the second time nothing runs, and its module is known
    helper(20.0)
    importlib.reload(sys.modules["my_reloaded"])
    helper(1.0)
    other = declare({**of("mine_reloading:train"), "settings": {"gain": 0.25}}, **ONE_ROW)
    assert scores(run(other)) == {("plain", 0): 1.25}


def test_a_helper_in_a_folder_without_init_is_part_of_the_identity_and_read_again(
    declare: Declare, run: Runs, folder: Path
) -> None:
    write(
        folder / "mine_kit.py",
        "from my_kit import helper\ndef train(settings, run):\n    return {'score': helper.value()}\n",
    )
    found = []
    for value in (1.0, 2.0):
        write(folder / "my_kit" / "helper.py", f"def value():\n    return {value}\n")
        found.append(scores(run(declare(of("mine_kit:train"), **ONE_ROW)))["plain", 0])
    assert found == [1.0, 2.0]


def test_a_stage_that_imports_late_refuses_a_module_that_was_edited_meanwhile(declare: Declare, folder: Path) -> None:
    write(folder / "my_late.py", "def value():\n    return 1.0\n")
    write(
        folder / "mine_late.py",
        "from pathlib import Path\n\n"
        "def train(settings, run):\n"
        "    text = Path('my_late.py').read_text()\n"
        "    Path('my_late.py').write_text(text.replace('1.0', '2.0'))  # as its author does, in an editor\n"
        "    import my_late\n"
        "    return {'score': my_late.value()}\n",
    )
    table = declare(of("mine_late:train"), **ONE_ROW)
    prepared = prepare(table, store=str(folder / "store"))
    (row,) = run_table(prepared, Engine("inprocess"), folder / "reports", formats=()).to_json()["rows"]
    assert row["reason"].startswith("my_late, which this stage imports late, was changed after this run was planned")


def test_code_and_inputs_behind_links_are_read_and_what_tools_leave_is_not(declare: Declare, folder: Path) -> None:
    write(folder / "real" / "a.csv", "1\n")
    (folder / "data").mkdir()
    (folder / "data" / "train").symlink_to(folder / "real")
    (folder / "real" / "again").symlink_to(folder / "data")  # a circle
    table = declare({"inputs": ["data"]})
    before = stages(table, folder)
    for left in (".a.csv.swp", "a.csv~", ".DS_Store", ".#a.csv"):
        write(folder / "data" / left, "left by a tool")
    write(folder / "data" / ".ipynb_checkpoints" / "a.csv", "left by a tool")
    assert stages(table, folder) == before
    write(folder / "real" / "a.csv", "2\n")
    assert all(names != before[run] for run, names in stages(table, folder).items())


def test_an_input_that_changes_after_the_plan_fails_what_would_read_it(declare: Declare, folder: Path) -> None:
    (folder / "train.csv").write_text("1,2\n")
    prepared = prepare(declare({"inputs": ["train.csv"]}), store=str(folder / "store"))
    (folder / "train.csv").write_text("1,2,3\n")
    rows = run_table(prepared, Engine("inprocess"), folder / "reports", formats=()).to_json()["rows"]
    assert {row["reason"] for row in rows} == {
        "train.csv was changed after this run was planned; run the same command again"
    }


def test_an_inputs_contents_are_part_of_the_identity(declare: Declare, folder: Path) -> None:
    (folder / "train.csv").write_text("1,2\n")
    table = declare({"inputs": ["train.csv"]})
    before = stages(table, folder)
    (folder / "train.csv").write_text("1,2,3\n")
    assert all(names != before[run] for run, names in stages(table, folder).items())
    (folder / "train.csv").unlink()
    with pytest.raises(InputError, match=r"inputs: train.csv: no file or folder"):
        stages(table, folder)


def test_stages_share_what_they_do_not_read(declare: Declare, run: Runs) -> None:
    chain = {
        "pretrain": {"function": "toy:pretrain", "reads": ["gain"]},
        "tune": {"function": "toy:tune", "reads": ["steps"]},
    }
    factors = {"Longer": {"patch": {"steps": 5}}}
    recipe = {"trainer": {"stages": chain}, "factors": factors}
    rows = [{"id": "short", "factors": []}, {"id": "long", "factors": ["Longer"]}]
    ended = run(declare(recipe, rows=rows, claims=[], seeds=[0]))
    assert scores(ended) == {("short", 0): 3.5, ("long", 0): 5.5}
    assert len(ended.prepared.plan.stages) == 3  # one pretrain for both


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("nothing", "returned nothing, expected the metrics by name: score, loss"),
        ("undeclared", 'returned "scor", which the recipe does not declare; did you mean "score"?'),
        ("missing", "returned no loss; expected score, loss"),
        ("not_a_number", "score is nan, expected a finite number"),
        ("not_a_unit", "score is inf at unit 1, expected finite numbers"),
        ("two_lengths", "metrics have different numbers of units (score 2, loss 3)"),
        ("ids_twice", "run.units: ids are not all different"),
        ("text", "score is str, expected a number or one number for each unit"),
        ("raises", "toy:raises raised ValueError: no such corpus (toy.py:"),
        ("asks_for_more", 'toy:asks_for_more raised AttributeError: no setting "depth"'),
    ],
)
def test_a_function_that_misbehaves_fails_its_row_with_the_reason(
    declare: Declare, run: Runs, function: str, reason: str
) -> None:
    table = declare({"trainer": f"toy:{function}"}, rows=[{"id": "one", "factors": []}], claims=[], seeds=[0])
    (row,) = run(table).to_json()["rows"]
    assert row["status"] == "failed"
    assert row["reason"].startswith(reason)
    assert "\n" not in row["reason"]


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"trainer": "toy:trian"}, 'recipe.yaml:1: trainer: "toy:trian": toy'),
        ({"trainer": "toys:train"}, 'recipe.yaml:1: trainer: "toys:train": no module "toys"'),
        ({"trainer": "toy:takes_three"}, "expected (settings, run): missing a required argument: 'more'"),
        ({"trainer": {"stage": {}}}, "expected a reference, {command: [...]} or {stages: ...}"),
        ({"metrics": {}}, "expected metrics: the recipe declares none"),
        ({"settings": {"gian": 1.0}}, 'settings: "gian": the code has no such setting; did you mean "gain"?'),
        ({"settings": {"gain": "high"}}, 'settings.gain: found the text "high", expected a number'),
        ({"factors": {"Gain": {"patch": {"gian": 1.0}}}}, '"gian" is not a key; did you mean "gain"?'),
        (
            {"trainer": {"stages": {"a": {"function": "toy:tune", "reads": ["depth"]}}}},
            'reads "depth", which is not a setting',
        ),
    ],
)
def test_a_mistake_in_the_recipe_is_named_before_anything_runs(
    declare: Declare, folder: Path, recipe: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError) as refusal:
        prepare(declare(recipe), store=str(folder / "store"))
    assert message in str(refusal.value)


def test_a_table_of_the_default_trainer_refuses_what_belongs_to_a_named_one(declare: Declare, folder: Path) -> None:
    table = declare()
    (folder / "recipe.yaml").write_text("data: {dataset: market1501}\nmetrics: {x: {}}\n")
    with pytest.raises(InputError, match=r"recipe\.yaml:2: metrics: belongs to a recipe that names its trainer"):
        prepare(table, store=str(folder / "store"))


def test_a_metric_that_the_recipe_does_not_declare_is_no_column(declare: Declare, folder: Path) -> None:
    with pytest.raises(InputError, match='"mAP" is not measured here; expected one of: loss, score'):
        prepare(declare(metrics=["mAP"]), store=str(folder / "store"))
    assert set(METRICS) == {"score", "loss"}


def test_a_search_may_choose_on_some_data_and_confirm_on_other(declare: Declare, folder: Path) -> None:
    parts = {"choose": {"gain": 2.0}, "confirm": {"gain": 3.0}}
    for held_out, gains in ((parts, (2.0, 3.0)), ({"gain": 2.0}, (2.0, 2.0))):
        recipe = {"trainer": "toy:train", "settings": {"gain": 1.0}, "factors": {}, "held_out": held_out}
        prepared = prepare(declare(recipe, rows=[{"id": "one", "factors": []}], claims=[]), store=str(folder / "store"))
        settings = prepared.matrix.rows[0].recipe
        found = [prepared.trainer.hold_out(settings, {}, part).model_dump()["gain"] for part in PARTS]
        assert tuple(found) == gains
