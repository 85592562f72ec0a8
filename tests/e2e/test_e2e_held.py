"""The tables that a tracker and a store hold, by the commands that list, show and forget them."""

import doctest
import json
import shutil
import sys
from pathlib import Path

import pytest
from conftest import PLAIN, TOY_TABLE
from typer.testing import CliRunner

import harness.api.tables
from harness.api.tables import remembered
from harness.cli.app import app
from harness.errors import InputError


def call(*words: str) -> str:
    """What a command prints on standard output, in this process: MLflow takes seconds to import."""
    ended = CliRunner().invoke(app, words, catch_exceptions=False)
    assert ended.exit_code == 0
    return ended.stdout


@pytest.fixture
def here(toy_place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy's folder, which this process works in."""
    monkeypatch.chdir(toy_place)
    monkeypatch.syspath_prepend(str(toy_place))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    sys.modules.pop("toy", None)
    return toy_place


def test_tables_are_listed_shown_and_forgotten_by_their_plain_name(here: Path) -> None:
    file = here / "été (a).yaml"
    file.write_text(json.dumps({**TOY_TABLE, "title": "Another [red]toy[/red]"}), encoding="utf-8")
    assert "holds no tables yet" in call("list")
    call("run", file.name, *PLAIN, "--executor", "inprocess", "--rows", "plain", "--seeds", "0")

    (entry,) = json.loads(call("list", "--json"))
    assert (entry["table"], entry["kind"], entry["status"]) == (file.stem, "table", "finished")
    assert file.stem in call("list")
    shown = json.loads(call("show", file.stem, "--json"))
    states = {row["id"]: {seed: found["state"] for seed, found in row["seeds"].items()} for row in shown["rows"]}
    assert states == {"plain": {"0": "finished", "1": "not run"}, "gain": {"0": "not run", "1": "not run"}}
    assert (shown["stages"], shown["bytes"]) == (1, shown["bytes_alone"])
    lines = call("show", file.stem).splitlines()
    assert lines[0].startswith(f"{file.stem}: Another [red]toy[/red] · profile ")
    assert lines[1:3] == ["  plain  finished: seed 0; not run: seed 1", "  gain   not run: seeds 0, 1"]

    with pytest.raises(InputError, match='no table "tyo" is remembered'):
        call("cache", "gc", "--forget", "tyo")
    assert call("cache", "gc", "--forget", file.stem).startswith("1 stage deleted")


@pytest.mark.usefixtures("here")
def test_a_table_is_renamed_and_removed_with_its_runs_stages_and_reports() -> None:
    quick = ("--executor", "inprocess", "--rows", "plain")
    call("run", "toy.yaml", *quick, "--seeds", "0")
    shutil.copy("toy.yaml", "also.yaml")
    call("run", "also.yaml", *quick, "--seeds", "0,7")  # two stages, one of them toy's too

    call("rename", "also", "other")
    assert {entry["table"] for entry in json.loads(call("list", "--json"))} == {"toy", "other"}
    assert json.loads(call("report", "other", "--json"))["tables"][0]["table"] == "other"
    with pytest.raises(InputError, match='an experiment "toy" already'):
        call("rename", "other", "toy")
    with pytest.raises(InputError, match='no table "othr" is known; did you mean "other"'):
        call("rename", "othr", "x")

    before = {path for path in Path("reports").rglob("*") if path.name.startswith("toy")}
    declined = CliRunner().invoke(app, ["remove", "other"], input="n\n")
    assert declined.exit_code == 1
    assert "other: 3 tracked runs, 1 stage (" in declined.stdout  # a parent and two seeds; one stage is toy's as well
    call("remove", "other", "--yes")
    assert [entry["table"] for entry in json.loads(call("list", "--json"))] == ["toy"]
    assert not list(Path("reports").rglob("other*"))
    assert before == {path for path in Path("reports").rglob("*") if path.name.startswith("toy")}
    assert json.loads(call("run", "toy.yaml", *quick, *PLAIN, "--seeds", "0", "--json"))["stages"]["trained"] == 0
    shutil.move("also.yaml", "other.yaml")
    again = json.loads(call("run", "other.yaml", *quick, *PLAIN, "--seeds", "0,7", "--json"))["stages"]
    assert (again["trained"], again["cached"]) == (1, 1)
    assert "on disk" in call("list")


def test_a_plain_name_serves_where_it_is_unique() -> None:
    labels = ["a (demo, x)", "a (paper, x)", "b (c) (demo, x)"]
    assert remembered("b (c)", labels) == "b (c) (demo, x)"
    assert remembered("a (demo, x)", labels) == "a (demo, x)"
    with pytest.raises(InputError, match=r"\"a\" is remembered more than once; name one of: 'a \(demo, x\)'"):
        remembered("a", labels)
    assert doctest.testmod(harness.api.tables).failed == 0
