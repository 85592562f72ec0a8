"""Stores, journals and executors for the tests of this room."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from toy_audience import Events, Journal

from harness.execute import Executor, InProcessExecutor, LocalExecutor, Slot, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture(scope="session")
def workers() -> Iterator[LocalExecutor]:
    """Two workers for the whole test run; each test gives them its own store."""
    with LocalExecutor(Store(Path()), [Slot("cpu", threads=1), Slot("cpu", threads=2)]) as executor:
        yield executor


@pytest.fixture
def local(workers: LocalExecutor, store: Store) -> LocalExecutor:
    workers.store = store
    return workers


@pytest.fixture(params=["in-process", "local"])
def executor(request: pytest.FixtureRequest, store: Store) -> Executor:
    if request.param == "in-process":
        return InProcessExecutor(store)
    made: Executor = request.getfixturevalue("local")
    return made
