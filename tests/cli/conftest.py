"""The command line in this process: its words are parsed and its answers printed for real, nothing is started."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.cli.app import main

ABLATIONS = Path(__file__).parents[2] / "ablations"
TABLE = """\
title: A tiny table
recipe: recipes/market1501.yaml
seeds: [0]
metrics: [mAP]
rows:
  - {id: "1", factors: [Softmax]}
"""


@dataclass(frozen=True)
class Ended:
    """What a command printed."""

    stdout: str
    stderr: str


Command = Callable[..., Ended]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a table on the repository's recipes, where the command runs."""
    shutil.copytree(ABLATIONS / "recipes", tmp_path / "recipes")
    (tmp_path / "tiny.yaml").write_text(TABLE, encoding="utf-8")
    for name in ("HARNESS_DATA", "HARNESS_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def harness(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command; ``code`` is the exit code that it must end with."""
    monkeypatch.setattr("harness.cli.app.end_on_signals", lambda: None)  # the tests' process keeps its own handlers

    def command(*words: str, code: int = 0) -> Ended:
        monkeypatch.setattr(sys, "argv", ["harness", *words])
        with pytest.raises(SystemExit) as end:
            main()
        ended = Ended(*capsys.readouterr())
        assert (end.value.code or 0) == code, ended.stderr
        return ended

    return command
