"""Addresses of trackers: their validation, and their display without passwords."""

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from harness.errors import InputError, nearest

_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_SERVERS = ("http", "https")
EXPECTED = "sqlite:///FILE, http://HOST:PORT of an `mlflow server`, or postgresql+psycopg://USER@HOST/DATABASE"
_SECRET = re.compile(r"(?i)([?&][^=&]*(?:pass|pwd|secret|token|key|odbc_connect)[^=&]*=)[^&]*")
DEFAULT_URI = "sqlite:///mlflow.db"
_SQLITE = "sqlite:///"


class TrackerError(InputError):
    """A tracker that cannot be used: its address is wrong, or what is there does not answer like MLflow."""


def resolve_uri(uri: str | None = None) -> str:
    """Returns the tracker's address: the given one, else ``MLFLOW_TRACKING_URI``, else a SQLite file in this folder.

    The path of a SQLite file is made absolute, so that the address is valid in other folders.
    """
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI
    path = sqlite_path(uri)
    return uri if path is None else f"{_SQLITE}{path}"


def sqlite_path(uri: str) -> Path | None:
    """Returns the absolute path of a SQLite store's file; None for any other store."""
    if not uri.startswith(_SQLITE):
        return None
    return Path(uri.removeprefix(_SQLITE).partition("?")[0]).absolute()


def scheme_of(uri: str) -> str:
    """Returns the kind of store: ``postgresql`` for ``postgresql+psycopg://...``; empty for a path."""
    scheme, colon, _ = uri.partition(":")
    return scheme.partition("+")[0].lower() if colon else ""


def is_server(uri: str) -> bool:
    """Whether the address is an MLflow server's, which has web pages."""
    return scheme_of(uri) in _SERVERS


def check_address(uri: str) -> None:
    """Validates an address without contacting it.

    Raises:
        TrackerError: If its scheme is unknown, it cannot be parsed, or its driver is not installed.
    """
    shown, scheme = without_password(uri), scheme_of(uri)
    if scheme in _SERVERS:
        try:
            host = urlsplit(uri).hostname and (urlsplit(uri).port or True)
        except ValueError:
            host = None
        if not host:
            raise TrackerError(f"the tracker's address {shown} names no host and port: expected {EXPECTED}")
    elif scheme not in _DATABASES:
        near = nearest(scheme, (*_DATABASES, *_SERVERS))
        what = "is a folder" if scheme in ("", "file") else f'has the unknown scheme "{scheme}"'
        meant = f' (did you mean "{near}"?)' if near and scheme != "file" else ""
        raise TrackerError(f"the tracker's address {shown} {what}{meant}: set MLFLOW_TRACKING_URI to {EXPECTED}")
    elif not uri.startswith(_SQLITE):
        _check_driver(uri, shown)


def _check_driver(uri: str, shown: str) -> None:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    subject = f"the tracker's address {shown}"
    try:
        url = make_url(uri)
        if url.drivername.startswith("sqlite"):
            raise ArgumentError("three slashes lead to a file")
        url.get_dialect().import_dbapi()
    except NoSuchModuleError:
        raise TrackerError(
            f'{subject}: there is no driver "{uri.partition("+")[2].partition(":")[0]}"{_drivers(uri)}'
        ) from None
    except (ArgumentError, ValueError):
        raise TrackerError(f"{subject} cannot be read: set MLFLOW_TRACKING_URI to {EXPECTED}") from None
    except ImportError as error:
        missing = error.name or "its driver's package"
        raise TrackerError(
            f"{subject} needs the Python package {missing}, which is not installed{_drivers(uri)}"
        ) from None


def _drivers(uri: str) -> str:
    if scheme_of(uri) == "postgresql":
        return ": write postgresql+psycopg://..., and start the command with `uv run --extra postgresql`"
    return f": install it, or set MLFLOW_TRACKING_URI to {EXPECTED}"


OLDER_SCHEMA = "out-of-date database schema"
"""Part of MLflow's message about a database with an older schema."""


def older_schema(uri: str) -> str:
    """Explains what to do about a database of an older MLflow."""
    shown = without_password(uri)
    return (
        f"the tracker {shown} was made by an older MLflow than is installed here: keep a copy of it, then bring it up "
        f"to date with `mlflow db upgrade {shown}`"
    )


def without_password(uri: str) -> str:
    """Returns the address without user and password, even if a character of the password should have been escaped.

    >>> without_password("postgresql://me:secret@db.example:5432/mlflow")
    'postgresql://db.example:5432/mlflow'
    >>> without_password("http://me:a/b#c@d@db.example:5000")
    'http://db.example:5000'
    >>> without_password("postgresql+psycopg:///mlflow?host=/run&password=secret")
    'postgresql+psycopg:///mlflow?host=/run&password=***'
    >>> without_password("sqlite:///me@here/mlflow.db")
    'sqlite:///me@here/mlflow.db'
    """
    scheme, slashes, rest = uri.partition("://")
    if not slashes or scheme.lower() in ("sqlite", "file"):
        return uri
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    path, question, query = rest.partition("?")
    if "@" in path:  # a password may hold a bare slash; after the last "@" comes the host
        rest = path.rpartition("@")[2] + question + query
    elif "@" in rest and not re.fullmatch(r"[^:]*(:\d+)?|\[.*\](:\d+)?", authority):
        rest = rest.rpartition("@")[2]
    return scheme + slashes + _SECRET.sub(r"\1***", rest)


def scrubbed(text: str, uri: str) -> str:
    """Removes the address's password from a library's message.

    >>> scrubbed("no answer from http://me:se%20cret@h: bad 'se cret'", "http://me:se%20cret@h")
    "no answer from http://h: bad '***'"
    """
    text = text.replace(uri, without_password(uri))
    credentials = uri.partition("://")[2].rpartition("@")[0]
    secrets = [credentials.partition(":")[2], *(found[0].rpartition("=")[2] for found in _SECRET.finditer(uri))]
    for secret in filter(None, secrets):
        for written in {secret, unquote(secret)}:
            text = text.replace(written, "***")
    return text
