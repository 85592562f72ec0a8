"""``harness init`` and ``harness --version``."""

import json
from importlib.metadata import version
from pathlib import Path

import pytest
from conftest import answer, run_harness


def test_the_version_is_the_package_s(tmp_path: Path) -> None:
    assert run_harness(tmp_path, "--version").stdout == f"harness {version('ablation-harness')}\n"


def test_what_init_writes_runs_as_it_is_and_says_how(tmp_path: Path) -> None:
    said = run_harness(tmp_path, "init", "my_table").stdout
    assert said.endswith("fill the table: python -m harness run my_table.yaml\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "my_table.py", "my_table.yaml", "my_table_recipe.yaml"
    ]  # fmt: skip
    rows = answer(run_harness(tmp_path, "run", "my_table.yaml", "--json", "--seeds", "0"))["rows"]
    assert [row["id"] for row in rows] == ["plain", "scaled", "wide", "both"]
    assert all(0.5 < row["metrics"]["accuracy"] < 1.0 for row in rows)
    plan = json.loads(run_harness(tmp_path, "plan", "my_table.yaml", "--json").stdout)
    assert [claim["identifiable"] for claim in plan["identified"]["claims"]] == [True]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my-table", 'error: "my-table" cannot name a Python module; expected letters, digits and _'),
        ("../x", 'error: "../x" cannot name a Python module'),
        ("class", 'error: "class" cannot name a Python module'),
        ("taken", "error: taken_recipe.yaml: exists already; choose another name"),
    ],
)
def test_init_overwrites_nothing_and_refuses_names_that_python_cannot_import(
    tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "taken_recipe.yaml").write_text("mine")
    assert run_harness(tmp_path, "init", name, code=2).stderr.startswith(message)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("taken_recipe.yaml", "mine")]
