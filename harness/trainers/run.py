"""The second argument of a user's function: the seed, the device, logging, checkpoints, costs."""

import io
import math
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.checkpoints import FOLDER, newest_checkpoint, write_checkpoint
from harness.errors import InputError
from harness.files import regular_file
from harness.spool import SpoolWriter, last_step
from harness.trainer import SPOOL, Emit, Task

COSTS = ("parameters", "multiply_adds", "images_per_s", "peak_memory_mb", "energy_wh", "gpu_utilisation")
"""The costs that tables show besides the time, which the harness measures."""

_RECORD = "spool-position"


@dataclass
class UnitNames:
    """The arguments of ``Run.units``: ids and groups of the units, and what they are called."""

    ids: Sequence[Any] | None = None
    groups: Sequence[Any] | None = None
    unit: str = "units"
    group: str = ""


@dataclass
class Run:
    """One run of a user's function.

    It is optional: ``run.seed`` makes results differ by seed, ``run.log`` shows progress, ``run.checkpoint`` lets a
    killed run resume instead of starting over.
    """

    seed: int
    device: str
    """As torch names it: ``cpu``, ``cuda:0``."""
    threads: int
    """CPU threads that this run may use."""
    folder: Path
    """For files to keep with the results, for a later stage or for you. Empty at the start of a stage."""
    parent: Path | None
    """The ``folder`` of the previous stage; None in the first one."""
    inputs: Mapping[str, Path]
    """The recipe's ``inputs``, by the path that it declares."""
    _task: Task
    _emit: Emit
    _spool: SpoolWriter
    _stack: ExitStack
    """Closes with the stage, and removes temporary folders."""
    _step: int = 0
    named: UnitNames = field(default_factory=UnitNames)
    costs: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _resumed: Path | None = None

    def scratch(self) -> Path:
        """Creates a folder for temporary files, removed after the stage."""
        return Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="harness-")))

    def log(
        self, step: int | None = None, *, steps: int | None = None, epoch: float | None = None, **values: float
    ) -> None:
        """Records values of one step: shown live, stored, and sent to the tracker.

        Args:
            step: Counted from 0 or 1; default: the last one plus 1.
            steps: The total number, for the progress bar.
            epoch: The progress in epochs; default: the step.
            values: Numbers by name (``loss=0.3``).
        """
        for what, count in (("step", step), ("steps", steps)):
            if count is not None and not hasattr(count, "__index__"):
                raise InputError(f"run.log: {what} is {type(count).__name__}, expected a whole number")
        place = _number("run.log: epoch", epoch)
        figures = {name: _number(f"run.log: {name}", value) for name, value in values.items()}
        self._step = max(self._step + 1, int(step or 0))
        place = float(self._step if epoch is None else place)
        self._spool.write(self._step, place, figures, time.time_ns() // 1_000_000)
        detail: dict[str, Any] = {"step": self._step, **({} if steps is None else {"steps": int(steps)})}
        if "loss" in figures:
            detail["loss"] = figures["loss"]
        self._emit(detail)

    @contextmanager
    def checkpoint(self) -> Iterator[Path]:
        """Saves the files that are written to the yielded folder, all or none::

        with run.checkpoint() as folder:
            torch.save(model.state_dict(), folder / "model.pt")
        """
        with tempfile.TemporaryDirectory(prefix="harness-") as place:
            yield Path(place)
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w") as archive:
                archive.add(place, arcname="files")
                record = f"{self._spool.position()} {self._step}".encode()
                entry = tarfile.TarInfo(_RECORD)
                entry.size = len(record)
                archive.addfile(entry, io.BytesIO(record))
            write_checkpoint(self._task.folder / FOLDER, self._step, buffer.getbuffer())

    @property
    def resumed(self) -> Path | None:
        """The folder with the files of the newest checkpoint; None if the run starts from scratch."""
        return self._resumed

    def units(
        self,
        ids: Sequence[Any] | None = None,
        *,
        groups: Sequence[Any] | None = None,
        unit: str = "units",
        group: str = "",
    ) -> None:
        """Names the units for which a metric's array has values.

        Args:
            ids: One for each unit; equal ids in two runs are the same unit. Default: positions.
            groups: Units of one group are sampled together (one identity's queries). Default: each unit is a group.
            unit: What a unit is called, in the plural ("queries").
            group: What a group is called, in the plural ("identities").
        """
        self.named = UnitNames(ids, groups, unit, group)

    def cost(self, **costs: float) -> None:
        """Reports costs of this run that tables show.

        Args:
            costs: Among ``parameters``, ``multiply_adds``, ``images_per_s``, ``peak_memory_mb``, ``energy_wh``,
                ``gpu_utilisation``.

        Raises:
            InputError: For another name.
        """
        for name, value in costs.items():
            if name not in COSTS:
                raise InputError(f'run.cost: "{name}" is not a cost; expected one of {", ".join(COSTS)}')
            self.costs[name] = _number(f"run.cost: {name}", value)
            if not math.isfinite(self.costs[name]):
                raise InputError(f"run.cost: {name} is {value}, expected a finite number")

    def note(self, sentence: str) -> None:
        """Adds a sentence to the report that a reader must know about this run."""
        text = " ".join(str(sentence).split())
        if text not in self.notes:
            self.notes.append(text)

    @property
    def steps(self) -> int:
        """Steps logged so far."""
        return self._step


def _number(what: str, value: Any) -> float:
    """Converts a value to a number; NaN for None.

    Raises:
        InputError: If it is not a number.
    """
    try:
        return math.nan if value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{what} is {type(value).__name__}, expected a number") from None


KEPT = "files"
"""The subfolder of a stage's folder that is ``run.folder``."""


@contextmanager
def open_run(task: Task, emit: Emit) -> Iterator[Run]:
    """Yields the run of a task; a function's run resumes from its newest checkpoint."""
    by_function = "function" in task.settings
    payload = newest_checkpoint(task.folder / FOLDER) if by_function else None
    kept = task.folder / KEPT
    kept.mkdir(exist_ok=True)
    with ExitStack() as stack:
        spool = stack.enter_context(SpoolWriter(task.folder / SPOOL))
        step, resumed = 0, None
        if not by_function:  # only the command knows where it resumes, so its log stays
            step = last_step(task.folder / SPOOL)
        elif payload is None:
            spool.truncate(0)
        else:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="harness-")))
            with tarfile.open(fileobj=io.BytesIO(payload)) as archive:
                archive.extractall(place, filter="data")
            position, step = map(int, regular_file(place / _RECORD).read_text().split())
            spool.truncate(position)
            resumed = place / "files"
        yield Run(
            seed=task.settings["seed"],
            device=str(task.context.get("device", "cpu")),
            threads=int(task.context.get("threads", 1)),
            folder=kept,
            parent=None if task.parent_folder is None else task.parent_folder / KEPT,
            inputs={name: Path(place) for name, place in task.context.get("inputs", {}).items()},
            _task=task,
            _emit=emit,
            _spool=spool,
            _stack=stack,
            _step=step,
            _resumed=resumed,
        )
