"""``plan --why`` in a user's folder: after an edit of the code, of the data, of a setting, and of nothing."""

import importlib
import json
import shutil
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import harness
from harness.cli.app import app

CODE = '''
import helper


class Model:
    def fit(self, text):
        return helper.double(len(text))


def prepare(settings, run):
    (run.folder / "text").write_text(run.inputs["data.txt"].read_text())


def score(settings, run):
    """Scores."""
    return {"length": float(Model().fit((run.parent / "text").read_text()) + settings.add)}
'''


@pytest.fixture
def table(folder: Path) -> Path:
    (folder / "mine.py").write_text(CODE)
    (folder / "helper.py").write_text("def double(x):\n    return 2 * x\n\n\ndef unused(x):\n    return x\n")
    (folder / "data.txt").write_text("abc")
    recipe = {
        "trainer": {
            "stages": {"prepare": {"function": "mine:prepare", "reads": []}, "score": {"function": "mine:score"}}
        },
        "settings": {"add": 1.0},
        "metrics": {"length": {}},
        "inputs": ["data.txt"],
        "factors": {"More": {"patch": {"add": 5.0}}},
    }
    rows = [{"id": "plain", "factors": []}, {"id": "more", "factors": ["More"]}]
    declared = {"title": "Lengths", "recipe": recipe, "seeds": [0], "metrics": ["length"], "rows": rows}
    path = folder / "lengths.yaml"
    path.write_text(json.dumps(declared))
    return path


def whys(table: Path, **options: object) -> dict[str, set[tuple[object, ...]]]:
    """By stage's name, the differences of all stages to run."""
    importlib.invalidate_caches()
    frame = harness.Table(table, **options).plan(why=True, progress=False).why  # type: ignore[arg-type]
    found: dict[str, set[tuple[object, ...]]] = {}
    for line in frame.itertuples():
        found.setdefault(line.name, set()).add((line.kind, line.what, line.then, line.now, tuple(line.parts)))
    return found


def test_each_reason_is_named(table: Path) -> None:
    assert whys(table) == {}  # nothing is finished, so there is nothing to compare with
    harness.Table(table).run(progress=False, formats=())
    assert whys(table) == {}
    assert whys(table, overrides={"add": 2.0}) == {"score": {("setting", "settings.add", 1.0, 2.0, ())}}
    helper = table.parent / "helper.py"
    helper.write_text(helper.read_text().replace("return 2 * x", "return x + x"))
    changed = ("code", "helper", True, True, ("double",))
    assert whys(table) == {"prepare": {changed}, "score": {changed, ("parent", "prepare", "prepare", "prepare", ())}}
    helper.write_text(helper.read_text().replace("return x + x", "return 2 * x  # as before"))
    assert whys(table) == {}
    (table.parent / "data.txt").write_text("abcd")
    data = ("data", "data.txt", None, None, ())
    assert whys(table)["prepare"] == {data}
    sys.modules.pop("mine", None)


def test_the_command_says_it_and_what_an_older_store_did_not_record(table: Path) -> None:
    harness.Table(table).run(progress=False, formats=())
    shutil.rmtree(Path(".harness/origins"))
    mine = table.parent / "mine.py"
    mine.write_text(mine.read_text().replace("settings.add)", "settings.add * 1)"))
    ended = CliRunner().invoke(app, ["plan", str(table), "--why"])
    assert "code: changed; which parts was not recorded" in ended.output
    assert "parent prepare: a different result (see there)" in ended.output
    harness.Table(table).run(progress=False, formats=())
    mine.write_text(mine.read_text().replace("settings.add * 1)", "settings.add * 2)"))
    ended = CliRunner().invoke(app, ["plan", str(table), "--why"])
    assert "code mine: score" in ended.output
    assert "rows plain, more" in ended.output
    found = json.loads(CliRunner().invoke(app, ["plan", str(table), "--why", "--json"]).stdout)
    assert all(stage["why"]["nearest"]["tables"] == ["lengths (default)"] for stage in found["stages"])
