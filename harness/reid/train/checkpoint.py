"""The state of a training as a checkpoint: a ``torch.save`` archive of tensors and plain values (``weights_only``).

Training continues while it is written: ``CheckpointWriter``. The file around the archive: ``harness.checkpoints``.
"""

import io
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from harness.checkpoints import newest_checkpoint, write_checkpoint
from harness.files import replacing
from harness.reid.train.device import HostCopy


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Writes ``state`` as the checkpoint of ``step`` and drops all but the newest two.

    Args:
        folder: Where checkpoints live; made if need be.
        step: Steps done so far in the stage; names the file and orders checkpoints.
        state: Tensors, numbers, strings and containers of them.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return write_checkpoint(folder, step, buffer.getbuffer())


class CheckpointWriter:
    """Writes checkpoints in a thread: training waits for a copy of the state in memory, never for the disk.

    Args:
        folder: Where checkpoints live.
        device: Where the state's tensors are.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        self._folder, self._device = folder, device
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoints")
        self._writing: Future[Path] | None = None

    def save(self, step: int, state: dict[str, Any], *, needed: bool = False) -> None:
        """Begins to write ``state`` as it is now.

        While an earlier one is still being written, this one is left out: the disk sets the pace, and a stage that is
        killed resumes from an older checkpoint.

        Args:
            step: See ``save_checkpoint``.
            state: See ``save_checkpoint``; in dictionaries and lists.
            needed: Wait for the earlier one instead.

        Raises:
            OSError: The earlier one could not be written.
        """
        if not needed and self._writing is not None and not self._writing.done():
            return
        self.wait()
        copied = HostCopy(state, self._device)
        self._writing = self._thread.submit(lambda: save_checkpoint(self._folder, step, copied.get()))

    def wait(self) -> None:
        """Waits until what was begun is written.

        Raises:
            OSError: It could not be.
        """
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()

    def close(self) -> None:
        """Ends the thread, once what was begun is written or has failed."""
        self._thread.shutdown()


def copy_newest_checkpoint(source: Path, folder: Path) -> None:
    """Copies the newest checkpoint of ``source`` into ``folder``; nothing if there is none."""
    for path in sorted(source.glob("step-*.pt"))[-1:]:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / path.name) as aside:
            shutil.copyfile(path, aside)


def load_newest_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The state of the newest whole checkpoint, on the CPU; None if there is none.

    A damaged checkpoint is named by a warning, and the next older one is tried.
    """
    payload = newest_checkpoint(folder)
    if payload is None:
        return None
    state: dict[str, Any] = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    return state
