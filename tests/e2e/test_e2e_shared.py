"""The real command line on a store in S3: one machine reuses what another trained. Each machine is a folder here."""

from pathlib import Path

from conftest import DEMO, PLAIN, MakePlace, answer, run_harness, steps_of, tracked_runs

SHORT = ("--rows", "1", "--seeds", "0", "--set", "stages.classify.epochs=1", "--workers", "1")
ONE_ROW = ("run", "tiny.yaml", *PLAIN, *DEMO, *SHORT, "--json")


def test_a_second_machine_trains_nothing_and_tracks_the_same(
    make_place: MakePlace, photographs: Path, s3_bucket: str
) -> None:
    store = ("--store", f"{s3_bucket}/ablations")
    first, second = make_place(), make_place()
    trained = answer(run_harness(first, *ONE_ROW, "--data", photographs, *store))
    assert trained["stages"] == {"trained": 2, "cached": 0, "failed": 0, "not_run": 0}
    assert not (first / "s3:").exists()

    again = answer(run_harness(second, *ONE_ROW, "--data", photographs, *store))
    assert again["stages"] == {"trained": 0, "cached": 2, "failed": 0, "not_run": 0}
    assert [row["metrics"] for row in again["rows"]] == [row["metrics"] for row in trained["rows"]]
    ours, theirs = ([run for run in tracked_runs(place) if "mAP" in run.data.metrics] for place in (second, first))
    assert [run.info.status for run in ours] == ["FINISHED"]
    assert ours[0].data.metrics == theirs[0].data.metrics
    assert steps_of(second, ours[0]) == steps_of(first, theirs[0]) != []

    entries = answer(run_harness(second, "cache", "list", "--json", *store))
    assert {entry["state"] for entry in entries} == {"complete"}
    (table,) = {table for entry in entries for table in entry["tables"]}
    assert "2 stages checked, 0 damaged" in run_harness(second, "cache", "verify", *store).stdout
    assert "2 stages deleted" in run_harness(second, "cache", "gc", "--forget", table, *store).stdout


def test_a_missing_bucket_is_reported_in_one_sentence(tmp_path: Path, s3_environment: None) -> None:
    stderr = run_harness(tmp_path, "cache", "list", "--store", "s3://nowhere/x", code=2).stderr
    assert stderr == 'error: s3://nowhere/x: there is no bucket "nowhere"; create it, or name another\n'
