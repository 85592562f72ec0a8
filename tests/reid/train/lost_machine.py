"""A machine that is lost during training: ``python -m lost_machine ADDRESS SCRATCH STAGE.json``.

It kills itself with SIGKILL as soon as a checkpoint of its stage lies in the shared store.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from harness.execute import Event, SharedStore
from harness.execute.remote import Remote
from harness.execute.worker import run_stage
from harness.plan import Stage
from harness.reid.trainer import TRAINER

PATIENCE_S = 0.6
DEADLINE_S = 60.0

if __name__ == "__main__":
    address, scratch, stage_file = sys.argv[1:]
    described = json.loads(Path(stage_file).read_text())
    stage = Stage(**described["stage"])
    checkpoints = f"stages/{stage.fingerprint[:2]}/{stage.fingerprint}/checkpoints"

    def on_event(event: Event) -> None:
        """Called in the training thread, which waits for it to return."""
        if event.kind == "progress" and list((Path(scratch) / checkpoints).glob("*.pt")):
            deadline = time.monotonic() + DEADLINE_S
            while time.monotonic() < deadline:
                if Remote(address).sizes(checkpoints):
                    os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(0.05)

    store = SharedStore(address, Path(scratch), PATIENCE_S)
    print(run_stage(store, stage, TRAINER.work, described["context"], on_event))
