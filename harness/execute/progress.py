"""How far an interrupted stage got, judged by its newest checkpoint."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.checkpoints import FOLDER
from harness.execute.store import Store
from harness.plan.stage import Stage
from harness.spool import read_spool
from harness.trainer import SPOOL


@dataclass(frozen=True)
class Progress:
    """Where an interrupted stage resumes."""

    step: int
    """Steps done, which need not be repeated."""
    epoch: float
    """The same in epochs, with a fraction for a partial one."""
    fraction: float
    """Of the stage's work, in [0, 1]; 0 for a stage that declares no epochs."""


def interrupted_stages(store: Store, stages: Iterable[Stage]) -> Mapping[str, Progress]:
    """Returns, by fingerprint, the progress of those unfinished stages that have a checkpoint to resume from."""
    found = {stage.fingerprint: _progress_of(store, stage) for stage in stages}
    return {fingerprint: progress for fingerprint, progress in found.items() if progress is not None}


def _progress_of(store: Store, stage: Stage) -> Progress | None:
    folder = store.folder(stage.fingerprint)
    checkpoints = folder / FOLDER
    if not checkpoints.is_dir() or not any(checkpoints.iterdir()):
        return None
    steps = [int(path.stem.removeprefix("step-")) for path in checkpoints.glob("step-*.pt")]
    # A command writes checkpoints in its own format: its log shows how far it got.
    done = [record for record in read_spool(folder / SPOOL)[0] if not steps or record.step <= max(steps)]
    if not done:
        return None
    last = max(done, key=lambda record: record.step)
    return Progress(last.step, last.epoch, min(1.0, last.epoch / stage.epochs) if stage.epochs else 0.0)
