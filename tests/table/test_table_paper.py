"""``report --style paper`` on tables that the tracker holds."""

from pathlib import Path

from test_table_sensitivity import declare
from typer.testing import CliRunner

from harness.cli.app import app


def report(*words: str) -> str:
    done = CliRunner().invoke(app, ["report", *words])
    return str(done.exception) if done.exception else ""


def test_two_tables_come_alone_and_side_by_side_with_their_claims_apart(folder: Path) -> None:
    for name in ("toy", "other"):
        declare(name=name).run(executor="inprocess", progress=False, formats=(), seeds=[0, 1])
    assert report("toy", "other", "--style", "paper", "--columns", "score,seeds", "--out", "out") == ""
    files = {path.name: path.read_text() for path in (folder / "out").iterdir()}
    assert sorted(files) == ["other-claims.tex", "other.tex", "toy-claims.tex", "toy-other.tex", "toy.tex"]
    assert files["toy-other.tex"].count(r"\caption{") == 2
    assert "Claims" not in files["toy.tex"]
    assert report("toy", "--columns", "score") == "--columns score: needs --style paper"
    assert 'did you mean "score"' in report("toy", "other", "--style", "paper", "--columns", "scor", "--out", "out")
