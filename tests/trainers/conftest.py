"""A folder as a user has it: a table, a recipe, and code beside them."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import code
from harness.api.engine import Engine
from harness.api.prepare import prepare
from harness.api.run import TableRun, run_table

METRICS = {
    "score": {"title": "Score", "better": "higher", "unit": "plain"},
    "loss": {"title": "Loss", "better": "lower"},
}
RECIPE: dict[str, Any] = {
    "trainer": "toy:train",
    "settings": {"gain": 0.5, "steps": 3, "wide": False},
    "metrics": METRICS,
    "factors": {"Gain": {"patch": {"gain": 0.7}}, "Wide": {"patch": {"wide": True}}},
}
TABLE: dict[str, Any] = {
    "title": "A toy",
    "recipe": "recipe.yaml",
    "seeds": [0, 1],
    "metrics": ["score", "loss"],
    "rows": [{"id": "plain", "factors": []}, {"id": "gain", "factors": ["Gain"]}],
    "claims": [{"text": "gain helps", "better": "gain", "than": "plain", "metric": "score"}],
}

Declare = Callable[..., Path]
Runs = Callable[..., TableRun]


def forget_code() -> None:
    """As a fresh process: what was read of a source file is kept for as long as a process lives."""
    for cached in (code.code_digest, code._tree, code._module_digest):
        cached.cache_clear()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    shutil.copy(Path(__file__).with_name("toy.py"), tmp_path / "toy.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("toy", None)
    forget_code()
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
        return run_table(prepared, Engine("inprocess"), folder / "reports")

    return go
