import os
import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from toy_faults import Death, failing

import harness.track.courier
import harness.track.delivery
import harness.track.tracker
from harness.errors import InputError
from harness.spool import SpoolWriter, last_step
from harness.track import Delivery, Tracker, list_tables, read_snapshot, sync
from harness.track.client import connect
from harness.track.delivery import Deliverer, TrackerUnreachableError
from harness.track.identity import Owner
from harness.track.outbox import Outbox
from harness.track.state import RunState

NOW = 1_700_000_000_000
FACTORS = ("Softmax", "Quadruplet", "SAC")
DECLARATION = {
    "title": "Ablation",
    "metrics": ["mAP"],
    "rows": [{"id": name, "factors": dict.fromkeys(FACTORS, True)} for name in ("8", "1")],
}
PROVENANCE = {
    "profile": "demo",
    "dataset": "market1501",
    "dataset_fingerprint": "0123456789abcdef0123",
    "synthetic": "true",
    "commit": "c0ffee",
}
CLOSED_PORT = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness.track.courier, "INTERVAL_S", 0.05)
    monkeypatch.setattr(harness.track.courier, "FIRST_BACKOFF_S", 0.05)
    monkeypatch.setattr(harness.track.courier, "HURRIED_S", 0.05)


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return write_spool(tmp_path / "stage" / "spool.jsonl", 1, 30)


def write_spool(path: Path, first: int, last: int, time_ms: int = NOW) -> Path:
    with SpoolWriter(path) as writer:
        for step in range(first, last + 1):
            writer.write(step, step / 10, {"loss": 1 / step, "lr": 0.1}, time_ms + step)
    return path


def open_table(tracker: Tracker, key: str = "T", profile: str = "demo") -> None:
    provenance = {**PROVENANCE, "profile": profile}
    tracker.open_table(key, table="table1", declaration=DECLARATION, provenance=provenance, dataset_source="/data")


def open_run(tracker: Tracker, key: str, row: str = "8", seed: int = 0, *, sac: bool = True) -> None:
    tracker.open_run(
        key,
        table_key="T",
        row=row,
        seed=seed,
        name=f"{row} · Softmax · seed {seed}",
        factors={"Softmax": True, "SAC": sac},
        params={"backbone": "resnet18", "eps1": 0.5},
        recipe_yaml="model: {}\n",
        provenance=PROVENANCE,
        dataset_source="/data",
    )


def runs_of(uri: str, query: str = "") -> dict[str, Any]:
    client = connect(uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    found = client.search_runs(experiments, query)
    runs = {run.data.tags["harness.key"]: run for run in found}
    assert len(runs) == len(found), "one key, one run"
    return runs


def stored_steps(uri: str, key: str, metric: str = "train/loss") -> list[int]:
    run_id = runs_of(uri)[key].info.run_id
    return sorted(metric.step for metric in connect(uri).get_metric_history(run_id, metric))


def documents(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "outbox").rglob("*.json"))


def bury(paths: list[Path]) -> None:
    """Has documents say that a dead process wrote them."""
    for path in paths:
        owner = Owner.this_process()
        path.write_text(path.read_text().replace(str(owner), str(replace(owner, started="1"))))


# What arrives ---------------------------------------------------------------------------------------------------------


def test_a_table_arrives_as_one_parent_and_a_run_for_each_row_and_seed(uri: str, tmp_path: Path, spool: Path) -> None:
    files = tmp_path / "results"
    files.mkdir()
    (files / "per_query.npz").write_bytes(b"npz")
    tracker = Tracker(uri, tmp_path / "outbox")
    open_table(tracker)
    open_run(tracker, "T/8/0")
    tracker.deliver("T/8/0", spool, 0)
    tracker.finish_run("T/8/0", {"mAP": 0.816, "seconds": 61.5}, files=[files])
    open_run(tracker, "T/1/0", row="1", sac=False)
    tracker.deliver("T/1/0", spool, 0)
    tracker.fail_run("T/1/0", "the loss became NaN at step 31")
    tracker.finish_table("T", succeeded=False, report="# Table 1\n", row_metrics={("mAP", "8", ""): 0.816})
    assert str(tracker.close()) == "the tracker has everything"

    runs = runs_of(uri)
    parent, run = runs["T"], runs["T/8/0"]
    assert run.info.run_name == "8 · Softmax · seed 0"
    assert run.data.params == {
        "row": "8", "seed": "0", "Softmax": "on", "SAC": "on", "backbone": "resnet18", "eps1": "0.5"
    }  # fmt: skip
    assert run.data.metrics == {
        "mAP": 0.816, "seconds": 61.5, "train/loss": 1 / 30, "train/lr": 0.1, "train/epoch": 3.0
    }  # fmt: skip
    assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert {run.data.tags[f"harness.{name}"] for name in PROVENANCE} == set(PROVENANCE.values())
    (dataset,) = run.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("market1501", "0123456789abcdef")
    assert (run.info.status, parent.info.status) == ("FINISHED", "FAILED")
    assert parent.data.tags["mlflow.note.content"] == "# Table 1\n"
    assert stored_steps(uri, "T/8/0") == stored_steps(uri, "T/1/0") == list(range(1, 31))
    assert documents(tmp_path) == []


def test_runs_are_found_by_factor_table_profile_and_data_set(uri: str, tmp_path: Path) -> None:
    tracker = Tracker(uri, tmp_path / "outbox")
    open_table(tracker)
    open_run(tracker, "with", sac=True)
    open_run(tracker, "without", row="1", sac=False)
    tracker.close()
    import mlflow

    mlflow.set_tracking_uri(uri)
    places = "tags.`harness.table` = 'table1' AND tags.`harness.profile` = 'demo'"
    for data in ("tags.`harness.dataset` = 'market1501'", "dataset.name = 'market1501'"):
        query = f"params.SAC = 'on' AND {places} AND {data}"
        found = mlflow.search_runs(search_all_experiments=True, filter_string=query)
        assert list(found["tags.harness.key"]) == ["with"]
    for other in ("params.SAC = 'off'", "dataset.name = 'cifar100'", "tags.`harness.table` = 'table2'"):
        found = mlflow.search_runs(
            search_all_experiments=True, filter_string=f"tags.`harness.key` = 'with' AND {other}"
        )
        assert found.empty


def test_a_snapshot_holds_what_was_said(uri: str, tmp_path: Path, spool: Path) -> None:
    test_a_table_arrives_as_one_parent_and_a_run_for_each_row_and_seed(uri, tmp_path, spool)
    snapshot = read_snapshot(uri, "table1", profile="demo")
    assert snapshot == read_snapshot(uri, "table1", parent_id=snapshot.parent_id)
    assert (snapshot.table, snapshot.declaration, dict(snapshot.provenance)) == ("table1", DECLARATION, PROVENANCE)
    full, base = snapshot.runs  # the declaration's order: 8 before 1
    assert (full.row, full.seed, full.status, full.reason) == ("8", 0, "finished", "")
    assert full.metrics == {"mAP": 0.816, "seconds": 61.5}
    assert full.artifacts is not None
    assert (full.artifacts / "per_query.npz").read_bytes() == b"npz"
    assert (full.artifacts / "recipe.yaml").read_text() == "model: {}\n"
    assert full.url is None
    assert (base.row, base.status, base.reason) == ("1", "failed", "the loss became NaN at step 31")


def test_the_latest_table_is_the_one_that_was_run_last_not_the_one_that_was_created_last(
    uri: str, tmp_path: Path
) -> None:
    for key, profile in (("T", "demo"), ("P", "paper"), ("T", "demo")):
        tracker = Tracker(uri, tmp_path / "outbox")
        open_table(tracker, key, profile)
        tracker.finish_table(key, succeeded=True)
        assert tracker.close().undelivered == 0
    assert [entry.profile for entry in list_tables(uri)] == ["demo", "paper"]
    assert read_snapshot(uri, "table1").provenance["profile"] == "demo"
    assert read_snapshot(uri, "table1", profile="paper").provenance["profile"] == "paper"


def test_what_is_not_there_is_reported_with_what_is(uri: str, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r'no run of the table "table1"; it holds no tables yet: make one with `python'
    ):
        read_snapshot(uri, "table1")
    missing = tmp_path / "elsewhere" / "mlflow.db"
    with pytest.raises(InputError, match="holds no tables yet"):
        read_snapshot(f"sqlite:///{missing}", "table1")
    assert not missing.parent.exists()
    tracker = Tracker(uri, tmp_path / "outbox")
    open_table(tracker)
    tracker.close()
    with pytest.raises(InputError, match=r'table "tabel1"; did you mean "table1"\?'):
        read_snapshot(uri, "tabel1")
    with pytest.raises(InputError, match=r'under the profile "paper"; expected one of: demo \([0-9a-f]+\)'):
        read_snapshot(uri, "table1", profile="paper")


@pytest.mark.parametrize("damage", ["text", "folder"])
def test_a_file_that_is_no_database_is_reported_with_its_name(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "mlflow.db"
    path.write_text("no database\n" * 100) if damage == "text" else path.mkdir()
    with pytest.raises(InputError, match=r"mlflow\.db: .* expected MLflow's database"):
        list_tables(f"sqlite:///{path}")


def test_after_a_flush_the_table_can_be_read_and_more_can_be_said(uri: str, tmp_path: Path, spool: Path) -> None:
    tracker = Tracker(uri, tmp_path / "outbox")
    open_table(tracker)
    open_run(tracker, "r")
    tracker.deliver("r", spool, 0)
    tracker.finish_run("r", {"mAP": 0.5})
    assert tracker.flush().undelivered == 0
    assert tracker.flush().undelivered == 0
    (run,) = read_snapshot(uri, "table1", key="T").runs
    assert (run.status, run.metrics) == ("finished", {"mAP": 0.5})
    tracker.finish_table("T", succeeded=True, report="# Table 1\n")
    assert tracker.close().undelivered == 0
    assert runs_of(uri)["T"].info.status == "FINISHED"


def test_a_flush_waits_as_long_as_something_is_delivered(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every run takes half a minute of a clock that the test turns: all of them take longer than the patience."""
    late_s, terminate = 0.0, type(connect(uri)).set_terminated

    def terminate_slowly(*arguments: Any) -> None:
        nonlocal late_s
        terminate(*arguments)
        late_s += 30.0

    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + late_s, sleep=time.sleep)
    monkeypatch.setattr(type(connect(uri)), "set_terminated", terminate_slowly)
    monkeypatch.setattr(harness.track.courier, "time", clock)
    tracker = Tracker(uri, tmp_path / "outbox")
    open_table(tracker)
    for name in "abcd":
        open_run(tracker, name)
        tracker.finish_run(name, {"mAP": 0.5})
    assert tracker.flush(patience_s=100.0).undelivered == 0
    assert late_s >= 4 * 30.0
    monkeypatch.undo()
    tracker.close()


def test_a_run_must_be_opened_before_anything_is_said_about_it(uri: str, tmp_path: Path, spool: Path) -> None:
    tracker = Tracker(uri, tmp_path / "outbox")
    with pytest.raises(ValueError, match='the run "x" was not opened'):
        tracker.deliver("x", spool, 0)
    with pytest.raises(ValueError, match='the run "x" was not opened'):
        tracker.finish_run("x", {})
    tracker.close()


def test_a_report_longer_than_a_description_is_cut_at_a_line_and_kept_whole(uri: str, tmp_path: Path) -> None:
    report = "| a line of the table |\n" * 1000
    tracker = Tracker(uri, tmp_path / "outbox")
    open_table(tracker)
    tracker.finish_table("T", succeeded=True, report=report)
    tracker.close()
    parent = runs_of(uri)["T"]
    description = parent.data.tags["mlflow.note.content"]
    assert len(description) <= 8000
    assert description.endswith("table |\n\n… the rest is in the artifact report.md")
    assert (tmp_path / "mlartifacts" / "table1" / parent.info.run_id / "artifacts" / "report.md").read_text() == report


# Once, and all of it --------------------------------------------------------------------------------------------------


def test_a_spool_is_delivered_while_it_grows_and_stages_continue_each_others_steps(uri: str, tmp_path: Path) -> None:
    first, second = tmp_path / "classify", tmp_path / "metric"
    tracker = Tracker(uri, tmp_path / "outbox")
    open_table(tracker)
    open_run(tracker, "r")
    tracker.deliver("r", first, 0)
    write_spool(first, 1, 10)
    wait_until(lambda: "r" in runs_of(uri) and stored_steps(uri, "r") == list(range(1, 11)))
    write_spool(first, 11, 20)
    tracker.deliver("r", second, last_step(first))
    write_spool(second, 1, 5)
    tracker.finish_run("r", {"mAP": 0.5})
    tracker.close()
    assert stored_steps(uri, "r") == list(range(1, 26))
    assert stored_steps(uri, "r", "mAP") == [0]


def test_steps_that_a_resumed_stage_replays_are_not_stored_again(uri: str, tmp_path: Path, spool: Path) -> None:
    first = Tracker(uri, tmp_path / "outbox")
    open_table(first)
    open_run(first, "r")
    first.deliver("r", spool, 0)
    first.kill_run("r")
    first.close()
    assert runs_of(uri)["r"].info.status == "KILLED"

    with SpoolWriter(spool) as writer:
        writer.truncate(0)
    write_spool(spool, 1, 40, NOW + 1_000_000)
    second = Tracker(uri, tmp_path / "outbox")
    open_table(second)
    open_run(second, "r")
    second.deliver("r", spool, 0)
    second.finish_run("r", {"mAP": 0.5})
    second.close()
    run = runs_of(uri)["r"]
    assert (run.info.status, "harness.reason" in run.data.tags) == ("FINISHED", False)
    assert stored_steps(uri, "r") == list(range(1, 41))


def test_a_finished_run_that_is_opened_again_stays_as_it_is(uri: str, tmp_path: Path, spool: Path) -> None:
    for attempt in range(2):
        tracker = Tracker(uri, tmp_path / "outbox")
        open_table(tracker)
        open_run(tracker, "r")
        tracker.deliver("r", spool, 0)
        tracker.finish_run("r", {"mAP": 0.5 + attempt})
        tracker.close()
    run = runs_of(uri)["r"]
    assert (run.info.status, run.data.metrics["mAP"]) == ("FINISHED", 0.5)
    assert stored_steps(uri, "r") == list(range(1, 31))
    assert stored_steps(uri, "r", "mAP") == [0]


class NoCourier:
    """Delivers nothing."""

    def __init__(self, *_: object) -> None: ...

    def wake(self) -> None: ...

    def flush(self, patience_s: float) -> Delivery:
        return Delivery(0)

    def finish(self, patience_s: float) -> Delivery:
        return Delivery(0)


def silent_tracker(uri: str, outbox: Path) -> Tracker:
    """A tracker that only writes to the outbox."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(harness.track.tracker, "Courier", NoCourier)
        return Tracker(uri, outbox)


def say_everything(uri: str, tmp_path: Path, spool: Path) -> None:
    """Fills the outbox with a whole table, which a killed process had begun, without delivering any of it."""
    open_table(silent_tracker(uri, tmp_path / "outbox"))
    bury(documents(tmp_path))
    tracker = silent_tracker(uri, tmp_path / "outbox")
    open_table(tracker)
    for row in ("8", "1"):
        open_run(tracker, row, row=row)
        tracker.deliver(row, spool, 0)
        tracker.finish_run(row, {"mAP": 0.5, "rank1": 0.7}, files=[spool])
    tracker.finish_table("T", succeeded=True, report="# Table 1\n", row_metrics={("mAP", "8", ""): 0.5})
    tracker.close()


def assert_everything_once(uri: str) -> None:
    runs = runs_of(uri)
    assert {key: run.info.status for key, run in runs.items()} == dict.fromkeys(("T", "8", "1"), "FINISHED")
    for row in ("8", "1"):
        for metric, steps in (
            ("train/loss", range(1, 31)),
            ("train/epoch", range(1, 31)),
            ("mAP", [0]),
            ("rank1", [0]),
        ):
            assert stored_steps(uri, row, metric) == list(steps)
    assert stored_steps(uri, "T", "mAP/row 8") == [0]
    assert runs["T"].data.tags["mlflow.note.content"] == "# Table 1\n"


@pytest.mark.parametrize("after", [False, True], ids=["before a call", "after a call"])
def test_a_deliverer_that_dies_at_any_call_is_continued_without_a_gap_or_a_duplicate(
    uri: str, tmp_path: Path, spool: Path, after: bool
) -> None:
    say_everything(uri, tmp_path, spool)
    deaths = 0
    for calls in range(1000):
        # Each successor gets a little further: what is done stays done, what is not is done again.
        with failing(uri, calls // 3, Death(), after=after):
            try:
                Deliverer(uri, Outbox(tmp_path / "outbox", uri)).pump()
                break
            except Death:
                deaths += 1
    assert deaths > 20
    assert_everything_once(uri)


def test_a_killed_delivering_process_is_continued_without_a_gap_or_a_duplicate(
    uri: str, tmp_path: Path, spool: Path
) -> None:
    say_everything(uri, tmp_path, spool)
    generator, kills = random.Random(0), 0
    while documents(tmp_path):
        child = os.fork()
        if not child:
            try:
                # The parent has not touched this store yet, so no connection is shared.
                Deliverer(uri, Outbox(tmp_path / "outbox", uri)).pump()
            finally:
                os._exit(0)
        time.sleep(generator.uniform(0.0, 0.05) + 0.03 * kills)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        kills += 1
    assert kills > 3
    assert_everything_once(uri)


def test_what_is_open_when_a_tracker_is_closed_was_killed(uri: str, tmp_path: Path, spool: Path) -> None:
    tracker = Tracker(uri, tmp_path / "outbox")
    open_table(tracker)
    open_run(tracker, "r")
    tracker.deliver("r", spool, 0)
    assert tracker.close().undelivered == 0
    assert {run.info.status for run in runs_of(uri).values()} == {"KILLED"}
    assert stored_steps(uri, "r") == list(range(1, 31))
    assert documents(tmp_path) == []


def test_an_end_that_an_interruption_keeps_from_the_disk_is_written_by_the_next_call(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = Tracker(uri, tmp_path / "outbox")
    open_table(tracker)
    open_run(tracker, "r")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", interrupt)
        with pytest.raises(KeyboardInterrupt):
            tracker.finish_run("r", {"mAP": 0.5})
    tracker.kill_run("r")
    tracker.close()
    run = runs_of(uri)["r"]
    assert (run.info.status, run.data.metrics, "harness.reason" in run.data.tags) == ("FINISHED", {"mAP": 0.5}, False)


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_short_run_reaches_the_tracker_in_the_fewest_requests(uri: str, tmp_path: Path, spool: Path) -> None:
    """It is searched by its key, created with all its tags, given its data set and one batch, and ended."""
    say_everything(uri, tmp_path, spool)
    asked: list[str] = []

    class Watched:
        def __getattr__(self, name: str) -> Any:
            value = getattr(connect(uri), name)
            if callable(value):
                asked.append(name)
            return value

    with pytest.MonkeyPatch.context() as patch:
        for module in (harness.track.delivery, harness.track.client):
            patch.setattr(module, "connect", lambda _: Watched())
        Deliverer(uri, Outbox(tmp_path / "outbox", uri)).pump()
    requests = ["search_runs", "create_run", "log_inputs", "log_batch", "set_terminated"]
    assert asked[-10:] == [*requests, *requests]


def test_runs_that_an_older_version_left_are_announced_with_what_to_do(
    uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Outbox(tmp_path / "outbox", uri).folder
    for number in range(2):
        (folder / f"{number}.jsonl").write_text('{"owner": "host/boot/1/1"}\n')
    Tracker(uri, tmp_path / "outbox").close()
    (message,) = [record.getMessage() for record in caplog.records if "older version" in record.getMessage()]
    assert message.startswith(
        f"{folder}: runs of an older version wait there and are not delivered: run the same command"
    )


# A tracker that is down -----------------------------------------------------------------------------------------------


def test_a_tracker_that_is_down_costs_no_time_and_what_waits_is_delivered_once_when_it_is_back(
    uri: str, tmp_path: Path, spool: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)  # what answers in the end keeps its artifacts in the working folder
    start = time.monotonic()
    all_is_said, pump = threading.Event(), Deliverer.pump
    monkeypatch.setattr(Deliverer, "pump", lambda deliverer: all_is_said.wait(60) and pump(deliverer))
    tracker = Tracker(CLOSED_PORT, tmp_path / "outbox")
    open_table(tracker)
    open_run(tracker, "r")
    tracker.deliver("r", spool, 0)
    tracker.finish_run("r", {"mAP": 0.5}, files=[spool])
    all_is_said.set()  # until here nothing was even tried: whoever says something waits for nobody
    assert tracker.flush(patience_s=0.5).undelivered == 1
    delivery = tracker.close(patience_s=1.0)
    assert time.monotonic() - start < 60.0  # MLflow's client alone retries for minutes
    assert delivery.undelivered == 2
    assert "2 runs wait for the tracker" in str(delivery)
    assert "harness sync" in str(delivery)

    # The next process means another tracker: it leaves what waits alone, and says that it waits.
    tracker = Tracker(uri, tmp_path / "outbox")
    assert tracker.close().undelivered == 0
    assert f"2 runs left for another tracker, {CLOSED_PORT}" in caplog.text
    assert runs_of(uri) == {}

    # The tracker is back: what answers at its address is, here, a file.
    monkeypatch.setattr(harness.track.delivery, "connect", lambda _: connect(uri))
    monkeypatch.setattr(harness.track.client, "connect", lambda _: connect(uri))
    for module in (harness.track.courier, harness.track.tracker):
        monkeypatch.setattr(module, "reach", lambda _: None)
    for _ in range(2):
        assert sync(CLOSED_PORT, tmp_path / "outbox").undelivered == 0
    assert {key: run.info.status for key, run in runs_of(uri).items()}["r"] == "FINISHED"
    assert stored_steps(uri, "r") == list(range(1, 31))
    assert stored_steps(uri, "r", "mAP") == [0]


def test_an_answer_that_was_lost_is_no_reason_to_store_a_point_twice(
    uri: str, tmp_path: Path, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    say_everything(uri, tmp_path, spool)
    deliverer = Deliverer(uri, Outbox(tmp_path / "outbox", uri))
    client, failures = connect(uri), 0

    class Lossy:
        def __getattr__(self, name: str) -> Any:
            def call(*arguments: Any, **options: Any) -> Any:
                nonlocal failures
                result = getattr(client, name)(*arguments, **options)
                if name == "log_batch" and failures < 6:
                    failures += 1
                    raise ConnectionResetError("the answer was lost")
                return result

            return call

    monkeypatch.setattr(harness.track.delivery, "connect", lambda _: Lossy())
    for _ in range(6):
        with pytest.raises(TrackerUnreachableError, match="ConnectionResetError: the answer was lost"):
            deliverer.pump()
    deliverer.pump()
    assert_everything_once(uri)


def test_what_the_tracker_refuses_for_good_is_reported_and_holds_nothing_up(
    uri: str, tmp_path: Path, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = Outbox(tmp_path / "outbox", uri)
    bad = RunState("bad", "run", "table1", "bad", NOW, params={"": "no name"}, status="KILLED", ended_ms=NOW)
    outbox.write(outbox.new_path(), bad)
    say_everything(uri, tmp_path, spool)
    Deliverer(uri, outbox).pump()
    assert "the tracker rejected the run bad: " in caplog.text
    assert documents(tmp_path) == []
    connect(uri).delete_run(runs_of(uri)["bad"].info.run_id)
    assert_everything_once(uri)


def test_a_run_that_somebody_deleted_is_reported_once_and_holds_nothing_up(
    uri: str, tmp_path: Path, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = silent_tracker(uri, tmp_path / "outbox")
    open_table(tracker)
    for key in ("deleted", "kept"):
        open_run(tracker, key)
        tracker.deliver(key, spool, 0)
    deliverer = Deliverer(uri, Outbox(tmp_path / "outbox", uri))
    deliverer.pump()
    connect(uri).delete_run(runs_of(uri)["deleted"].info.run_id)
    for last in (40, 50):
        write_spool(spool, last - 9, last)
        deliverer.pump()
    assert caplog.text.count("the tracker rejected the run 8 · Softmax · seed 0: ") == 1
    assert stored_steps(uri, "kept") == list(range(1, 51))


# Several processes, and dead ones -------------------------------------------------------------------------------------


def test_two_harnesses_on_one_table_make_one_run_of_each_key(uri: str, tmp_path: Path, spool: Path) -> None:
    first, second = Tracker(uri, tmp_path / "outbox"), Tracker(uri, tmp_path / "outbox")
    for tracker in (first, second):
        open_table(tracker)
        open_run(tracker, "r")
        tracker.deliver("r", spool, 0)
    first.fail_run("r", "this one failed")  # the other continues
    assert first.close().undelivered == 0
    wait_until(lambda: runs_of(uri)["r"].info.status == "RUNNING" and stored_steps(uri, "r") == list(range(1, 31)))
    second.finish_run("r", {"mAP": 0.5})
    assert second.flush().undelivered == 0
    second.finish_table("T", succeeded=True)
    assert second.close().undelivered == 0
    assert runs_of(uri)["r"].info.status == "FINISHED"
    assert stored_steps(uri, "r") == list(range(1, 31))


def test_a_harness_that_waits_for_another_knows_when_the_other_has_delivered_its_runs(uri: str, tmp_path: Path) -> None:
    first = Tracker(uri, tmp_path / "outbox")
    open_table(first)
    assert first.flush().undelivered == 0
    second = Tracker(uri, tmp_path / "outbox")
    open_table(second)
    open_run(second, "r")
    second.finish_run("r", {"mAP": 0.5})
    assert second.flush().undelivered == 0
    assert runs_of(uri)["r"].data.metrics == {"mAP": 0.5}
    second.kill_run("T")
    assert second.close().undelivered == 0
    first.close()


@pytest.fixture
def abandoned(uri: str, tmp_path: Path, spool: Path) -> Callable[[], None]:
    """Leaves runs RUNNING whose process is dead, their spool undelivered."""

    def leave() -> None:
        tracker = silent_tracker(uri, tmp_path / "outbox")
        open_table(tracker)
        for key in ("planned", "dropped"):
            open_run(tracker, key)
            tracker.deliver(key, spool, 0)
        bury(documents(tmp_path))

    return leave


def test_runs_of_a_dead_process_are_continued_if_planned_and_else_marked_killed(
    uri: str, tmp_path: Path, spool: Path, abandoned: Callable[[], None]
) -> None:
    abandoned()
    tracker = Tracker(uri, tmp_path / "outbox")
    open_table(tracker)
    tracker.sweep_orphans(keep=["planned"])
    open_run(tracker, "planned")
    tracker.deliver("planned", write_spool(spool, 31, 40), 0)
    tracker.finish_run("planned", {"mAP": 0.5})
    tracker.finish_table("T", succeeded=True)
    assert tracker.close().undelivered == 0
    runs = runs_of(uri)
    assert {key: run.info.status for key, run in runs.items()} == {
        "T": "FINISHED", "planned": "FINISHED", "dropped": "KILLED"
    }  # fmt: skip
    assert runs["dropped"].data.tags["harness.reason"].startswith("its process (")
    assert stored_steps(uri, "planned") == stored_steps(uri, "dropped") == list(range(1, 41))


def test_sync_delivers_what_the_dead_left_and_leaves_nothing_running(
    uri: str, tmp_path: Path, abandoned: Callable[[], None]
) -> None:
    abandoned()
    assert sync(uri, tmp_path / "outbox").undelivered == 0
    assert {run.info.status for run in runs_of(uri).values()} == {"KILLED"}
    assert stored_steps(uri, "dropped") == list(range(1, 31))


def test_runs_of_the_living_and_of_other_machines_are_left_alone(uri: str, tmp_path: Path) -> None:
    client = connect(uri)
    experiment = client.create_experiment("foreign", tags={"harness.kind": "tables"})
    client.create_run(experiment, run_name="not ours", tags={"harness.key": "foreign"})
    elsewhere = str(replace(Owner.this_process(), host="elsewhere"))
    client.create_run(experiment, tags={"harness.key": "far", "harness.kind": "run", "harness.owner": elsewhere})
    living = Tracker(uri, tmp_path / "outbox")
    open_table(living)
    open_run(living, "near")
    wait_until(lambda: "near" in runs_of(uri))
    sync(uri, tmp_path / "another-store")
    assert {run.info.status for run in runs_of(uri).values()} == {"RUNNING"}
    living.close()


def wait_until(condition: Callable[[], bool], patience_s: float = 20.0) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
