"""PostgreSQL behind the tracker: the same promises as with a file."""

import threading
from pathlib import Path

from harness.spool import SpoolWriter
from harness.track import Tracker, read_snapshot
from harness.track.client import connect

DECLARATION = {"title": "Ablation", "metrics": ["mAP"], "rows": [{"id": "8", "factors": {"SAC": True}}]}
PROVENANCE = {"profile": "demo", "dataset": "market1501"}


def write_steps(path: Path, first: int, last: int) -> None:
    with SpoolWriter(path) as writer:
        for step in range(first, last + 1):
            writer.write(step, step / 10, {"loss": 1 / step}, 1_700_000_000_000 + step)


def open_run(tracker: Tracker, table: str, spool: Path) -> None:
    tracker.open_table(table, table=table, declaration=DECLARATION, provenance=PROVENANCE)
    tracker.open_run(
        f"{table}/8/0",
        table_key=table,
        row="8",
        seed=0,
        name="8 · SAC · seed 0",
        factors={"SAC": True},
        params={},
        recipe_yaml="model: {}\n",
        provenance=PROVENANCE,
    )
    tracker.deliver(f"{table}/8/0", spool, 0)


def stored_steps(uri: str, table: str) -> list[int]:
    """The steps of the table's only run."""
    client = connect(uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    (run,) = client.search_runs(experiments, f"tags.`harness.key` = '{table}/8/0'")
    return sorted(metric.step for metric in client.get_metric_history(run.info.run_id, "train/loss"))


def test_a_table_that_is_taken_up_again_is_delivered_to_postgresql_once(postgresql: str, tmp_path: Path) -> None:
    outbox, spool = tmp_path / "outbox", tmp_path / "spool"
    write_steps(spool, 1, 20)
    first = Tracker(postgresql, outbox)
    open_run(first, "T", spool)
    assert first.close().undelivered == 0  # as after a kill: neither the run nor the table is finished
    assert stored_steps(postgresql, "T") == list(range(1, 21))

    write_steps(spool, 21, 50)
    second = Tracker(postgresql, outbox)
    open_run(second, "T", spool)
    second.finish_run("T/8/0", {"mAP": 0.816}, files=[spool])
    second.finish_table("T", succeeded=True, report="# Table\n")
    assert second.close().undelivered == 0
    assert stored_steps(postgresql, "T") == list(range(1, 51))
    (run,) = read_snapshot(postgresql, "T", downloads=tmp_path / "downloads").runs
    assert (run.status, run.metrics) == ("finished", {"mAP": 0.816})


def test_tables_of_several_writers_reach_one_postgresql_whole(postgresql: str, tmp_path: Path) -> None:
    connect(postgresql).search_experiments(max_results=1)
    refused: list[object] = []

    def fill(table: str) -> None:
        spool = tmp_path / f"{table}.spool"
        write_steps(spool, 1, 200)
        tracker = Tracker(postgresql, tmp_path / f"outbox-{table}")
        open_run(tracker, table, spool)
        tracker.finish_run(f"{table}/8/0", {"mAP": 0.5})
        tracker.finish_table(table, succeeded=True)
        delivery = tracker.close(60.0)
        if delivery.undelivered:
            refused.append(delivery)

    tables = ["A", "B", "C"]
    writers = [threading.Thread(target=fill, args=(table,)) for table in tables]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert refused == []
    for table in tables:
        assert stored_steps(postgresql, table) == list(range(1, 201))
        assert [run.status for run in read_snapshot(postgresql, table).runs] == ["finished"]
