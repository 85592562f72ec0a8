"""A user's folder with a table that is to be settled."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.api.engine import Engine
from harness.api.listener import Listener
from harness.api.prepare import prepare
from harness.api.run import TableRun, run_table
from harness.api.settle import Settling

RECIPE = {
    "trainer": "settle_toy:train",
    "settings": {"gain": 0.0, "other": False},
    "metrics": {"score": {"title": "Score"}},
    "factors": {"Gain": {"patch": {"gain": 1.0}}, "Other": {"patch": {"other": True}}},
}
TABLE: dict[str, Any] = {
    "title": "A toy",
    "recipe": "recipe.yaml",
    "seeds": [0, 1, 2],
    "metrics": ["score"],
    "rows": [
        {"id": "plain", "factors": []},
        {"id": "gain", "factors": ["Gain"]},
        {"id": "other", "factors": ["Other"]},
        {"id": "both", "factors": ["Gain", "Other"]},
    ],
    "claims": [
        {"text": "gain helps", "better": "gain", "than": "plain", "metric": "score"},
        {"text": "other helps", "better": "other", "than": "plain", "metric": "score", "within": 0.4},
    ],
}


class Notes(Listener):
    """Keeps what a person would read."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


Settle = Callable[..., tuple[TableRun, Settling | None, list[str]]]


@pytest.fixture
def declare(tmp_path: Path, empty_tracker: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.syspath_prepend(str(tmp_path))
    shutil.copy(empty_tracker / "mlflow.db", tmp_path)
    shutil.copy(Path(__file__).with_name("settle_toy.py"), tmp_path / "settle_toy.py")
    sys.modules.pop("settle_toy", None)

    def write(**changes: Any) -> Path:
        Path("recipe.yaml").write_text(json.dumps(RECIPE))
        Path("table.yaml").write_text(json.dumps({**TABLE, **changes}))
        return Path("table.yaml")

    yield write
    sys.modules.pop("settle_toy", None)


@pytest.fixture
def settle() -> Settle:
    def go(
        table: Path, *, settles: bool = True, most: int | None = None, budget_s: float | None = None, **options: Any
    ) -> tuple[TableRun, Settling | None, list[str]]:
        listener = Notes()
        prepared = prepare(table, store="store", listener=listener, **options)
        settling = Settling(prepared, most, budget_s, listener) if settles else None
        ended = run_table(prepared, Engine("inprocess"), Path("reports"), listener, settling=settling)
        return ended, settling, listener.notes

    return go
