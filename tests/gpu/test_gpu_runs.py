"""Stages on a GPU, as the executor runs them: killed and resumed, two workers on one device, and out of memory."""

import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from harness.api.prepare import Prepared
from harness.execute import Event, LocalExecutor, Outcome, share_out
from harness.reid.files import PER_QUERY, WEIGHTS
from harness.reid.train.scoring import evaluate_stage
from harness.reid.train.training import train_stage

pytestmark = pytest.mark.gpu

KILLED = """\
import json, os, signal, sys
from pathlib import Path
from harness.reid.train.training import train_stage

settings, context, folder = json.loads(Path(sys.argv[1]).read_text())
readings = 0

def emit(detail):
    global readings
    readings += "step" in detail
    if readings == 4:
        os.kill(os.getpid(), signal.SIGKILL)

train_stage(settings, context, Path(folder), None, emit)
"""


@pytest.mark.parametrize("row", ["8"])
def test_a_stage_killed_midway_resumes_bit_for_bit(
    device: torch.device, plan_rows: Any, tmp_path: Path, row: str
) -> None:
    import json

    prepared = plan_rows(row, arithmetic__deterministic=True)
    stage = prepared.plan.to_execute[0]
    context = {**prepared.context, "device": str(device), "log_every": 2, "checkpoint_minutes": 0.0}
    (tmp_path / "killed").mkdir()
    (tmp_path / "asked.json").write_text(json.dumps([stage.settings, context, str(tmp_path / "killed")]))
    died = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "asked.json")], env=with_this_path())
    assert died.returncode == -signal.SIGKILL
    assert list((tmp_path / "killed").glob("checkpoints/*.pt"))
    assert not (tmp_path / "killed" / WEIGHTS).exists()
    steps: dict[str, list[int]] = {}
    for name in ("killed", "whole"):
        (tmp_path / name).mkdir(exist_ok=True)
        emit = steps.setdefault(name, []).append
        train_stage(
            stage.settings,
            context,
            tmp_path / name,
            None,
            lambda detail, emit=emit: emit(detail["step"]) if "step" in detail else None,
        )
    assert steps["killed"][0] > steps["whole"][0], "the first went on where it was killed"
    resumed, whole = (load_file(tmp_path / name / WEIGHTS) for name in ("killed", "whole"))
    assert resumed.keys() == whole.keys()
    assert [name for name in whole if not torch.equal(resumed[name], whole[name])] == []


def test_two_workers_share_a_device_and_networks_score_as_on_the_cpu(
    device: torch.device, plan_rows: Any, tmp_path: Path, record_property: Any
) -> None:
    prepared: Prepared = plan_rows("1", "3", "8")
    at_work, most = set[str](), 0

    def watch(event: Event) -> None:
        nonlocal most
        (at_work.add if event.kind in {"starting", "started", "progress"} else at_work.discard)(event.fingerprint)
        most = max(most, len(at_work))

    outcomes = execute(prepared, device, 2, watch)
    assert {outcome.status for outcome in outcomes.values()} == {"succeeded"}, [o.reason for o in outcomes.values()]
    assert most == 2
    trained = [outcome.result for outcome in outcomes.values() if outcome.result and "final_loss" in outcome.result]
    assert len(trained) == 4
    assert all(result["peak_memory_mb"] > 0 for result in trained)
    for run in prepared.plan.runs:
        parent, evaluation = (prepared.plan.stages[name] for name in run.stages[-2:])
        again = tmp_path / run.row
        again.mkdir()
        context = {**prepared.context, "device": "cpu", "threads": 1}
        ours = evaluate_stage(
            evaluation.settings, context, again, prepared.store.fetch(parent.fingerprint), lambda _: None
        )
        theirs = prepared.store.result(evaluation.fingerprint)
        distance = abs(ours["metrics"]["mAP"] - theirs["metrics"]["mAP"])
        record_property(f"mAP of row {run.row} off", f"{distance:.1e}")
        assert distance < 0.005
        kept = [np.load(folder / PER_QUERY) for folder in (again, prepared.store.fetch(evaluation.fingerprint))]
        precisions = [arrays["average_precision"] for arrays in kept]
        np.testing.assert_allclose(*precisions, atol=0.05)


def test_out_of_memory_names_the_setting_to_change_and_the_next_row_runs(device: torch.device, plan_rows: Any) -> None:
    """Row 2's batch holds 8 x 65,536 images of 256 x 128, whose pixels alone take 206 GB."""
    prepared: Prepared = plan_rows(
        "2",
        "1",
        data__height_px=256,
        data__width_px=128,
        stages__classify__epochs=1,
        stages__metric__sampler__identities=8,
        stages__metric__sampler__images=65536,
    )
    ends: list[str] = []
    names = {name: f"{run.row} {prepared.plan.stages[name].name}" for run in prepared.plan.runs for name in run.stages}

    def watch(event: Event) -> None:
        if event.kind not in {"starting", "started", "progress", "waiting"}:
            ends.append(f"{names[event.fingerprint]}: {event.kind}")

    with memory_limit(device):
        outcomes = execute(prepared, device, 1, watch)
    assert sorted(ends) == ["1 classify: succeeded", "1 evaluate: succeeded", "2 evaluate: not_run", "2 metric: failed"]
    reason = next(outcome.reason for outcome in outcomes.values() if outcome.status == "failed")
    assert reason.startswith(
        f"out of memory on {device}: lower stages.metric.sampler.identities (now 8 x 65536 images)"
    )
    assert ends.index("2 metric: failed") < ends.index("1 evaluate: succeeded")


def execute(prepared: Prepared, device: torch.device, workers: int, watch: Any) -> dict[str, Outcome]:
    """Executes a plan in worker processes."""
    lock = threading.Lock()

    def on_event(event: Event) -> None:
        with lock:
            watch(event)

    slots = share_out([str(device)], workers, cores=workers)
    with LocalExecutor(prepared.store, slots) as executor:
        return executor.execute(prepared.plan.to_execute, prepared.trainer.work, prepared.context, on_event)


@contextmanager
def memory_limit(device: torch.device) -> Iterator[None]:
    """Limits worker processes on a CPU to 8 GB, since the system might promise them more than exists."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    if device.type == "cpu":
        resource.setrlimit(resource.RLIMIT_DATA, (8 * 10**9, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def with_this_path() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.curdir for path in sys.path)}
