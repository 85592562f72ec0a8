"""A report never replaces something better: a file that git tracks, or the report of a whole table."""

import subprocess
from pathlib import Path

import pytest
from conftest import PLAIN, answer, run_harness

pytestmark = pytest.mark.slow

INPROCESS = ("--executor", "inprocess")

TRACKED = "note: git tracks reports/toy.md and 1 other file of the report"


def git(place: Path, *words: str) -> str:
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    return subprocess.run(["git", *identity, *words], cwd=place, check=True, capture_output=True, text=True).stdout


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_a_run_of_part_of_a_table_keeps_the_rest_and_never_replaces_a_fuller_report(toy_place: Path) -> None:
    report, aside = toy_place / "reports" / "toy.md", toy_place / ".harness" / "reports" / "toy.md"

    # With no other report, it is written.
    run_harness(toy_place, "run", "toy.yaml", *PLAIN, *INPROCESS, "--rows", "plain", "--seeds", "0")
    assert "not run" in text_of(report)
    run_harness(toy_place, "run", "toy.yaml", *PLAIN, *INPROCESS)
    whole = text_of(report)
    assert "not run" not in whole

    # With the same code, it keeps what the tracker knows about the rest.
    done = run_harness(toy_place, "run", "toy.yaml", *PLAIN, *INPROCESS, "--rows", "plain", "--seeds", "0")
    assert "stays as it is" not in done.stderr
    assert text_of(report) == whole

    # With other code, the rest is not comparable.
    code = toy_place / "toy.py"
    code.write_text(text_of(code).replace("/ 100", "/ 200"), encoding="utf-8")
    done = run_harness(toy_place, "run", "toy.yaml", *PLAIN, *INPROCESS, "--rows", "plain", "--json")
    assert "note: reports/toy.md is of another run, with rows that this one lacks, and stays as it is" in done.stderr
    assert answer(done)["reports"][0] == str(aside)
    assert text_of(report) == whole
    assert "not run" in text_of(aside)


def test_stored_results_of_the_rest_are_reported_with_a_tracker_that_never_saw_them(
    toy_place: Path, empty_tracker: Path
) -> None:
    run_harness(toy_place, "run", "toy.yaml", *PLAIN, *INPROCESS)
    (toy_place / "mlflow.db").write_bytes((empty_tracker / "mlflow.db").read_bytes())
    for left in toy_place.glob("mlflow.db-*"):
        left.unlink()
    done = answer(run_harness(toy_place, "run", "toy.yaml", *PLAIN, *INPROCESS, "--rows", "plain", "--json"))
    assert done["stages"]["trained"] == 0
    assert "not run" not in text_of(toy_place / "reports" / "toy.md")


def test_files_tracked_by_git_change_only_for_an_explicit_folder_and_a_note_says_so(toy_place: Path) -> None:
    git(toy_place, "init", "-q")
    shown = toy_place / "reports" / "toy.md"
    (shown.parent / "figures").mkdir(parents=True)
    shown.write_text("# Shown\n", encoding="utf-8")
    (shown.parent / "figures" / "toy-results.png").write_bytes(b"a picture")
    git(toy_place, "add", "reports")
    git(toy_place, "commit", "-qm", "shown")

    for words in (("run", "toy.yaml", *INPROCESS), ("report", "toy")):
        done = run_harness(toy_place, *words)
        assert f"{TRACKED}, so nothing is changed there" in done.stderr
        assert git(toy_place, "status", "--porcelain", "--", "reports") == ""
    assert (toy_place / ".harness" / "reports" / "toy.md").is_file()

    done = run_harness(toy_place, "report", "toy", "--out", "reports")
    assert f"{TRACKED}: `git diff` shows what changed" in done.stderr
    assert git(toy_place, "status", "--porcelain", "--", "reports").startswith(" M reports/figures/toy-results.png")


@pytest.mark.parametrize("command", ["run", "report", "search"])
def test_the_help_states_the_rule(command: str, toy_place: Path) -> None:
    printed = " ".join(run_harness(toy_place, command, "--help").stdout.split())
    assert "Default: reports; but if that would overwrite files that git tracks" in printed
