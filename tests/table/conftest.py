"""A user's folder: the repository's digits, and a toy trainer; see ``tests/trainers/toy.py``."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@contextmanager
def working_in(place: Path) -> Iterator[Path]:
    """Goes to a user's folder, as a process that starts there: with its tracker and its modules."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}/mlflow.db")
        patch.syspath_prepend(str(place))
        sys.modules.pop("toy", None)
        yield place
        sys.modules.pop("toy", None)


def furnish(place: Path, empty_tracker: Path) -> Path:
    """Puts the toy and a tracker without runs into a folder."""
    shutil.copy(empty_tracker / "mlflow.db", place)
    shutil.copy(ROOT / "tests" / "trainers" / "toy.py", place / "toy.py")
    return place


@pytest.fixture
def folder(tmp_path: Path, empty_tracker: Path) -> Iterator[Path]:
    with working_in(furnish(tmp_path, empty_tracker)) as place:
        yield place


@pytest.fixture(scope="module")
def common_place(tmp_path_factory: pytest.TempPathFactory, empty_tracker: Path) -> Path:
    """A folder for what all tests of a module only read; they work ``in_common_place``."""
    return furnish(tmp_path_factory.mktemp("common"), empty_tracker)


@pytest.fixture
def in_common_place(common_place: Path) -> Iterator[Path]:
    with working_in(common_place) as place:
        yield place
