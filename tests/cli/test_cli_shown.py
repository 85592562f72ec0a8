"""What is printed: text as it is, tables of any length, JSON that reads well and is written fast."""

import doctest
import json
from typing import Any

import pytest

from harness.cli import show_plan
from harness.display import console


@pytest.mark.parametrize("module", [console, show_plan], ids=lambda module: module.__name__)
def test_the_examples_of_the_docstrings_hold(module: Any) -> None:
    assert doctest.testmod(module).failed == 0


def plan_of(rows: int) -> dict[str, Any]:
    """A plan of rows whose names would be markup to a terminal's library, each with a stage under two seeds."""
    stage = {"kind": "train", "name": "classify", "epochs": 2, "amount": 40, "state": "to run", "resumes_at": None}
    costs = {"parameters": 482_000, "multiply_adds": 8_120_000}
    runs = [{"seed": 0}, {"seed": 1}]
    return {
        "title": "Table [/bold] :dog:",
        "profile": "demo",
        "assumed_data": False,
        "rows": [{"id": f"[red]{n}", "label": "", "factors": ["Softmax"], "runs": runs, **costs} for n in range(rows)],
        "stages": [
            {**stage, "fingerprint": f"{n}{seed}" * 8, "rows": [f"[red]{n}"], "seeds": [seed]}
            for n in range(rows)
            for seed in (0, 1)
        ],
        "sharing": dict.fromkeys(
            ("stages", "stages_unshared", "stages_saved", "epochs", "epochs_unshared", "epochs_saved", "epochs_to_run"),
            1,
        ),
        "estimates": [],
        "refused": [
            {"id": "a", "factors": ["SAC"], "constraint": "table.yaml:5: SAC requires DIL"},
            {"id": "b", "factors": ["SAC"], "constraint": "table.yaml:5: SAC requires DIL"},
        ],
        "controls": [],
        "identified": {
            "main_effects": [],
            "aliases": [],
            "matched_pairs": [],
            "claims": [
                {"text": "helps", "identifiable": True, "reason": "", "also": ""},
                {"text": "wins", "identifiable": False, "reason": 'row "9" is not among these rows', "also": ""},
            ],
            "one_row_more": {"factors": ["Softmax", "DIL"], "main_effects": ["DIL"], "paired": []},
        },
    }


def test_a_plan_shows_any_text_as_it_is_and_takes_together_what_is_alike(capsys: pytest.CaptureFixture[str]) -> None:
    show_plan.show_plan(plan_of(2), "market1501 in /data/[a]")
    shown = capsys.readouterr().out
    assert shown.startswith("Table [/bold] :dog: · profile demo · market1501 in /data/[a]\n")
    (line,) = (line for line in shown.splitlines() if "classify" in line and "[red]1" in line)
    assert [cell.strip() for cell in line.strip("│").split("│")] == [
        "classify", "[red]1", "0, 1", "2", "40 each", "to run", "10101010 11111111"
    ]  # fmt: skip
    assert "482 k" in shown
    assert "8.12 M" in shown
    assert "Refused: 2 rows a, b: table.yaml:5: SAC requires DIL\n" in shown
    assert "Testable claims: 1 of 2.\n" in shown
    assert 'Claim that cannot be tested: "wins": row "9" is not among these rows.\n' in shown
    assert "Most informative additional row: Softmax + DIL (main effect of DIL).\n" in shown
    assert "more lines" not in shown


def test_a_plan_of_very_many_rows_says_how_many_lines_it_leaves_out(capsys: pytest.CaptureFixture[str]) -> None:
    show_plan.show_plan(plan_of(1_300), "market1501")
    shown = capsys.readouterr().out
    assert shown.count("and 1,100 more lines: --json lists all") == 2
    assert shown.count("[red]") == 400


@pytest.mark.parametrize("answer", [{}, [], None, {"a": {"b": [{}, []]}, "ä": [1.5, "x\n"]}, [[1, [2]], {"c": True}]])
def test_what_is_printed_as_json_is_the_answer(answer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    console.print_json(answer)
    assert json.loads(capsys.readouterr().out) == answer
