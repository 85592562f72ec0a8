"""A stage lost with its machine resumes on another machine from the checkpoint in the shared store."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import warm
from lost_machine import DEADLINE_S, PATIENCE_S

from harness.execute import Event, SharedStore, Store
from harness.execute.protocol import PREFIXES
from harness.execute.remote import Remote
from harness.execute.worker import run_stage
from harness.plan import Stage, fingerprint
from harness.reid.files import WEIGHTS
from harness.reid.trainer import TRAINER
from harness.spool import read_spool
from harness.trainer import SPOOL


def test_a_stage_killed_on_one_machine_finishes_on_another_bit_for_bit(
    settings: dict[str, Any], context: dict[str, Any], s3_bucket: str, tmp_path: Path
) -> None:
    stage = Stage(fingerprint({"settings": settings}), "train", "metric", settings, None)
    described = {
        "stage": {**vars(stage), "settings": settings},
        "context": {**context, "checkpoint_minutes": 0.0},  # a checkpoint after every reading
    }
    (tmp_path / "stage.json").write_text(json.dumps(described))
    words = ["lost_machine", s3_bucket, str(tmp_path / "a"), str(tmp_path / "stage.json")]
    lost = warm.run(words, Path(__file__).parent, os.environ, timeout_s=900)
    assert lost.returncode == -signal.SIGKILL, lost.stdout + lost.stderr

    folder = f"stages/{stage.fingerprint[:2]}/{stage.fingerprint}"
    sent = Remote(s3_bucket).sizes(folder)
    assert "manifest.json" not in sent
    reached = max(int(Path(name).stem.removeprefix("step-")) for name in sent if name.startswith("checkpoints/"))
    spool = Remote(s3_bucket).read(f"{folder}/so-far/{SPOOL}") or b""

    other, outcome, looked = SharedStore(s3_bucket, tmp_path / "b", PATIENCE_S), None, 0
    deadline = time.monotonic() + DEADLINE_S
    while outcome is None and time.monotonic() < deadline:
        outcome = run_stage(other, stage, TRAINER.work, context, lambda event: None)
        looked += 1
        time.sleep(0.1)
    assert outcome is not None
    assert outcome.status == "succeeded", outcome.reason
    assert looked > 1, "the lost machine's lease holds for its patience"

    whole = Store(tmp_path / "whole")
    run_stage(whole, stage, TRAINER.work, context, lambda event: None)
    ours, expected = other.fetch(stage.fingerprint), whole.folder(stage.fingerprint)
    assert (ours / WEIGHTS).read_bytes() == (expected / WEIGHTS).read_bytes()
    steps = [[(each.step, each.metrics) for each in read_spool(place / SPOOL)[0]] for place in (ours, expected)]
    assert steps[0] == steps[1]
    kept = [line for line in spool.splitlines() if json.loads(line)["step"] <= reached]
    lines = (ours / SPOOL).read_bytes().splitlines()
    assert lines[: len(kept)] == kept, "no step up to the checkpoint was trained again"
    assert 0 < len(kept) < len(lines)
    assert sorted(Remote(s3_bucket).sizes(folder)) == ["manifest.json", SPOOL, WEIGHTS]


def test_another_machine_continues_a_begun_stage_bit_for_bit(
    settings: dict[str, Any], context: dict[str, Any], s3_bucket: str, tmp_path: Path
) -> None:
    begun, stage = (
        Stage(fingerprint({"settings": chosen}), "train", "metric", chosen, None)
        for chosen in ({**settings, "stop_after": 1}, settings)
    )
    run_stage(SharedStore(s3_bucket, tmp_path / "one"), begun, TRAINER.work, context, lambda event: None)
    events: list[Event] = []
    other = SharedStore(s3_bucket, tmp_path / "other")
    going_on = {**context, PREFIXES: {stage.fingerprint: begun.fingerprint}}
    run_stage(other, stage, TRAINER.work, going_on, events.append)
    assert min(event.detail["epoch"] for event in events if "epoch" in event.detail) > 1.0

    whole = Store(tmp_path / "whole")
    run_stage(whole, stage, TRAINER.work, context, lambda event: None)
    ours, expected = (store.fetch(stage.fingerprint) / WEIGHTS for store in (other, whole))
    assert ours.read_bytes() == expected.read_bytes()
