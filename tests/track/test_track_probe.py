"""A tracker that does not answer is explained in one sentence: every kind of failure, and every function that asks."""

import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest
from trackers import PAGE, http_server, silent_server

import harness.track.courier
import harness.track.probe
import harness.track.reader
from harness.track import (
    Tracker,
    TrackerError,
    list_tables,
    reach,
    read_histories,
    read_snapshot,
    start_ui,
    sync,
)
from harness.track.client import connect

PASSWORD = "s3cret"
USER = f"me:{PASSWORD}@"
QUICK_S = 0.5
Way = Callable[[], AbstractContextManager[str]]


def fixed(address: str) -> Way:
    @contextmanager
    def way() -> Iterator[str]:
        yield address

    return way


def web(status: int, body: str = PAGE, kind: str = "text/html", scheme: str = "http") -> Way:
    @contextmanager
    def way() -> Iterator[str]:
        with http_server(status, body, kind) as place:
            yield f"{scheme}://{USER}{place}"

    return way


def silent(before: str = "http://", after: str = "", says: bytes = b"", *, hangs_up: bool = False) -> Way:
    @contextmanager
    def way() -> Iterator[str]:
        with silent_server(says, hangs_up=hangs_up) as place:
            yield f"{before}{USER}{place}{after}"

    return way


JSON = "application/json"
WAYS: dict[str, tuple[Way, str]] = {
    "refused": (
        fixed(f"http://{USER}127.0.0.1:9"),
        r"cannot be reached \(Connection refused\): start it, or set MLF",
    ),
    "hanging": (silent(), r"does not answer \(waited 0\.5 s\): restart it, or set MLFLOW_TRACKING_URI"),
    "dripping": (silent(says=b"HTTP/1.1 200 OK\r\n"), r"does not answer \(waited 0\.5 s\)"),
    "hanging up": (silent(hangs_up=True), r"cannot be reached \(.*(closed connection|reset by peer).*\): start it"),
    "no HTTP": (silent(says=b"SSH-2.0-OpenSSH_9\r\n"), r"cannot be reached \(.*SSH-2\.0.*\): start it"),
    "unknown host": (fixed(f"http://{USER}no-such-host.invalid:5000"), r"cannot be reached \(.+\): start it"),
    "no host": (fixed("http://"), r"names no host and port: expected sqlite:///FILE, http://HOST:PORT"),
    "no port": (fixed("http://127.0.0.1:port"), r"names no host and port"),
    "https to http": (web(200, scheme="https"), r"does not speak https as expected \(.+\): write http:// if"),
    "401": (web(401), r"asks for a user and a password \(401\): set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASS"),
    "403": (
        web(403, "Invalid Host", "text/plain"),
        r"refuses this user .* \(403: Invalid Host\): set MLFLOW_T",
    ),
    "404": (web(404), r"leads to a server that is not MLflow \(its answer to a query is 404\): set MLFLOW_TR"),
    "503": (web(503, f"{PASSWORD} is down", "text/plain"), r"\(it answers 503: \*\*\* is down\): see its log"),
    "a page": (web(200), r"not MLflow \(its answer to a query is something else\): set MLFLOW_TRACKING_URI"),
    "other JSON": (web(200, '{"error": "who"}', JSON), r"leads to a server that is not MLflow"),
    "unknown scheme": (
        fixed(f"htpp://{USER}127.0.0.1"),
        r'the unknown scheme "htpp" \(did you mean "http"\?\): set',
    ),
    "a folder": (
        fixed("file:///tmp/mlruns"),
        r"file:///tmp/mlruns is a folder: set MLFLOW_TRACKING_URI to sqlite",
    ),
    "a path": (fixed("./mlruns"), r"address \./mlruns is a folder: set"),
    "two slashes": (
        fixed("sqlite://mlflow.db"),
        r"sqlite://mlflow\.db cannot be read: set MLFLOW_TRACKING_URI",
    ),
    "a bad port": (fixed(f"postgresql://{USER}127.0.0.1:x/db"), r"127\.0\.0\.1:x/db cannot be read: set"),
    "unknown driver": (
        fixed(f"postgresql+nothere://{USER}127.0.0.1/db"),
        r'there is no driver "nothere": write postgresql\+psycopg://..., and .* `uv run --extra postgresql`',
    ),
    "unknown too": (
        fixed(f"mysql+x://{USER}127.0.0.1/db"),
        r'there is no driver "x": install it, or set MLFLOW',
    ),
    "missing driver": (
        fixed(f"postgresql+pg8000://{USER}127.0.0.1/db"),
        r"the Python package pg8000, which is not installed: write postgresql\+psycopg://",
    ),
    "PostgreSQL refused": (
        fixed(f"postgresql+psycopg://{USER}127.0.0.1:9/db"),
        r"cannot be queried \(.*Connection refused\): check that it runs and knows this user, or set MLFLOW_TRACKING",
    ),
    "PostgreSQL unknown host": (
        fixed(f"postgresql+psycopg://{USER}no-such-host.invalid/db"),
        r"cannot be queried \(.*no-such-host\.invalid.*\): check that it runs",
    ),
    "PostgreSQL hanging": (silent("postgresql+psycopg://", "/db"), r"does not answer \(waited 0\.5 s\)"),
    "password in the query": (
        fixed(f"postgresql+psycopg:///db?host=127.0.0.1&port=9&user=me&password={PASSWORD}"),
        r"postgresql\+psycopg:///db\?host=127\.0\.0\.1&port=9&user=me&password=\*\*\* cannot be queried",
    ),
    "password with a slash": (
        fixed(f"postgresql+psycopg://me:a/{PASSWORD}@127.0.0.1:9/db"),
        r"://127\.0\.0\.1:9/db cannot",
    ),
}


@pytest.mark.parametrize("name", WAYS)
def test_every_way_of_being_wrong_is_one_sentence_without_the_password(name: str) -> None:
    make, expected = WAYS[name]
    if name.startswith(("PostgreSQL", "password")):
        pytest.importorskip("psycopg")
    with make() as uri, pytest.raises(TrackerError, match=f"^the tracker.*{expected}") as raised:
        reach(uri, patience_s=QUICK_S if "answer \\(" in expected else 30.0)
    message = str(raised.value)
    assert "\n" not in message
    assert PASSWORD not in message
    assert "MLFLOW_TRACKING" in message or "postgresql+psycopg" in message


@pytest.mark.parametrize("body", ['{"experiments": []}', "{}"])
def test_a_server_that_answers_as_mlflow_does_is_reached(body: str) -> None:
    asked: list[str] = []
    with http_server(200, body, JSON, asked) as place:
        reach(f"http://{USER}{place}/prefix/")
    assert asked == ["/prefix/api/2.0/mlflow/experiments/search"]


def test_credentials_that_only_mlflow_can_use_are_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_AUTH", "kerberos")
    asked: list[str] = []
    with http_server(401, "", asked=asked) as place:
        reach(f"http://{place}")  # MLflow itself will say whether they are right
    assert len(asked) == 1


@pytest.fixture
def newer(uri: str) -> str:
    """A database of a schema that the installed MLflow does not know."""
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'feedc0ffee12'")
    return uri


def test_a_database_of_a_newer_schema_is_reported_with_what_to_install(newer: str) -> None:
    expected = (
        r"made by a newer MLflow than is installed here \(its schema feedc0ffee12 is unknown\): install that MLflow"
    )
    for ask in (reach, list_tables, start_ui):
        with pytest.raises(TrackerError, match=expected):
            ask(newer)


def test_a_database_of_an_older_schema_is_reported_with_the_command_that_mends_it(uri: str, tmp_path: Path) -> None:
    copy = tmp_path / "older.db"
    shutil.copy(uri.removeprefix("sqlite:///"), copy)
    known = harness.track.probe.known_versions()
    with closing(sqlite3.connect(copy)) as database, database:
        (head,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
        assert head in known
        database.execute("UPDATE alembic_version SET version_num = ?", (min(known - {head}),))
    with pytest.raises(TrackerError, match=r"an older MLflow than is installed here: .* `mlflow db upgrade sqlite:///"):
        list_tables(f"sqlite:///{copy}")


def test_postgresql_refuses_a_wrong_password_and_a_newer_schema(postgresql: str) -> None:
    from sqlalchemy import create_engine, text

    reach(postgresql)
    connect(postgresql).search_experiments()
    reach(postgresql)
    wrong = postgresql.replace("user=harness", f"user=nobody&password={PASSWORD}")
    with pytest.raises(
        TrackerError, match=r'cannot be queried \(.*"nobody".*\): check that it runs and knows'
    ) as raised:
        reach(wrong)
    assert PASSWORD not in str(raised.value)
    with create_engine(postgresql).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'feedc0ffee12'"))
    with pytest.raises(TrackerError, match="made by a newer MLflow"):
        reach(postgresql)


ASKING: dict[str, Callable[[str, Path], object]] = {
    "report and list": lambda uri, _: list_tables(uri),
    "report": lambda uri, _: read_snapshot(uri, "table1"),
    "its curves": lambda uri, _: read_histories(uri, ["run"], ["train/loss"]),
    "ui": lambda uri, _: start_ui(uri),
    "sync": lambda uri, folder: sync(uri, folder / "outbox"),
}


@pytest.mark.parametrize("name", ASKING)
def test_whatever_asks_the_tracker_reaches_it_first(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("MLflow is asked before it is known that the tracker answers")

    for module in ("reader", "client", "delivery"):
        monkeypatch.setattr(f"harness.track.{module}.connect", refuse)
    started = time.monotonic()
    with pytest.raises(TrackerError, match=r"^the tracker http://127\.0\.0\.1:9 cannot be reached"):
        ASKING[name](f"http://{USER}127.0.0.1:9", tmp_path)
    assert time.monotonic() - started < 60.0


def test_what_mlflow_raises_later_is_explained_in_a_sentence_too(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.exceptions import MlflowException

    def fail(*_: object) -> None:
        raise MlflowException("API request to endpoint /x failed with error code 403 != 200. Response body: ''")

    monkeypatch.setattr(harness.track.reader, "connect", fail)
    with pytest.raises(TrackerError, match=r"refuses this user or this machine's requests \(403\)"):
        read_histories(uri, ["run"], ["train/loss"])


def test_an_address_that_nothing_can_be_delivered_to_is_refused_before_anything_runs(tmp_path: Path) -> None:
    for wrong in ("file:///tmp/mlruns", "mysql+x://h/db", "htpp://h"):
        with pytest.raises(TrackerError):
            Tracker(wrong, tmp_path / "outbox")
    assert not (tmp_path / "outbox").exists()


def test_a_tracker_that_does_not_answer_is_reported_once_and_what_was_said_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness.track.courier, "LAST_CHANCE_S", 0.5)
    monkeypatch.setattr(harness.track.courier, "FIRST_BACKOFF_S", 0.05)
    with http_server(200, PAGE) as place:
        tracker = Tracker(f"http://{USER}{place}", tmp_path / "outbox")
        tracker.open_table("T", table="table1", declaration={}, provenance={})
        delivery = tracker.close(patience_s=20.0)
    assert delivery.undelivered == 1
    assert "leads to a server that is not MLflow" in str(delivery)
    (message,) = [record.getMessage() for record in caplog.records if record.name == "harness.track.courier"]
    assert message.startswith(f"the tracker's address http://{place} leads to")
    assert message.endswith("; until then results wait in the store")
    assert PASSWORD not in message + str(delivery)


def test_asking_needs_no_mlflow() -> None:
    script = """
import sys
from harness.track import TrackerError, reach
try:
    reach("http://127.0.0.1:9")
except TrackerError:
    sys.exit("mlflow" in sys.modules)
sys.exit("it answered")
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
