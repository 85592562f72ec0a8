"""Services shared by the tests of several packages."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before importing numpy and torch: two tests at once share the cores

import logging
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import hypothesis
import pytest
import warm
from filelock import FileLock
from ray_nodes import RayCluster

EXAMPLES = int(os.environ.get("HARNESS_EXAMPLES", "25"))
"""Examples per property test; more find more, for instance 300 before a release."""
hypothesis.settings.register_profile("harness", max_examples=EXAMPLES, deadline=None)
hypothesis.settings.load_profile("harness")

# A suite that a shell started in the background may have inherited "ignore Ctrl-C", and would pass it on to every
# command whose response to Ctrl-C it tests.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_INSTALLED = Path("/usr/lib/postgresql")
"""Where Debian keeps the server's programs, one folder per version."""


def _programs() -> Path | None:
    """The folder of the newest PostgreSQL server on this machine."""
    versions = sorted(_INSTALLED.glob("*/bin/postgres"), key=lambda path: float(path.parent.parent.name))
    on_path = shutil.which("postgres")
    return versions[-1].parent if versions else Path(on_path).parent if on_path else None


QUICK = {"matrix", "plan", "losses"}
"""Folders whose tests take seconds; -m quick runs them and the tests of the code itself."""


def is_quick(path: Path) -> bool:
    """Whether the tests of a file are among those to run while editing."""
    return path.parent.name in QUICK or (path.parent.name == "tests" and path.stem != "test_docs")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With ``-m quick``, skips files and folders without quick tests: importing them takes longer than the tests."""
    files = collection_path.rglob("test_*.py") if collection_path.is_dir() else [collection_path]
    return True if config.option.markexpr == "quick" and not any(map(is_quick, files)) else None


def pytest_collect_file(file_path: Path) -> None:
    """Starts the fork server as soon as a suite with several processes collects tests that need it.

    The server takes seconds to import libraries; meanwhile the processes import theirs and run other tests.
    """
    if file_path.parent.name == "e2e" and "PYTEST_XDIST_WORKER" in os.environ:
        warm.begin()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests to run while editing."""
    for item in items:
        if is_quick(item.path):
            item.add_marker("quick")


@pytest.fixture(autouse=True)
def _warm_workers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forks the workers of the local executor, except in the tests of the executors themselves."""
    if "execute" not in request.path.parts:
        import harness.execute.local

        monkeypatch.setattr(harness.execute.local, "start_worker", warm.start_worker)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder shared by the whole suite, even if it runs in several processes."""
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def empty_tracker(shared: Path) -> Path:
    """A folder with an MLflow database without runs: creating it takes seconds, so it is made once and copied."""
    folder, unfinished = shared / "tracker", shared / "tracker.unfinished"
    with FileLock(shared / "tracker.lock"):
        if not folder.exists():
            from harness.track.client import connect

            unfinished.mkdir()
            connect(f"sqlite:///{unfinished}/mlflow.db")
            unfinished.rename(folder)
    return folder


@pytest.fixture(scope="session")
def photographs(shared: Path) -> Path:
    """A small data set in Market-1501's layout, which tests must not change."""
    from harness.reid.data.synthetic import make_market1501

    with FileLock(shared / "photographs.lock"):  # a complete set is not rendered again
        return make_market1501(shared / "photographs", identities=16, seed=1)


@pytest.fixture(scope="session")
def postgresql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server for the tests, on a socket in its own folder; yields the query part of its addresses."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    pytest.importorskip("psycopg", reason="its driver is not installed: uv sync --extra postgresql")
    # The server refuses to run as root: then Debian's user for it does.
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder = Path(
        f"/var/tmp/harness-postgresql-{os.getpid()}"
    )  # short, as a socket's path must be, and open to that user
    folder.mkdir(mode=0o700)
    data = folder / "data"
    try:
        if as_user:
            shutil.chown(folder, "postgres")

        def call(program: str, *words: str) -> None:
            subprocess.run([*as_user, str(programs / program), *words], check=True, cwd="/", stdout=subprocess.DEVNULL)

        call("initdb", "-D", str(data), "-U", "harness", "-A", "trust", "-N")
        options = f"-k {folder} -c listen_addresses= -c fsync=off"
        call("pg_ctl", "-D", str(data), "-l", str(folder / "log"), "-o", options, "-w", "start")
        try:
            folder.chmod(0o755)
            yield f"host={folder}&user=harness"
        finally:
            call("pg_ctl", "-D", str(data), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_names = count()


@pytest.fixture
def postgresql(postgresql_server: str) -> str:
    """The address of an empty database."""
    import psycopg

    name = f"test{next(_names)}"
    words = postgresql_server.replace("&", " ")
    with psycopg.connect(f"{words} dbname=postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
    return f"postgresql+psycopg:///{name}?{postgresql_server}"


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """An S3 server for the tests, in this process, on loopback; yields its address."""
    from moto.moto_server.werkzeug_app import create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # it logs every request
    WSGIRequestHandler.protocol_version = "HTTP/1.1"  # clients keep their connections, as with the real S3
    server = make_server("127.0.0.1", 0, create_backend_app("s3"), threaded=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def s3_variables(s3_server: str) -> dict[str, str]:
    """The variables that direct an S3 client to the tests' server."""
    return {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "of-the-tests",
        "AWS_SECRET_ACCESS_KEY": "of-the-tests",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@pytest.fixture
def s3_environment(s3_variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Directs every S3 client of this process and its children to the tests' server."""
    for name, value in s3_variables.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def s3_bucket(s3_environment: None) -> str:
    """The address of an empty bucket."""
    import fsspec

    name = f"tests-{next(_names)}"
    fsspec.filesystem("s3").mkdir(name)
    return f"s3://{name}"


@pytest.fixture(scope="session")
def ray_head(s3_variables: dict[str, str]) -> Iterator[RayCluster]:
    """A Ray cluster whose nodes have one CPU each and reach the tests' S3; at first it has only a head."""
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed: uv sync --extra ray")
    settings = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # short: the paths of the sockets in it are long enough
    cluster = None
    with pytest.MonkeyPatch.context() as patch:  # before Ray is imported, which reads them on import
        for name, value in settings.items():
            patch.setenv(name, value)
        try:
            yield (cluster := RayCluster(folder, s3_variables))
        finally:
            if cluster is not None:
                cluster.close()
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def ray_cluster(ray_head: RayCluster) -> RayCluster:
    """The cluster with two nodes, even after a test killed one."""
    ray_head.fill()
    return ray_head
