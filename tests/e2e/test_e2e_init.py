"""``harness init``: what it writes runs as it is."""

import json
import shutil
from pathlib import Path

from conftest import PLAIN, answer, run_harness


def test_what_init_writes_runs_as_it_is_and_says_how(tmp_path: Path, empty_tracker: Path) -> None:
    said = run_harness(tmp_path, "init", "my_table").stdout
    assert said.endswith("fill the table: python -m harness run my_table.yaml\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "my_table.py", "my_table.yaml", "my_table_recipe.yaml"
    ]  # fmt: skip
    shutil.copytree(empty_tracker, tmp_path, dirs_exist_ok=True)
    rows = answer(run_harness(tmp_path, "run", "my_table.yaml", *PLAIN, "--json", "--seeds", "0"))["rows"]
    assert [row["id"] for row in rows] == ["plain", "scaled", "wide", "both"]
    assert all(0.5 < row["metrics"]["accuracy"] < 1.0 for row in rows)
    plan = json.loads(run_harness(tmp_path, "plan", "my_table.yaml", "--json").stdout)
    assert [claim["identifiable"] for claim in plan["identified"]["claims"]] == [True]
