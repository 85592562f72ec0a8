"""What the page on own code shows, copied and run: a function, two stages, a command, a class."""

import json
import re
import shlex
import subprocess
from pathlib import Path
from statistics import fmean

import pytest
from conftest import PLAIN, run_harness

PAGE = Path(__file__).parents[2] / "harness" / "docs" / "own-code.md"
BLOCKS = re.findall(r"```(\w+)\n(.+?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.fixture
def newcomer(tmp_path: Path) -> Path:
    """An empty folder with the files of the page."""
    for kind, text in BLOCKS:
        named = re.match(r"# (\w+\.(?:yaml|py|awk))\n", text)
        assert bool(named) == (kind in ("yaml", "python", "awk")), text
        if named:
            (tmp_path / named[1]).write_text(text, encoding="utf-8")
    return tmp_path


def means(done: subprocess.CompletedProcess[str], metric: str) -> dict[str, float]:
    """Each row's mean over seeds, from what ``run --json`` printed."""
    values: dict[str, list[float]] = {}
    for run in json.loads(done.stdout)["rows"]:
        values.setdefault(run["id"], []).append(run["metrics"][metric])
    return {row: fmean(each) for row, each in values.items()}


def test_the_page_s_function_fills_its_table_and_its_settings_are_typed(newcomer: Path) -> None:
    (command,) = (text for kind, text in BLOCKS if kind == "sh")
    words = shlex.split(command.removeprefix("uv run python -m harness "))
    accuracy = means(run_harness(newcomer, *words, "--workers", "1", "--json", *PLAIN), "accuracy")
    assert accuracy["slow"] < accuracy["plain"] < accuracy["momentum"]
    assert "momentum helps" in (newcomer / "reports" / "readout.md").read_text(encoding="utf-8")
    refused = run_harness(newcomer, *words, "--set", "epochs=many", code=2)
    assert "epochs" in refused.stderr
    assert "many" in refused.stderr


def test_rows_of_the_page_s_two_stages_share_the_first(newcomer: Path) -> None:
    stages = json.loads(run_harness(newcomer, "plan", "two_steps.yaml", "--json").stdout)["stages"]
    shared = [stage for stage in stages if stage["name"] == "pretrain"]
    assert [len(stage["rows"]) for stage in shared] == [2, 2, 2]  # seeds 0, 1 and 2: both rows each
    assert len(stages) == 3 + 6
    done = run_harness(newcomer, "run", "two_steps.yaml", "--workers", "1", "--json", *PLAIN)
    plain, tuned = means(done, "distance").values()
    assert tuned == pytest.approx(plain * 0.5 / 0.9)  # the same weights, times 1 - rate


def test_the_page_s_command_counts_heads(newcomer: Path) -> None:
    done = run_harness(newcomer, "run", "coin.yaml", "--workers", "1", "--json", *PLAIN)
    fair, biased = means(done, "share").values()
    # 3,000 tosses of each coin: a standard deviation of 0.009, and 5 of them on either side
    assert fair == pytest.approx(0.5, abs=0.046)
    assert biased == pytest.approx(0.6, abs=0.046)
    shown = run_harness(newcomer, "show", "coin").stdout.splitlines()
    assert shown[0] == "coin: A command in another language · profile default"  # no data set is declared
    assert "coin (default)" in run_harness(newcomer, "cache", "list").stdout


def test_the_page_s_class_grows_each_forest_once_for_both_lights(newcomer: Path) -> None:
    stages = json.loads(run_harness(newcomer, "plan", "forest.yaml", "--json").stdout)["stages"]
    grown = [stage for stage in stages if stage["name"] == "grow"]
    assert [len(stage["rows"]) for stage in grown] == [2] * 6  # two depths under three seeds
    done = run_harness(newcomer, "run", "forest.yaml", "--workers", "1", "--json", *PLAIN)
    accuracy = means(done, "accuracy")
    assert accuracy["Deep"] > accuracy["none"]
    assert accuracy["Dim"] < accuracy["none"]
    runs = json.loads(done.stdout)["rows"]
    assert len({run["metrics"]["accuracy"] for run in runs if run["id"] == "none"}) > 1  # seeds differ
