import shutil
from pathlib import Path

import pytest

from harness.track.address import resolve_uri
from harness.track.client import connect


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite store with MLflow's schema, which takes seconds to make: made once, copied for every test."""
    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    connect(resolve_uri(f"sqlite:///{path}"))
    return path


@pytest.fixture
def uri(empty_store: Path, tmp_path: Path) -> str:
    path = tmp_path / "mlflow.db"
    for suffix in ("", "-wal"):
        source = empty_store.with_name(empty_store.name + suffix)
        if source.exists():
            shutil.copy(source, path.with_name(path.name + suffix))
    return f"sqlite:///{path}"
