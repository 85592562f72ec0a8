import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any
from urllib.parse import urlsplit

import psutil
import pytest
import warm

import harness.track.courier
import harness.track.ui
from harness.errors import InputError
from harness.spool import SpoolWriter
from harness.track import Tracker, read_snapshot, start_ui, sync
from harness.track.client import connect
from harness.track.ui import Ui

DECLARATION = {"title": "Ablation", "metrics": ["mAP"], "rows": [{"id": "8", "factors": {"SAC": True}}]}
PROVENANCE = {"profile": "demo", "dataset": "market1501"}


def write_steps(path: Path, first: int, last: int) -> None:
    with SpoolWriter(path) as writer:
        for step in range(first, last + 1):
            writer.write(step, step / 10, {"loss": 1 / step}, 1_700_000_000_000 + step)


def stored_steps(uri: str) -> list[int]:
    client = connect(uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, "tags.`harness.key` = 'T/8/0'")
    assert len(runs) <= 1
    return sorted(metric.step for run in runs for metric in client.get_metric_history(run.info.run_id, "train/loss"))


def wait_until(condition: Callable[[], bool], patience_s: float = 300.0) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def open_table(tracker: Tracker, table: str) -> None:
    tracker.open_table("T", table=table, declaration=DECLARATION, provenance=PROVENANCE)


def start_warm(words: Sequence[str], *, env: Mapping[str, str], stdout: IO[bytes], **_: Any) -> warm.WarmProcess:
    """Starts ``mlflow server`` in the warm fork server: what ``subprocess.Popen`` does for ``start_ui``."""
    assert list(words[1:4]) == ["-m", "mlflow", "server"]
    environment = {**env, "PYTHONPATH": str(Path(__file__).parent)}
    with Path(os.devnull).open("rb") as nothing:
        descriptors = [nothing.fileno(), stdout.fileno(), stdout.fileno()]
        return warm.WarmProcess(["warm_mlflow", *words[3:]], str(Path.cwd()), environment, descriptors, 0)


def kill(ui: Ui) -> None:
    """Kills the server with all its processes, as a power cut does."""
    port = urlsplit(ui.address).port
    listening = [
        line.pid for line in psutil.net_connections("tcp4") if line.status == "LISTEN" and line.laddr[1] == port
    ]
    (group,) = {os.getpgid(pid) for pid in listening if pid is not None}  # one socket of the server and its workers
    os.killpg(group, signal.SIGKILL)
    ui.stop()


@pytest.mark.parametrize("backend", ["uri", "postgresql"], ids=["SQLite", "PostgreSQL"])
def test_a_server_that_is_killed_and_restarted_gets_everything_once(
    backend: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    uri: str = request.getfixturevalue(backend)
    monkeypatch.chdir(tmp_path)  # a database elsewhere has its artifacts in the working folder
    monkeypatch.setattr(harness.track.courier, "INTERVAL_S", 0.1)
    outbox, spool = tmp_path / "outbox", tmp_path / "spool"
    warmed = SimpleNamespace(Popen=start_warm, DEVNULL=subprocess.DEVNULL, TimeoutExpired=subprocess.TimeoutExpired)
    if backend != "uri":  # else the first server starts as it does for a user
        monkeypatch.setattr(harness.track.ui, "subprocess", warmed)
    local = Tracker(uri, outbox)
    open_table(local, "table1")
    local.finish_table("T", succeeded=True)
    assert local.close().undelivered == 0

    ui = start_ui(uri)
    address, _, page = ui.address.partition("/#")
    assert page == "/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=harness"
    try:
        assert start_ui(address).address == ui.address  # a server is shown where it is
        remote = Tracker(address, outbox)
        open_table(remote, "table2")
        remote.open_run(
            "T/8/0",
            table_key="T",
            row="8",
            seed=0,
            name="8 · SAC · seed 0",
            factors={"SAC": True},
            params={},
            recipe_yaml="model: {}\n",
            provenance=PROVENANCE,
        )
        remote.deliver("T/8/0", spool, 0)
        write_steps(spool, 1, 20)
        wait_until(lambda: stored_steps(uri) == list(range(1, 21)))
    finally:
        kill(ui)
    write_steps(spool, 21, 50)
    remote.finish_run("T/8/0", {"mAP": 0.816}, files=[spool])
    remote.finish_table("T", succeeded=True, report="# Table 1\n")
    delivery = remote.close(patience_s=1.0)
    assert delivery.undelivered == 2
    assert stored_steps(uri) == list(range(1, 21))

    monkeypatch.setattr(harness.track.ui, "subprocess", warmed)
    with start_ui(uri, port=int(address.rpartition(":")[2])):
        assert sync(address, outbox).undelivered == 0
        snapshot = read_snapshot(address, "table2", downloads=tmp_path / "downloads")
    assert stored_steps(uri) == list(range(1, 51))
    (run,) = snapshot.runs
    assert (run.status, run.metrics) == ("finished", {"mAP": 0.816})
    assert run.url == f"{address}/#/experiments/2/runs/{run.run_id}?workflowType=machine_learning"
    assert snapshot.parent_url == f"{address}/#/experiments/2/runs/{snapshot.parent_id}?workflowType=machine_learning"
    assert snapshot.declaration == DECLARATION
    # The server keeps a new experiment's files, and they come back from it.
    assert run.artifacts == tmp_path / "downloads" / run.run_id
    assert (run.artifacts / "spool").read_bytes() == spool.read_bytes()
    assert (run.artifacts / "recipe.yaml").read_text() == "model: {}\n"
    assert len(list((tmp_path / "mlartifacts").rglob("spool"))) == 1
    assert capsys.readouterr().out == ""  # MLflow would print the address of every run that ends


def test_a_port_that_is_taken_is_reported(uri: str) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(InputError, match=rf"port {port}: cannot listen on it \(.*in use\); name another one"):
            start_ui(uri, port=port)


def test_a_store_without_tables_is_reported_with_the_command_that_makes_one(uri: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such store; run a table first: `python -m harness run"):
        start_ui(f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(InputError, match=r"holds no tables yet; make one with `python -m harness run"):
        start_ui(uri)
