"""A user's folder: the repository's digits, and a toy trainer; see ``tests/trainers/toy.py``."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.track.store import connect

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database of no runs, which takes seconds to make: made once, copied for every test."""
    database = tmp_path_factory.mktemp("tracker") / "mlflow.db"
    connect(f"sqlite:///{database}")
    return database


@pytest.fixture
def folder(tmp_path: Path, tracker: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    shutil.copy(tracker, tmp_path / "mlflow.db")
    shutil.copy(ROOT / "tests" / "trainers" / "toy.py", tmp_path / "toy.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("toy", None)
    yield tmp_path
    sys.modules.pop("toy", None)
