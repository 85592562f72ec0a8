"""A user's folder: the repository's digits, and a toy trainer; see ``tests/trainers/toy.py``."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path, empty_tracker: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    shutil.copy(empty_tracker / "mlflow.db", tmp_path)
    shutil.copy(ROOT / "tests" / "trainers" / "toy.py", tmp_path / "toy.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("toy", None)
    yield tmp_path
    sys.modules.pop("toy", None)
