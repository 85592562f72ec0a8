import shutil
from pathlib import Path

import pytest


@pytest.fixture
def uri(empty_tracker: Path, tmp_path: Path) -> str:
    for source in empty_tracker.glob("mlflow.db*"):
        if source.suffix in (".db", ".db-wal"):
            shutil.copy(source, tmp_path)
    return f"sqlite:///{tmp_path}/mlflow.db"
