"""A user's command as a trainer: placeholders, metrics as JSON, a kill and a resume, and how it fails."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from toy_tables import SCRIPT, Declare, Runs

from harness import Search
from harness.api.prepare import prepare
from harness.errors import InputError


def recipe(*words: str, code: tuple[str, ...] = ("script.py",)) -> dict[str, Any]:
    return {"trainer": {"command": list(words), "code": list(code)}}


@pytest.fixture
def command(folder: Path) -> dict[str, Any]:
    (folder / "script.py").write_text(SCRIPT)
    return recipe(sys.executable, "script.py", "{gain}", "{seed}")


def test_a_command_fills_a_table(declare: Declare, run: Runs, command: dict[str, Any]) -> None:
    rows = run(declare(command)).to_json()["rows"]
    assert [row["metrics"]["score"] for row in rows] == pytest.approx([0.5, 0.505, 0.7, 0.705])
    assert run(declare(command)).trained == 0


def test_a_command_that_failed_goes_on_from_what_it_left(
    declare: Declare, run: Runs, command: dict[str, Any], folder: Path
) -> None:
    table = declare(command, rows=[{"id": "plain", "factors": []}], claims=[], seeds=[0])
    (folder / "die").touch()
    (row,) = run(table).to_json()["rows"]
    assert row["reason"].endswith("ended with exit status 1: the machine was taken away")
    ended = run(table)
    (row,) = ended.to_json()["rows"]
    assert row["metrics"]["loss"] == 2  # two of three steps were done
    place = ended.prepared.store.fetch(ended.prepared.plan.runs[0].evaluation)
    assert len((place / "spool.jsonl").read_text().splitlines()) == 3


def test_a_changed_script_is_run_again(declare: Declare, command: dict[str, Any], folder: Path) -> None:
    table = declare(command)
    before = set(prepare(table, store=str(folder / "store")).plan.stages)
    (folder / "script.py").write_text(SCRIPT.replace("0.01", "0.02"))
    assert not before & set(prepare(table, store=str(folder / "store")).plan.stages)


EDITED = """\
import json, os, sys
from pathlib import Path

if Path("edit").exists():
    Path("edit").unlink()
    Path("script.py").write_text(Path("script.py").read_text().replace("1.0 *", "2.0 *"))
json.dump({"score": 1.0 * float(sys.argv[1])}, open(os.environ["HARNESS_METRICS"], "w"))
"""
"""Its first run edits it, as its author may do meanwhile."""


def test_a_search_stops_when_its_script_is_edited_and_mixes_no_versions(declare: Declare, folder: Path) -> None:
    (folder / "script.py").write_text(EDITED)
    (folder / "edit").touch()
    declare(
        {
            **recipe(sys.executable, "script.py", "{gain}"),
            "settings": {"gain": 0.5, "part": "test"},
            "held_out": {"choose": {"part": "choose"}, "confirm": {"part": "confirm"}},
            "metrics": {"score": {}},
            "factors": {},
        },
        rows=[{"id": "plain", "factors": []}],
        claims=[],
        metrics=["score"],
    )
    search = {
        "title": "A gain",
        "table": "table.yaml",
        "tune": "once",
        "rows": ["plain"],
        "space": {"gain": {"choices": [0.25, 0.5, 1.0]}},
        "sampler": "grid",
        "budget": {"trials": 3},
        "metric": "score",
        "seeds": [0],
        "confirm": [5],
    }
    (folder / "gain.yaml").write_text(json.dumps(search))
    with pytest.raises(InputError, match=r"^script.py was changed after this run was planned; run the same command"):
        Search("gain.yaml").run(executor="inprocess", progress=False)
    (study,) = Search("gain.yaml").run(executor="inprocess", progress=False).record["studies"]
    found = {trial["params"]["gain"]: (trial["state"], trial["value"]) for trial in study["trials"]}
    assert found == {gain: ("complete", 2.0 * gain) for gain in (0.25, 0.5, 1.0)}


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import sys; sys.exit(3)", "ended with exit status 3: it wrote nothing to its standard error"),
        ("print('x' * 10_000_000)", "the command succeeded but wrote no metrics"),
        ("import os; open(os.environ['HARNESS_METRICS'], 'w').write('{')", "the metrics file is not JSON"),
        ("import os; os.kill(os.getpid(), 9)", "ended with signal 9"),
        ("import os; open(os.environ['HARNESS_METRICS'], 'w').write('{\"score\": 1}')", "returned no loss"),
        ("import os; open(os.environ['HARNESS_METRICS'], 'w').write('{\"score\": NaN, \"loss\": 1}')", "score is nan"),
    ],
)
def test_a_command_that_misbehaves_fails_its_row_with_the_reason(
    declare: Declare, run: Runs, folder: Path, program: str, reason: str
) -> None:
    (folder / "script.py").write_text(program)
    table = declare(recipe(sys.executable, "script.py"), rows=[{"id": "one", "factors": []}], claims=[], seeds=[0])
    (row,) = run(table).to_json()["rows"]
    assert row["status"] == "failed"
    assert reason in row["reason"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("no-such-program",), ("script.py",), 'there is no program "no-such-program"'),
        ((sys.executable, "{gian}"), ("script.py",), '"{gian}" is not a placeholder; did you mean "gain"?'),
        ((sys.executable, "script.py"), (), "expected code: the files and folders that decide"),
        ((sys.executable, "script.py"), ("nowhere.py",), "no file or folder nowhere.py"),
    ],
)
def test_a_mistake_in_the_command_is_named_before_anything_runs(
    declare: Declare, folder: Path, words: tuple[str, ...], code: tuple[str, ...], message: str
) -> None:
    (folder / "script.py").write_text(SCRIPT)
    with pytest.raises(InputError) as refusal:
        prepare(declare(recipe(*words, code=code)), store=str(folder / "store"))
    assert message in str(refusal.value)


def test_no_shell_sees_a_value(declare: Declare, run: Runs, folder: Path) -> None:
    (folder / "script.py").write_text(
        "import json, os, sys\njson.dump({'score': len(sys.argv), 'loss': len(sys.argv[1])}, "
        "open(os.environ['HARNESS_METRICS'], 'w'))\n"
    )
    settings = {"settings": {"text": "a; touch hacked $(touch hacked)"}, "factors": {}}
    table = declare(
        {**recipe(sys.executable, "script.py", "{text}"), **settings},
        rows=[{"id": "one", "factors": []}],
        claims=[],
        seeds=[0],
    )
    (row,) = run(table).to_json()["rows"]
    assert (row["metrics"]["score"], row["metrics"]["loss"]) == (2, 31)
    assert not (folder / "hacked").exists()
