"""Fixtures of a user's folder; see ``toy_tables``."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from toy_tables import RECIPE, TABLE, Declare, Runs

from harness.api.engine import Engine
from harness.api.prepare import prepare
from harness.api.run import TableRun, run_table


@pytest.fixture
def folder(tmp_path: Path, empty_tracker: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_tracker / "mlflow.db", tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    shutil.copy(Path(__file__).with_name("toy.py"), tmp_path / "toy.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("toy", None)
    yield tmp_path
    sys.modules.pop("toy", None)


@pytest.fixture
def declare(folder: Path) -> Declare:
    def write(recipe: dict[str, Any] | None = None, **table: Any) -> Path:
        (folder / "recipe.yaml").write_text(yaml.safe_dump({**RECIPE, **(recipe or {})}, sort_keys=False))
        (folder / "table.yaml").write_text(yaml.safe_dump({**TABLE, **table}, sort_keys=False))
        return folder / "table.yaml"

    return write


@pytest.fixture
def run(folder: Path) -> Runs:
    def go(table: Path, **options: Any) -> TableRun:
        prepared = prepare(table, store=str(folder / "store"), **options)
        return run_table(prepared, Engine("inprocess"), folder / "reports", formats=())

    return go
