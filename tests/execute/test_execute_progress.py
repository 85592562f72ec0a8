"""Where interrupted stages resume."""

from pathlib import Path

import pytest

from harness.checkpoints import FOLDER, write_checkpoint
from harness.execute import Store
from harness.execute.progress import Progress, interrupted_stages
from harness.plan.stage import Stage
from harness.spool import SpoolWriter
from harness.trainer import SPOOL

STAGE = Stage("f" * 64, "train", "classify", {}, None, epochs=5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An unfinished stage of 10 steps an epoch, which has logged 4, 8, 12 and 16 steps."""
    folder = Store(tmp_path).begin(STAGE.fingerprint)
    with SpoolWriter(folder / SPOOL) as spool:
        for step in (4, 8, 12, 16):
            spool.write(step, step / 10, {"loss": 1.0}, time_ms=0)
    return folder


def test_a_stage_resumes_from_its_newest_checkpoint_not_from_what_it_logged_last(tmp_path: Path, folder: Path) -> None:
    write_checkpoint(folder / FOLDER, 8, b"")
    write_checkpoint(folder / FOLDER, 12, b"")
    # Step 12 is epoch 1.2, of 5: 0.24 of the work.
    assert interrupted_stages(Store(tmp_path), [STAGE]) == {STAGE.fingerprint: Progress(12, 1.2, pytest.approx(0.24))}


def test_a_stage_without_a_checkpoint_begins_anew(tmp_path: Path, folder: Path) -> None:
    (folder / FOLDER).mkdir()
    assert interrupted_stages(Store(tmp_path), [STAGE]) == {}


def test_a_command_s_own_checkpoint_continues_behind_what_it_logged(tmp_path: Path, folder: Path) -> None:
    (folder / FOLDER).mkdir()
    (folder / FOLDER / "state").write_text("mine")
    no_epochs = Stage(STAGE.fingerprint, "command", "run", {}, None)
    assert interrupted_stages(Store(tmp_path), [no_epochs]) == {STAGE.fingerprint: Progress(16, 1.6, 0.0)}
