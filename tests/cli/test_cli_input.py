"""Bad usage and bad input: one sentence that names the place, exit code 2, no traceback."""

import shutil
from pathlib import Path

import pytest
from conftest import Command


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "missing.yaml"], "missing.yaml"),
        (["run", "tiny.yaml", "--profile", "dmo"], 'did you mean "demo"?'),
        (["run", "tiny.yaml", "--profile", "demo", "--data", "nowhere"], "there is no such folder"),
        (["run", "tiny.yaml", "--profile", "paper"], "looked in"),
        (["run", "tiny.yaml", "--rows", "9"], '"9"'),
        (["run", "tiny.yaml", "--profile", "demo", "--format", "mdd"], 'did you mean "md"?'),
        (["run", "tiny.yaml", "--seeds", "0,x"], 'found "x"'),
        (["run", "tiny.yaml", "--set", "losses.quadruplet.epsilon=1"], "did you mean"),
        (["run", "tiny.yaml", "--set", "nothing"], "expected KEY=VALUE"),
        (["plan", "recipes"], "recipes: found a folder, expected a YAML file"),
        (["data", "make", "market", "--out", "x"], 'did you mean "market1501"?'),
        (["data", "check", "nowhere"], "nowhere"),
        (["evaluate", "missing.npz"], "missing.npz"),
        (["run", "tiny.yaml", "--settle", "--seeds", "1"], "--settle"),
        (["plan", "tiny.yaml", "--max-seeds", "9"], "--settle"),
        (["sensitivity", "tiny.yaml", "--format", "tex"], "expected one of: html, json, md"),
        (["report", "tiny", "--style", "ppr"], "paper"),
        (["report", "tiny", "--against", "1"], "needs --style paper"),
        (["nothing"], "No such command"),
        (["cache", "gc", "--forget", "tiny"], "--forget"),
    ],
)
def test_a_mistake_is_one_sentence(harness: Command, words: list[str], message: str) -> None:
    done = harness(*words, code=2)
    assert any(line.startswith(("error: ", "Usage:")) for line in done.stderr.splitlines())
    assert message in done.stderr
    assert not Path(".harness", "data").exists()  # nothing was rendered before it was seen


def test_data_that_the_user_names_is_never_replaced_by_the_synthetic_set(harness: Command, place: Path) -> None:
    (place / "empty").mkdir()
    done = harness("run", "tiny.yaml", "--data", "empty", code=2)
    assert "looked in empty" in done.stderr
    assert not (place / ".harness" / "data").exists()


def test_a_report_of_a_tracker_without_tables_says_so(harness: Command, place: Path, empty_tracker: Path) -> None:
    shutil.copy(empty_tracker / "mlflow.db", place)
    assert "holds no tables yet" in harness("report", "tiny", code=2).stderr
