"""Work for the executors' tests: each stage behaves as its settings say. Nothing here trains."""

import errno
import os
import signal
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.errors import InputError, StageError
from harness.plan import Stage, fingerprint
from harness.trainer import Emit, Task

WORK = "toy_work:work"


def stage(name: str, behaviour: str = "succeed", parent: Stage | None = None, **settings: Any) -> Stage:
    """A stage that does ``behaviour``, a function of this module; its result adds 1 to its parent's ``value``."""
    settings = {"behaviour": behaviour, "name": name, **settings}
    above = parent.fingerprint if parent else None
    identity = fingerprint({"kind": "train", "settings": settings, "parent": above})
    return Stage(identity, "train", name, settings, above)


def work(task: Task, emit: Emit) -> dict[str, Any]:
    note(task, "begin")
    result = BEHAVIOURS[task.settings["behaviour"]](task, emit)
    note(task, "end")
    return result


def note(task: Task, word: str) -> None:
    """Appends a line to the journal that the test reads; a short append in a single write is atomic."""
    if "journal" in task.context:
        with Path(task.context["journal"]).open("a") as journal:
            journal.write(f"{task.name} {word} {os.getpid()}\n")


def succeed(task: Task, emit: Emit) -> dict[str, Any]:
    parent = 0
    if task.parent_folder is not None:
        parent = int((task.parent_folder / "weights.bin").read_text())
    (task.folder / "weights.bin").write_text(str(parent + 1))
    emit({"epoch": 1, "epochs": 1, "loss": 0.5})
    return {"value": parent + 1}


def report_place(task: Task, emit: Emit) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if name.endswith("_NUM_THREADS")}
    place = {name: task.context[name] for name in ("device", "threads", "memory_fraction")}
    return {"environment": environment, "pid": os.getpid(), "ppid": os.getppid(), **place}


def warn(task: Task, emit: Emit) -> dict[str, Any]:
    warnings.warn("the third checkpoint is damaged", stacklevel=1)
    return succeed(task, emit)


def wait_a_little(task: Task, emit: Emit) -> dict[str, Any]:
    time.sleep(0.3)
    return succeed(task, emit)


def count(task: Task, emit: Emit) -> dict[str, Any]:
    """Counts to ``steps``, with a checkpoint after each step, and resumes from the newest one.

    Before the step ``holds_at`` it notes ``held`` and waits until the context's file ``gate`` exists.
    """
    checkpoint = task.folder / "checkpoints" / "step"
    checkpoint.parent.mkdir(exist_ok=True)
    done = int(checkpoint.read_text()) if checkpoint.exists() else 0
    for step in range(done, task.settings["steps"]):
        if step == task.settings.get("holds_at"):
            note(task, "held")
            wait_for_file(Path(task.context["gate"]))
        time.sleep(0.01)
        note(task, f"step-{step}")
        aside = checkpoint.with_suffix(".tmp")
        aside.write_text(str(step + 1))
        aside.replace(checkpoint)
        if step + 1 == task.settings.get("dies_at") and not (task.folder / "died").exists():
            (task.folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return {**succeed(task, emit), "steps_here": task.settings["steps"] - done}


def wait_for_file(path: Path) -> None:
    deadline = time.monotonic() + 900
    while not path.exists():
        assert time.monotonic() < deadline, f"waited in vain for {path}"
        time.sleep(0.01)


def record(task: Task, emit: Emit) -> dict[str, Any]:
    """Like ``count``, with a line in a spool before each checkpoint; a checkpoint is named after its step."""
    checkpoints, spool = task.folder / "checkpoints", task.folder / "spool.jsonl"
    checkpoints.mkdir(exist_ok=True)
    done = max((int(path.stem) for path in checkpoints.glob("*.pt")), default=0)
    lines = spool.read_text().splitlines(keepends=True)[:done] if done else []
    spool.write_text("".join(lines))
    for step in range(done, task.settings["steps"]):
        time.sleep(task.context.get("pause_s", 0.01))
        with spool.open("a") as file:
            file.write(f"step {step}\n")
        aside = checkpoints / f"{step + 1:03d}.tmp"
        aside.write_text("x" * step)
        aside.replace(aside.with_suffix(".pt"))
        for old in sorted(checkpoints.glob("*.pt"))[:-2]:
            old.unlink()
        emit({"epoch": step})
    return {**succeed(task, emit), "steps_here": task.settings["steps"] - done}


def take_up(task: Task, emit: Emit) -> dict[str, Any]:
    """Returns the weights left by the stage that began this one."""
    return {"found": None if task.prefix_folder is None else (task.prefix_folder / "weights.bin").read_text()}


def die(task: Task, emit: Emit) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def crash(task: Task, emit: Emit) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGSEGV)
    return {}


def exit_quietly(task: Task, emit: Emit) -> dict[str, Any]:
    os.write(2, b"disk on fire")
    os._exit(3)


def sleep(task: Task, emit: Emit) -> dict[str, Any]:
    time.sleep(60)
    return {}


def sleep_stubbornly(task: Task, emit: Emit) -> dict[str, Any]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note(task, "stubborn")
    return sleep(task, emit)


def fail(task: Task, emit: Emit) -> dict[str, Any]:
    raise KeyError("no such thing")


def interrupt(task: Task, emit: Emit) -> dict[str, Any]:
    raise KeyboardInterrupt


def raising(error: Exception) -> Callable[[Task, Emit], dict[str, Any]]:
    def behave(task: Task, emit: Emit) -> dict[str, Any]:
        raise error

    return behave


class OutOfMemoryError(RuntimeError):
    """Has the name of torch's own."""


BEHAVIOURS: dict[str, Callable[[Task, Emit], dict[str, Any]]] = {
    **{f.__name__: f for f in (succeed, report_place, warn, wait_a_little, count, die, crash, exit_quietly)},
    **{f.__name__: f for f in (record, take_up, sleep, sleep_stubbornly, fail, interrupt)},
    "bad_input": raising(InputError("data/a.jpg: found no image, expected a JPEG")),
    "diverge": raising(StageError('stage "metric" diverged at step 7: loss = nan; learning rate 0.1')),
    "full_disk": raising(OSError(errno.ENOSPC, "No space left on device", "/data/x.pt")),
    "memory_error": raising(MemoryError()),
    "torch_memory_error": raising(OutOfMemoryError("tried to allocate 2 GiB")),
    "cuda_memory_error": raising(RuntimeError("CUDA error: out of memory\nmore lines")),
    "cpu_memory_error": raising(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 99 bytes")),
    "unserialisable": lambda task, emit: {"value": {1, 2}},
}
