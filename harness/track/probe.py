"""Checks that a tracker answers, with one quick request before MLflow is used, and explains what went wrong.

Every command that reads from the tracker uses ``asking``; the courier calls ``reach``. So users never wait out a
library's own timeouts (minutes) or see its tracebacks. Importing this imports neither MLflow nor SQLAlchemy.
"""

import os
import queue
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.files import regular_file
from harness.formatting import first_line
from harness.track.address import (
    OLDER_SCHEMA,
    TrackerError,
    check_address,
    is_server,
    older_schema,
    scrubbed,
    sqlite_path,
    without_password,
)

_PATIENCE_S = 8.0
_CONNECT_S = 5.0
_QUESTION = "/api/2.0/mlflow/experiments/search"
_ANSWERS = {"experiments", "next_page_token"}
_OTHER_CREDENTIALS = ("MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_AWS_SIGV4")
_MOST_OF_AN_ANSWER = 200

_START = "start it, or set MLFLOW_TRACKING_URI to the address of one that runs"
_SEE = "check that it runs and knows this user, or set MLFLOW_TRACKING_URI to another address"
_CREDENTIALS = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or MLFLOW_TRACKING_TOKEN)"


def reach(uri: str, patience_s: float = _PATIENCE_S) -> None:
    """Sends the tracker at a resolved address a small request, and returns once it has answered as MLflow does.

    A SQLite file may be missing: the first write creates it.

    Raises:
        TrackerError: If the address is wrong, or there is no such answer within ``patience_s``.
    """
    check_address(uri)
    ask = _ask_server if is_server(uri) else _ask_database
    with _explaining(uri):
        _within(patience_s, lambda: ask(uri), uri)


@contextmanager
def asking(uri: str) -> Iterator[None]:
    """Wraps requests to MLflow: checks first that the tracker answers, and explains any later error.

    Raises:
        TrackerError: If a request fails.
    """
    reach(uri)
    with _explaining(uri):
        yield


@contextmanager
def _explaining(uri: str) -> Iterator[None]:
    """Turns errors of MLflow and the libraries below it into a ``TrackerError``; other errors propagate."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if not _is_from_library(error):
            raise
        raise TrackerError(_explain(error, uri)) from error


def _is_from_library(error: Exception) -> bool:
    names = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return bool(names & {"mlflow", "requests", "urllib3", "sqlalchemy", "sqlite3", "psycopg", "alembic"})


def _explain(error: Exception, uri: str) -> str:
    """Explains an error of MLflow or SQLAlchemy to the user who gave the address."""
    text = str(error)
    if status := re.search("error code (401|403)", text):
        return _refused(int(status[1]), "", uri)
    if OLDER_SCHEMA in text:
        return older_schema(uri)
    return f"the tracker {without_password(uri)} cannot be queried ({_reason(error, uri)}): {_SEE}"


def _reason(error: BaseException, uri: str) -> str:
    """Returns the system's or the driver's message: a refused connection, a wrong password."""
    chain = list(_chain(error))
    system = [below.strerror for below in chain if isinstance(below, OSError) and below.strerror]
    said = system[-1] if system else first_line(getattr(error, "orig", None) or chain[-1])
    return scrubbed(said, uri).removesuffix(".")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _within(patience_s: float, ask: Callable[[], None], uri: str) -> None:
    """Calls ``ask`` with a timeout; a thread that hangs in a library ends with the process."""
    ended: queue.Queue[BaseException | None] = queue.Queue()

    def work() -> None:
        try:
            ask()
        except BaseException as error:
            ended.put(error)
        else:
            ended.put(None)

    threading.Thread(target=work, name="asking the tracker", daemon=True).start()
    try:
        error = ended.get(timeout=patience_s)
    except queue.Empty:
        raise TrackerError(
            f"the tracker {without_password(uri)} does not answer (waited {patience_s:g} s): restart it, or set "
            "MLFLOW_TRACKING_URI to the address of one that does"
        ) from None
    if error is not None:
        raise error


# A server ---------------------------------------------------------------------------------------------------------


def _ask_server(uri: str) -> None:
    import requests

    place, environment = uri.rstrip("/") + _QUESTION, os.environ
    headers, auth = {}, None
    if token := environment.get("MLFLOW_TRACKING_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    if name := environment.get("MLFLOW_TRACKING_USERNAME"):
        auth = (name, environment.get("MLFLOW_TRACKING_PASSWORD", ""))
    insecure = environment.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1")
    verify = not insecure and environment.get("MLFLOW_TRACKING_SERVER_CERT_PATH", True)
    try:
        answer = requests.post(
            place,
            json={"max_results": 1},
            headers=headers,
            auth=auth,
            verify=verify,
            cert=environment.get("MLFLOW_TRACKING_CLIENT_CERT_PATH"),
            timeout=(_CONNECT_S, 2 * _PATIENCE_S),
        )
    except requests.exceptions.SSLError as error:
        problem = f"the tracker {without_password(uri)} does not speak https as expected ({_reason(error, uri)})"
        raise TrackerError(
            f"{problem}: write http:// if it speaks that, or name its certificate in MLFLOW_TRACKING_SERVER_CERT_PATH"
        ) from error
    except requests.exceptions.ConnectionError as error:
        shown = without_password(uri)
        raise TrackerError(f"the tracker {shown} cannot be reached ({_reason(error, uri)}): {_START}") from error
    _judge(answer, uri)


def _judge(answer: Any, uri: str) -> None:
    """Raises unless an answer is MLflow's."""
    shown, status = without_password(uri), answer.status_code
    if status in (401, 403):
        if not any(os.environ.get(name) for name in _OTHER_CREDENTIALS) and not _kept_credentials().exists():
            raise TrackerError(_refused(status, _said(answer, uri), uri))
        return  # MLflow can authenticate in ways that this request cannot
    try:
        content = answer.json() if status == 200 else None
    except ValueError:
        content = None
    if isinstance(content, dict) and content.keys() <= _ANSWERS:
        return
    if status >= 500:
        raise TrackerError(
            f"the tracker {shown} is failing (it answers {status}{_said(answer, uri)}): see its log, or {_START}"
        )
    what = "something else" if status == 200 else f"{status}{_said(answer, uri)}"
    raise TrackerError(
        f"the tracker's address {shown} leads to a server that is not MLflow (its answer to a query is {what}):"
        " set MLFLOW_TRACKING_URI to the address of an `mlflow server`, with the path that it is served under"
    )


def _said(answer: Any, uri: str) -> str:
    """Returns the first line of an answer that is not HTML."""
    lines = answer.text.strip().splitlines() if "html" not in answer.headers.get("Content-Type", "") else []
    return (
        f": {scrubbed(lines[0], uri)[:_MOST_OF_AN_ANSWER]}" if lines and not lines[0].lstrip().startswith("<") else ""
    )


def _kept_credentials() -> Path:
    return Path.home() / ".mlflow" / "credentials"


def _refused(status: int, said: str, uri: str) -> str:
    what = "asks for a user and a password" if status == 401 else "refuses this user or this machine's requests"
    return (
        f"the tracker {without_password(uri)} {what} ({status}{said}): set {_CREDENTIALS} to those that it knows, "
        "or ask whoever runs it"
    )


# A database -------------------------------------------------------------------------------------------------------


def _ask_database(uri: str) -> None:
    version = _version_in_file(uri) if uri.startswith("sqlite:///") else _version_in_database(uri)
    known = known_versions()
    if version is not None and known and version not in known:
        raise TrackerError(
            f"the tracker {without_password(uri)} was made by a newer MLflow than is installed here (its schema "
            f"{version} is unknown): install that MLflow, or set MLFLOW_TRACKING_URI to another database"
        )


def _version_in_file(uri: str) -> str | None:
    import sqlite3

    path = sqlite_path(uri)
    if path is None or not path.exists():
        return None
    try:
        with closing(sqlite3.connect(regular_file(path))) as database:
            found = database.execute("SELECT version_num FROM alembic_version").fetchone()
    except (sqlite3.Error, OSError):
        return None  # opening the file reports the error
    return str(found[0]) if found else None


def _version_in_database(uri: str) -> str | None:
    from sqlalchemy import create_engine, inspect, text
    from sqlalchemy.pool import NullPool

    with create_engine(uri, poolclass=NullPool).connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def known_versions() -> set[str]:
    """Returns the database schemas that the installed MLflow knows, one per migration."""
    spec = find_spec("mlflow")
    places = spec.submodule_search_locations if spec is not None else None
    folders = [Path(place) / "store" / "db_migrations" / "versions" for place in places or ()]
    scripts = [regular_file(path).read_text("utf-8") for folder in folders for path in folder.glob("*_*.py")]
    return {found[1] for text in scripts if (found := re.search(r"""^revision\s*=\s*["'](\w+)""", text, flags=re.M))}
