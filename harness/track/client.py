"""Clients for MLflow: opens a store by its address, quietly, and searches it.

Importing MLflow takes seconds, so no module of this package imports it before it is used.
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
"""The artifact folder of a store that is not a server."""
_MOST_EXPERIMENTS = 10_000
_one_thread = threading.RLock()
"""Held during the import of MLflow and the creation of a client, which two threads may start at once."""

_SETTINGS = {
    # Only this spelling works, and only before the import.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    # Else it requests every run that ends, to print its address among our output.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # The courier retries at its own pace, so a request should fail fast.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


def artifact_folder(uri: str) -> Path:
    """Returns the artifact folder of a store that is not a server: beside the database file, or in this folder."""
    path = sqlite_path(uri)
    return (path.parent if path else Path.cwd()) / ARTIFACTS


def artifact_root(uri: str, experiment: str) -> str | None:
    """Returns the artifact location for a new experiment; None for a server, which chooses it."""
    return None if is_server(uri) else (artifact_folder(uri) / folder_name(experiment)).as_uri()


def local_folder(artifact_uri: str) -> Path | None:
    """Returns the local folder of an artifact address; None if it is remote."""
    parts = urlsplit(artifact_uri)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(url2pathname(parts.path))
    return Path(artifact_uri) if not parts.scheme else None


def prepare_environment() -> None:
    """Sets MLflow's options for this process and its children, unless the user did; call before importing MLflow."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)


def load_mlflow() -> None:
    """Imports MLflow in one thread at a time: its circular imports fail if two threads start them at once."""
    with _one_thread:
        prepare_environment()
        logging.getLogger("alembic").setLevel(logging.WARNING)
        # It logs a traceback of the error that it then raises, which is shown as one sentence.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
        import mlflow.entities
        import mlflow.exceptions  # noqa: F401


def connect(uri: str) -> "MlflowClient":
    """Returns the client of the store at a resolved address, one per address.

    Creates the schema of a new SQLite store, under a lock since parallel first starts would race, and turns on
    write-ahead logging, so that readers and the writer do not wait for each other. Does not contact a server yet.

    Raises:
        InputError: The file of a SQLite store is not a database, cannot be opened, or has other tables than MLflow's.
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
            problem = f"{path}: {first_line(error)}: expected MLflow's database, which can be written to"
            remedy = "unless another program holds it, move it aside: the next run records the table again"
            raise InputError(f"{problem}; {remedy}") from error
    return client


def _make_database(path: Path) -> None:
    """Creates a database with MLflow's tables, whole or not at all.

    MLflow creates them in a hundred steps, and never continues after a kill between two of them.
    """
    from mlflow import MlflowClient

    partial = path.with_name(path.name + ".partial")
    for left in (partial, *(path.with_name(path.name + ending) for ending in ("-journal", "-wal", "-shm"))):
        left.unlink(missing_ok=True)  # left by a deleted database; SQLite would apply it to the new one
    with tempfile.TemporaryDirectory(prefix="harness-mlflow-") as folder:
        aside = Path(folder) / path.name
        MlflowClient(tracking_uri=f"sqlite:///{aside}").search_experiments(max_results=1)
        with closing(sqlite3.connect(aside)) as made, closing(sqlite3.connect(partial)) as database:
            made.backup(database)
    partial.replace(path)


def our_experiments(uri: str) -> list[str]:
    """Returns the ids of the harness's experiments; a shared server may have others."""
    kind, value = TAG_KIND, EXPERIMENT_TAGS[TAG_KIND]
    found = connect(uri).search_experiments(filter_string=f"tags.`{kind}` = '{value}'", max_results=_MOST_EXPERIMENTS)
    return [experiment.experiment_id for experiment in found]


def search_all_runs(uri: str, experiment_ids: Sequence[str], query: str) -> "Iterator[Run]":
    """Yields all runs of these experiments that match a query, latest start first, page by page."""
    client, token = connect(uri), None
    while experiment_ids:
        page = client.search_runs(list(experiment_ids), query, max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def quoted(text: str) -> str:
    """Quotes a string for a query."""
    if "'" in text:
        return '"' + text.replace('"', "") + '"'
    return f"'{text}'"
