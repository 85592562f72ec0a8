"""Moved artifacts: MLflow stores their absolute addresses, which become wrong when a folder is moved.

A SQLite tracker's artifacts are beside its file, so a move of both is noticed and corrected when the file is opened.
For any other move the user calls ``relocate``.
"""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from harness.errors import InputError
from harness.track.address import TrackerError, is_server, sqlite_path, without_password
from harness.track.client import ARTIFACTS, artifact_folder, local_folder
from harness.track.probe import asking

_MOST_SHOWN = 5

logger = logging.getLogger(__name__)

_KEPT = (("experiments", "experiment_id", "artifact_location"), ("runs", "run_uuid", "artifact_uri"))
"""The columns of MLflow's database with addresses of artifacts: table, key, column."""


def follow_move(uri: str) -> None:
    """Corrects a SQLite tracker's addresses of artifacts that were moved along with its file.

    An address that is still valid is kept, unless there is a copy beside the file: a copied project uses its own.
    """
    path = sqlite_path(uri)
    if path is None or not path.exists():
        return
    here = artifact_folder(uri)
    with closing(sqlite3.connect(path)) as database:
        kept = database.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
        for (location,) in kept:
            old = local_folder(location or "")
            if old is None or old.parent.name != ARTIFACTS or old.parent == here:
                continue
            new = here / old.name
            if not new.is_dir() or (old.exists() and old.samefile(new)):
                continue
            below = f"{location}/"
            query = "SELECT artifact_uri FROM runs WHERE substr(artifact_uri, 1, ?) = ?"
            runs = database.execute(query, (len(below), below)).fetchall()
            found = [local_folder(f"{new.as_uri()}{address[len(location) :]}") for (address,) in runs]
            if not old.exists() or any(folder is not None and folder.exists() for folder in found):
                _replace(database, location, new.as_uri())
                logger.info("the tracker's artifacts moved from %s to %s", old, new)


def relocate(uri: str, old: str, new: str) -> int:
    """Changes the addresses of artifacts below ``old`` to ``new`` in a tracker's database; returns their number.

    Args:
        uri: The tracker's resolved address, of a database.
        old: A folder, or an address such as ``s3://bucket/prefix``.
        new: Likewise; a folder must exist.

    Raises:
        TrackerError: If the tracker does not answer, or is a server, which does not expose its addresses.
        InputError: If there is no address below ``old``, or no folder ``new``.
    """
    if is_server(uri):
        raise TrackerError(
            f"the tracker {without_password(uri)} is a server, where addresses of artifacts cannot be changed: set "
            "MLFLOW_TRACKING_URI to the address of its database, for this command"
        )
    from sqlalchemy import create_engine, text

    before, after = _address(old), _address(new)
    folder = local_folder(after)
    if folder is not None and not folder.is_dir():
        raise InputError(f"{new}: there is no such folder; expected the one where the artifacts lie now")
    changed, places = 0, set[str]()
    with asking(uri), create_engine(uri).begin() as connection:
        for table, key, column in _KEPT:
            rows = connection.execute(text(f"SELECT {key}, {column} FROM {table}")).fetchall()
            found = [
                {"key": name, "value": after + value[len(before) :]}
                for name, value in rows
                if value and (value == before or value.startswith(before + "/"))
            ]
            if table == "runs":  # .../mlartifacts/EXPERIMENT/RUN/artifacts
                places = {value.rsplit("/", 3)[0] for _, value in rows if value}
            if found:
                connection.execute(text(f"UPDATE {table} SET {column} = :value WHERE {key} = :key"), found)
            changed += len(found)
    if not changed:
        shown = ", ".join(sorted(places)[:_MOST_SHOWN]) or "none"
        raise InputError(f"{old}: the tracker has no artifacts there; its artifact locations: {shown}")
    return changed


def _replace(database: sqlite3.Connection, before: str, after: str) -> None:
    with database:
        for table, _, column in _KEPT:
            database.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                (after, len(before) + 1, before, len(before) + 1, f"{before}/"),
            )


def _address(place: str) -> str:
    place = place.rstrip("/")
    return place if urlsplit(place).scheme else Path(place).absolute().as_uri()
