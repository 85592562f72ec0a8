"""Stores, journals and executors for the tests of this room."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from ray_nodes import RayCluster
from toy_audience import Events, Journal
from toy_stores import FolderShelf, RemoteShelf, Shelf

from harness.execute import Executor, InProcessExecutor, LocalExecutor, SharedStore, Slot, Store
from harness.execute.on_ray import RayExecutor


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


@pytest.fixture(scope="session")
def ray_driver(ray_head: RayCluster) -> Iterator[RayExecutor]:
    """The one connection to Ray that a process can have; each test gives it its own store."""
    with RayExecutor(Store(Path()), address=ray_head.address) as executor:
        yield executor


@pytest.fixture
def on_ray(ray_driver: RayExecutor, ray_cluster: RayCluster, store: Store) -> RayExecutor:
    ray_driver.store = store
    return ray_driver


@pytest.fixture(params=["in-process", "local", "ray"])
def executor(request: pytest.FixtureRequest, store: Store) -> Executor:
    if request.param == "in-process":
        return InProcessExecutor(store)
    made: Executor = request.getfixturevalue({"local": "local", "ray": "on_ray"}[request.param])
    return made


@pytest.fixture(params=["folder", "memory", "s3"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    """An empty store of each kind, and what lies in it."""
    if request.param == "folder":
        return FolderShelf(Store(tmp_path / "store"))
    if request.param == "memory":
        return RemoteShelf(SharedStore(f"memory:/{tmp_path}", tmp_path / "scratch"))
    return RemoteShelf(SharedStore(f"{request.getfixturevalue('s3_bucket')}/some/prefix", tmp_path / "scratch"))
