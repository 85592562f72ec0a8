"""Bad usage and bad input: one sentence that names the place, exit code 2, no traceback."""

from pathlib import Path

import pytest
from conftest import Command


@pytest.mark.parametrize(
    ("words", "told"),
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
        (["report", "tiny"], "holds no tables yet"),
        (["cache", "gc", "--forget", "tiny"], "--forget"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(harness: Command, words: list[str], told: str) -> None:
    done = harness(*words, code=2)
    assert any(line.startswith(("error: ", "Usage:")) for line in done.stderr.splitlines())
    assert told in done.stderr


def test_data_that_the_user_names_is_never_replaced_by_the_synthetic_set(harness: Command, place: Path) -> None:
    (place / "empty").mkdir()
    done = harness("run", "tiny.yaml", "--data", "empty", code=2)
    assert "looked in empty" in done.stderr
    assert not (place / ".harness" / "data").exists()
