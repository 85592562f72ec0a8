"""Services that the tests of several rooms need."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

_INSTALLED = Path("/usr/lib/postgresql")
"""Where Debian keeps the server's programs, a folder a version."""


def _programs() -> Path | None:
    """The folder of the newest PostgreSQL server here."""
    versions = sorted(_INSTALLED.glob("*/bin/postgres"), key=lambda path: float(path.parent.parent.name))
    on_path = shutil.which("postgres")
    return versions[-1].parent if versions else Path(on_path).parent if on_path else None


@pytest.fixture(scope="session")
def postgresql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL of the tests' own, on a socket in its own folder; yields the query part of its addresses."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    pytest.importorskip("psycopg", reason="its driver is not installed: uv sync --extra postgresql")
    # The server refuses to run as root: Debian's own user runs it there.
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder = Path(f"/var/tmp/harness-postgresql-{os.getpid()}")  # a socket's path is short, and its user may enter
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


_databases = count()


@pytest.fixture
def postgresql(postgresql_server: str) -> str:
    """The address of an empty database."""
    import psycopg

    name = f"test{next(_databases)}"
    words = postgresql_server.replace("&", " ")
    with psycopg.connect(f"{words} dbname=postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
    return f"postgresql+psycopg:///{name}?{postgresql_server}"
