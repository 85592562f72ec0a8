"""The main job through the real command line: run, run again and report; a failing row; reuse."""

import sqlite3
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from conftest import DEMO, PLAIN, STAGES, TWO_AT_ONCE, Command, Filled, answer, run_harness, tracked_runs

METRICS = ("mAP", "rank1")


def files_of(folder: Path) -> dict[Path, bytes]:
    """Every file below a folder, by its relative path."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows_of(place: Path) -> list[str]:
    """The entire contents of the tracker's database."""
    with sqlite3.connect(place / "mlflow.db") as database:
        return list(database.iterdump())


def test_a_table_is_filled_tracked_and_reported_and_a_second_run_trains_nothing(
    filled: Filled, photographs: Path
) -> None:
    place, first = filled.place, filled.answer
    assert first["stages"] == {"trained": STAGES, "cached": 0, "failed": 0, "not_run": 0}
    assert [row["id"] for row in first["rows"]] == ["1", "3", "8"]
    assert [row["id"] for row in first["refused"]] == ["no"]
    assert all(0.0 < row["metrics"]["mAP"] < 1.0 for row in first["rows"])
    report = (place / "reports" / "tiny.md").read_text(encoding="utf-8")
    for row in first["rows"]:
        assert f"{100 * row['metrics']['mAP']:.1f}" in report
    assert "synthetic" in report.splitlines()[0] + report.splitlines()[2]

    again = run_harness(place, "run", "tiny.yaml", *DEMO, "--data", photographs, "--json")
    assert answer(again)["stages"] == {"trained": 0, "cached": STAGES, "failed": 0, "not_run": 0}
    assert "nothing to train" in again.stderr
    assert answer(again)["rows"] == [{**row, "status": "cached"} for row in first["rows"]]
    written = files_of(place / "reports")
    assert written[Path("tiny.md")].decode() == report

    tracked = rows_of(place)
    table = answer(run_harness(place, "report", "tiny", "--json"))["tables"][0]
    assert [row["id"] for row in table["rows"]] == ["1", "3", "8"]
    assert table["rows"][0]["metrics"]["mAP"]["measured"]["mean"] == first["rows"][0]["metrics"]["mAP"]
    assert files_of(place / "reports") == written
    assert rows_of(place) == tracked, "a report changes nothing in the tracker"


def test_the_parent_run_holds_the_report_its_figures_and_the_means_of_the_rows(filled: Filled) -> None:
    place = filled.place
    tracked = tracked_runs(place)
    (parent,) = (run for run in tracked if run.data.tags["harness.kind"] == "table")
    means = {f"{name}/row {row['id']}": row["metrics"][name] for row in filled.answer["rows"] for name in METRICS}
    assert parent.data.metrics == means  # one seed, so no interval
    assert parent.data.tags["mlflow.note.content"].startswith("# A tiny table")
    (device,) = {run.data.tags["harness.device"] for run in tracked if run is not parent}
    assert f"| device | {device} |" in (place / "reports" / "tiny.md").read_text(encoding="utf-8")
    kept = files_of(Path(url2pathname(urlsplit(parent.info.artifact_uri).path)))
    written = files_of(place / "reports")
    assert Path("figures/tiny-curves.svg") in written
    assert kept[Path("report.md")] == written.pop(Path("tiny.md"))
    assert {name: kept.get(name) for name in written} == written


def test_a_plan_shows_what_is_shared_what_is_cached_and_what_it_would_cost(
    harness: Command, place: Path, photographs: Path, filled: Filled
) -> None:
    plan = ("plan", "tiny.yaml", *DEMO, "--data", photographs, "--json")
    before = answer(harness(*plan))
    # Stages: 3 + 3 + 3 without sharing, less the classify stage that rows 1 and 3 share; row 1 has no metric loss.
    assert before["sharing"]["stages"] == STAGES
    assert before["sharing"]["stages_saved"] == 1
    assert {stage["state"] for stage in before["stages"]} == {"to run"}
    assert [row["id"] for row in before["refused"]] == ["no"]
    assert before["estimates"] == []

    filled.lend_store(place)
    after = answer(harness(*plan))
    assert {stage["state"] for stage in after["stages"]} == {"cached"}
    assert after["sharing"]["epochs_to_run"] == 0
    assert after["version_differences"] == []


def test_a_probe_is_kept_labels_its_estimate_and_disturbs_no_stage(
    harness: Command, place: Path, photographs: Path
) -> None:
    plan = ("plan", "tiny.yaml", *TWO_AT_ONCE, "--rows", "1", "--data", photographs)
    before = harness(*plan)
    assert "No estimate: " in before.stdout
    probed = harness(*plan, "--probe", "--json")
    assert "probing 2 kinds of stage" in probed.stderr
    (estimate,) = answer(probed)["estimates"]
    assert estimate["device_hours"] > 0.0
    assert estimate["stages_of_probed_speed"] == 2
    assert estimate["stages_of_unknown_speed"] == 0
    assert estimate["probe_steps"] >= 10
    assert estimate["stages_at_a_time"] == 2

    later = harness(*plan, "--probe")
    assert "probing" not in later.stderr  # kept
    assert (
        f"2 stages as measured by a probe of {estimate['probe_steps']} steps on {estimate['device']}." in later.stdout
    )
    unsaid = ("Estimate on", "  2 stages as")
    without = [line for line in later.stdout.splitlines() if not line.startswith(unsaid)]
    assert without == [line for line in before.stdout.splitlines() if not line.startswith("No estimate")]
    assert not (place / ".harness" / "stages").exists()


def test_a_failing_row_shows_its_reason_and_the_other_rows_their_numbers(
    harness: Command, place: Path, photographs: Path, filled: Filled
) -> None:
    filled.lend_store(place)
    table = (place / "tiny.yaml").read_text(encoding="utf-8")
    row = "factors: [Softmax, Quadruplet], paper"
    diverging = "factors: [Softmax, Quadruplet], set: {stages.metric.optimizer.lr: 1e30}, paper"
    (place / "tiny.yaml").write_text(table.replace(row, diverging), encoding="utf-8")
    done = harness("run", "tiny.yaml", *PLAIN, *DEMO, "--data", photographs, "--json", code=1)
    rows = {row["id"]: row for row in answer(done)["rows"]}
    assert rows["3"]["metrics"] is None
    assert rows["3"]["status"] == "not_run"
    assert rows["1"]["metrics"] is not None
    report = (place / "reports" / "tiny.md").read_text(encoding="utf-8")
    assert 'not run: parent failed: stage "metric"' in report
    assert "diverged at step" in report
    shown = [line for line in done.stderr.splitlines() if "not run" in line]
    assert [line.count("not run") for line in shown] == [1]
