"""MLflow's database in a file: made whole or not at all, whatever is killed and whatever was left."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from harness.errors import InputError
from harness.track.client import connect, load_mlflow


def make_and_die(uri: str, at_call: int) -> None:
    """Begins to make the database in a process that is killed between two of MLflow's migrations' steps."""
    load_mlflow()
    from alembic.operations import Operations

    child = os.fork()
    if not child:
        try:
            alter, calls = Operations.batch_alter_table, iter(range(at_call))

            def alter_or_die(*args: object, **kwargs: object) -> object:
                if next(calls, None) is None:
                    os._exit(9)
                return alter(*args, **kwargs)  # type: ignore[arg-type]

            Operations.batch_alter_table = alter_or_die  # type: ignore[assignment, method-assign]
            connect(uri)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 9


def test_a_kill_while_the_tables_are_made_leaves_no_database_and_the_next_process_makes_it(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    make_and_die(f"sqlite:///{path}", at_call=3)
    assert not path.exists()
    for name in ("mlflow.db.partial", "mlflow.db-wal", "mlflow.db-journal"):
        (tmp_path / name).write_bytes(b"of another database")
    client = connect(f"sqlite:///{path}")
    client.create_experiment("table")
    assert {experiment.name for experiment in client.search_experiments()} == {"Default", "table"}
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert not (tmp_path / "mlflow.db.partial").exists()


def test_tables_that_another_program_left_half_made_are_explained_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE experiments (label INTEGER)")
    with pytest.raises(InputError, match=r"mlflow\.db: .*: expected MLflow's database.*move it aside"):
        connect(f"sqlite:///{path}")
