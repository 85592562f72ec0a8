"""``table.compare`` and ``compare`` on runs of a real table: rows, versions, single runs, and what they refuse."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import working_in
from test_table_sensitivity import declare
from typer.testing import CliRunner

from harness.cli.app import app
from harness.table import Table
from harness.track import list_tables, read_snapshot


def fill() -> Table:
    table = declare()
    table.run(executor="inprocess", progress=False, formats=())
    return table


@pytest.fixture(scope="module")
def filled(common_place: Path) -> None:
    with working_in(common_place):
        fill()


@pytest.fixture
def table(filled: None, in_common_place: Path) -> Table:
    """The table that was filled once for all tests that only read it."""
    return declare()


def ask(*words: str) -> Any:
    done = CliRunner().invoke(app, ["compare", *words, "--json"], catch_exceptions=True)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return json.loads(done.stdout)


def test_a_comparison_of_rows_is_a_frame_a_text_and_a_page(table: Table, tmp_path: Path) -> None:
    """Gain 0.5 against 0.7 in each of four examples under every seed."""
    found = table.compare("plain", "more")
    assert found.metrics().set_index("metric").gain.to_dict() == pytest.approx({"score": 0.2, "loss": -0.2})
    assert found.units().gain.tolist() == pytest.approx([0.2] * 4)
    assert "| gain | 0.5 | 0.7 |" in found.markdown
    assert found._repr_html_().count("data:image/svg+xml") == 1
    assert [path.suffix for path in found.write(tmp_path / "out")] == [".md", ".html", ".svg", ".png"]
    assert ask("toy", "plain", "more")["pairs"][0]["settings"] == [{"key": "gain", "first": 0.5, "second": 0.7}]


def test_versions_say_which_functions_changed_and_by_what_the_numbers_did(folder: Path) -> None:
    fill()
    (old,) = list_tables()
    code = (folder / "toy.py").read_text()
    (folder / "toy.py").write_text(code.replace("0.1 * np.arange(4)", "0.3 * np.arange(4)"))
    fill()
    found = ask(f"toy@{old.parent_id[:9]}", "toy")
    assert found["mixed"] == ["code version"]
    assert [(one["what"], one["parts"]) for one in found["code"]] == [("toy", ["train"])]
    scores = [pair["metrics"][0]["gain"] for pair in found["pairs"]]
    assert scores == pytest.approx([0.3] * 3)  # 0.2 times the mean of 0, 1, 2, 3
    one = ask(f"toy@{old.code[:9]}", "plain", "toy", "more")
    assert one["pairs"][0]["metrics"][0]["gain"] == pytest.approx(0.5)


def test_two_runs_are_found_by_the_start_of_their_ids(table: Table) -> None:
    runs = read_snapshot(None, "toy").runs
    first, second = runs[0], runs[4]
    assert (first.row, first.seed, second.row, second.seed) == ("plain", 0, "more", 1)
    found = ask(first.run_id[:10], second.run_id)
    assert found["pairs"][0]["metrics"][0]["gain"] == pytest.approx(0.21)
    assert found["pairs"][0]["metrics"][0]["interval"] is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["toy", "plain", "mor"], 'table "toy": no row "mor"; did you mean "more"?'),
        (["toy", "plain", "plain"], 'row "plain" is named twice'),
        (["tox", "plain", "more"], 'found no run of the table "tox"; did you mean "toy"?'),
        (["toy@0123456", "toy"], "toy@0123456: the tracker has no results of that commit; "),
        (["toy", "toy"], "both are the same results of the table"),
        (["0123456789ab", "0123456789ac"], "run 0123456789ab: "),
        (["toy"], "compare toy: expected TABLE ROW ROW"),
        (["toy", "plain", "more", "--metric", "scor"], '--metric "scor": did you mean "score"?'),
    ],
)
def test_bad_input_is_one_sentence(table: Table, words: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["compare", *words])
    assert message in str(done.exception)
