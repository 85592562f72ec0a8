"""Commands whose tracker cannot be queried; every way in which it can be wrong is in ``test_track_probe``."""

import time
from pathlib import Path

import pytest
from conftest import PLAIN, answer, run_harness
from trackers import PAGE, http_server, silent_server

pytestmark = pytest.mark.slow

IN_TIME_S = 600.0
"""By itself, MLflow waits two minutes for an answer and retries seven times."""
INPROCESS = ("--executor", "inprocess", *PLAIN)


@pytest.mark.parametrize("words", [("report", "toy"), ("report",), ("ui",), ("sync",)], ids=" ".join)
def test_a_silent_tracker_ends_a_command_that_needs_it_with_one_sentence(
    words: tuple[str, ...], toy_place: Path
) -> None:
    with silent_server() as place:
        address = f"http://me:s3cret@{place}"
        started = time.monotonic()
        done = run_harness(toy_place, *words, code=2, MLFLOW_TRACKING_URI=address)
        took_s = time.monotonic() - started
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert errors == [
        f"error: the tracker http://{place} does not answer (waited 8 s): restart it, or set MLFLOW_TRACKING_URI to "
        "the address of one that does"
    ]
    assert "s3cret" not in done.stdout + done.stderr
    assert took_s < IN_TIME_S


def test_doctor_reports_an_unreachable_tracker_as_a_problem(toy_place: Path) -> None:
    done = run_harness(toy_place, "doctor", "--json", code=1, MLFLOW_TRACKING_URI="http://me:s3cret@127.0.0.1:9")
    (found,) = [finding for finding in answer(done) if finding["what"] == "tracker"]
    assert found["state"] == "problem"
    assert found["message"].startswith("the tracker http://127.0.0.1:9 cannot be reached (Connection refused)")


def test_a_run_continues_without_its_tracker_says_so_and_delivers_later(toy_place: Path) -> None:
    with http_server(200, PAGE) as place:
        wrong = f"http://me:s3cret@{place}"
        done = run_harness(toy_place, "run", "toy.yaml", *INPROCESS, MLFLOW_TRACKING_URI=wrong)
    assert "0.500" in done.stdout
    assert "no report: the tracker does not answer" in done.stdout
    assert done.stderr.count("; until then results wait in the store") == 1
    assert f"the tracker's address http://{place} leads to a server that is not MLflow" in done.stderr
    assert "`harness sync` or the next run delivers them, once" in done.stderr
    assert "s3cret" not in done.stdout + done.stderr
    again = answer(run_harness(toy_place, "run", "toy.yaml", *INPROCESS, "--json"))
    assert again["stages"]["trained"] == 0
    assert (toy_place / "reports" / "toy.md").is_file()


def test_a_run_whose_tracker_can_never_accept_results_is_refused_before_anything_is_trained(toy_place: Path) -> None:
    for wrong, found in (
        ("file:///tmp/mlruns", "is a folder"),
        ("mysql+x://me:s3cret@host/db", 'there is no driver "x"'),
    ):
        done = run_harness(toy_place, "run", "toy.yaml", *INPROCESS, code=2, MLFLOW_TRACKING_URI=wrong)
        assert found in done.stderr
        assert "s3cret" not in done.stderr
    assert not list(toy_place.glob(".harness/stages/*/*"))
