"""How far a stage that was interrupted has come: where its newest checkpoint lets it go on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.checkpoints import FOLDER
from harness.execute.store import Store
from harness.plan.stage import Stage
from harness.spool import read_spool
from harness.trainer import SPOOL


@dataclass(frozen=True)
class Begun:
    """Where a stage goes on."""

    step: int
    """Steps that need not be done again."""
    epoch: float
    """The same in epochs, whole and in part."""
    share: float
    """Of the stage's work, in [0, 1]; 0 where a stage has no epochs to tell it by."""


def begun_stages(store: Store, stages: Iterable[Stage]) -> Mapping[str, Begun]:
    """Returns those of the unfinished stages that have a checkpoint to go on from, by fingerprint."""
    found = {stage.fingerprint: _begun(store, stage) for stage in stages}
    return {fingerprint: begun for fingerprint, begun in found.items() if begun is not None}


def _begun(store: Store, stage: Stage) -> Begun | None:
    folder = store.folder(stage.fingerprint)
    checkpoints = folder / FOLDER
    if not checkpoints.is_dir() or not any(checkpoints.iterdir()):
        return None
    steps = [int(path.stem.removeprefix("step-")) for path in checkpoints.glob("step-*.pt")]
    # A command keeps checkpoints of its own kind: what it has logged tells how far it is.
    done = [record for record in read_spool(folder / SPOOL)[0] if not steps or record.step <= max(steps)]
    if not done:
        return None
    last = max(done, key=lambda record: record.step)
    return Begun(last.step, last.epoch, min(1.0, last.epoch / stage.epochs) if stage.epochs else 0.0)
