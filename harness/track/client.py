"""The door to MLflow: which store is meant, and a quiet client for it.

Importing MLflow takes seconds, so nothing here (or elsewhere in the room) imports it before it is used.
"""

import logging
import os
import sqlite3
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from harness.errors import InputError
from harness.formatting import first_line
from harness.track.accepted import folder_name
from harness.track.address import OLDER_SCHEMA, TrackerError, is_server, older_schema, sqlite_path
from harness.track.tags import EXPERIMENT_TAGS, TAG_KIND

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

ARTIFACTS = "mlartifacts"
"""The folder of artifacts of a store that is no server."""
_MOST_EXPERIMENTS = 10_000
_one_thread = threading.RLock()
"""Held while MLflow is imported and a client is made: the courier's thread and the main one may both come first."""

_SETTINGS = {
    # Only this very spelling silences it, and only before the import.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    # A tracker that is down is asked again by our own writer, at its own pace; a request should fail fast.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


def artifact_folder(uri: str) -> Path:
    """Where the artifacts of a store that is no server go: beside the database file, or in the working folder."""
    path = sqlite_path(uri)
    return (path.parent if path else Path.cwd()) / ARTIFACTS


def artifact_root(uri: str, experiment: str) -> str | None:
    """Where a new experiment's artifacts go; None for a server, which decides by itself."""
    return None if is_server(uri) else (artifact_folder(uri) / folder_name(experiment)).as_uri()


def local_folder(artifact_uri: str) -> Path | None:
    """The folder an artifact address names on this machine, None if it lies elsewhere."""
    parts = urlsplit(artifact_uri)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(url2pathname(parts.path))
    return Path(artifact_uri) if not parts.scheme else None


def prepare_environment() -> None:
    """Sets MLflow's switches, unless the user did, for this process and those it starts. Call before importing it."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)


def load_mlflow() -> None:
    """Imports MLflow in one thread at a time: its modules import each other in circles, which two threads may tear."""
    with _one_thread:
        prepare_environment()
        logging.getLogger("alembic").setLevel(logging.WARNING)
        # It writes a traceback of what it raises next, and that is told in a sentence.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
        import mlflow.entities
        import mlflow.exceptions  # noqa: F401


def connect(uri: str) -> "MlflowClient":
    """A client of the store at a resolved address, one for each.

    A new SQLite store gets its schema here, under a lock, since parallel first starts would race on it, and
    write-ahead logging, so that readers and the writer do not wait for each other. A server is not contacted yet.

    Raises:
        InputError: The file of a SQLite store is no database, cannot be opened, or holds other tables than MLflow's.
    """
    with _one_thread:
        load_mlflow()
        return _connect(uri)


@cache
def _connect(uri: str) -> "MlflowClient":
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    path = sqlite_path(uri)
    if path is None:
        return MlflowClient(tracking_uri=uri)

    from filelock import FileLock
    from sqlalchemy.exc import DBAPIError

    from harness.track.moved import follow_move

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(path.name + ".lock")):
        try:
            if not path.exists():
                _make_database(path)
            with closing(sqlite3.connect(path)) as database:
                database.execute("PRAGMA journal_mode=WAL")
            client = MlflowClient(tracking_uri=uri)
            client.search_experiments(max_results=1)
            follow_move(uri)
        except (sqlite3.DatabaseError, DBAPIError, MlflowException) as error:
            if OLDER_SCHEMA in str(error):
                raise TrackerError(older_schema(uri)) from error
            told = f"{path}: {first_line(error)}: expected MLflow's database, which can be written to"
            mend = "unless another program holds it, move it aside: the next run records the table anew"
            raise InputError(f"{told}; {mend}") from error
    return client


def _make_database(path: Path) -> None:
    """Makes a new database with MLflow's tables, whole or not at all.

    MLflow makes them in a hundred steps, and never goes on with what a kill between two of them has left.
    """
    from mlflow import MlflowClient

    partial = path.with_name(path.name + ".partial")
    for left in (partial, *(path.with_name(path.name + ending) for ending in ("-journal", "-wal", "-shm"))):
        left.unlink(missing_ok=True)  # of a database that was deleted, SQLite would mix it into the new one
    with tempfile.TemporaryDirectory(prefix="harness-mlflow-") as folder:
        aside = Path(folder) / path.name
        MlflowClient(tracking_uri=f"sqlite:///{aside}").search_experiments(max_results=1)
        with closing(sqlite3.connect(aside)) as made, closing(sqlite3.connect(partial)) as database:
            made.backup(database)
    partial.replace(path)


def our_experiments(uri: str) -> list[str]:
    """The ids of the experiments that hold tables, whatever else a shared server holds."""
    kind, value = TAG_KIND, EXPERIMENT_TAGS[TAG_KIND]
    found = connect(uri).search_experiments(filter_string=f"tags.`{kind}` = '{value}'", max_results=_MOST_EXPERIMENTS)
    return [experiment.experiment_id for experiment in found]


def search_all_runs(uri: str, experiment_ids: Sequence[str], query: str) -> "Iterator[Run]":
    """All runs of these experiments that match a query, latest start first, however many there are."""
    client, token = connect(uri), None
    while experiment_ids:
        page = client.search_runs(list(experiment_ids), query, max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def quoted(text: str) -> str:
    """A string of a query."""
    if "'" in text:
        return '"' + text.replace('"', "") + '"'
    return f"'{text}'"
