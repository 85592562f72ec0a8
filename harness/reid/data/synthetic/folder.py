"""Writes a data set's folder whole or not at all, in as many processes as pay, and remembers what it was made from."""

import json
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

from harness.errors import InputError
from harness.files import regular_file

GENERATOR_VERSION = 1
"""Rises with every change that alters a byte of any set."""

RECORD = "synthetic.json"
"""File beside a set's folders that records how it was made; readers of the layouts pass over it."""

Progress = Callable[[int, int], None]
_Task = TypeVar("_Task")
_Made = TypeVar("_Made")
_MIN_ITEMS_TO_SHARE = 1500  # below this, starting processes costs more than it saves


@dataclass(frozen=True)
class Origin:
    """The origin of a set; equal origins are equal bytes. ``size`` is identities, or CIFAR images per class."""

    layout: str
    size: int
    seed: int
    full: bool
    files: dict[str, int]
    generator: int = GENERATOR_VERSION


@contextmanager
def new_folder(target: Path, origin: Origin) -> Iterator[Path | None]:
    """Gives a hidden sibling folder to fill, which takes the target's name when the block ends without an error.

    Gives None, and nothing is to be done, if the target is already a complete set of the same origin. One process at a
    time works on a target, others wait. What an earlier killed run left behind is removed.

    Raises:
        InputError: The target exists and is something else, or cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(target.parent / f".{target.name}.lock")
        lock.acquire()
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror or error})") from error
    try:
        if target.exists() or target.is_symlink():
            _check_same(target, origin)
            yield None
            return
        for leftover in target.parent.glob(f".{target.name}.*.partial"):
            shutil.rmtree(leftover, ignore_errors=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
        try:
            yield partial
            (partial / RECORD).write_text(json.dumps(asdict(origin), indent=2) + "\n", encoding="utf-8")
            partial.chmod(0o755)
            partial.rename(target)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror or error})") from error
    finally:
        lock.release()


def _check_same(target: Path, origin: Origin) -> None:
    """Raises InputError unless the target holds, complete, what the origin would make."""
    advice = "choose another folder, or remove this one"
    try:
        found = Origin(**json.loads(regular_file(target / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        raise InputError(f"{target}: exists already and was not made by this generator; {advice}") from None
    if found != origin:
        made, wanted = asdict(found), asdict(origin)
        unlike = [key for key in wanted if made[key] != wanted[key]]
        message = ", ".join(f"{key} is {made[key]}, wanted {wanted[key]}" for key in unlike)
        raise InputError(f"{target}: exists already and was made with other settings ({message}); {advice}")
    for name, count in origin.files.items():
        part = target / name
        held = sum(1 for _ in part.iterdir()) if part.is_dir() else int(part.is_file())
        if held != count:
            raise InputError(f"{part}: found {held} files, expected {count}; {advice}")


def _serve() -> None:
    """Readies a worker: Ctrl-C is its parent's to handle, and it does not outlive a parent that was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_out(
    work: Callable[[_Task], _Made], tasks: Sequence[_Task], items: int, workers: int | None
) -> Iterator[_Made]:
    """The results of tasks, as they come, computed here or in several fresh processes.

    Args:
        work: An importable function of one task.
        tasks: Independent tasks.
        items: How many images they hold together: few are made in this process.
        workers: Number of processes; None for one per available core.
    """
    count = min(workers or _cores(), len(tasks))
    if count <= 1 or (workers is None and items < _MIN_ITEMS_TO_SHARE):
        yield from map(work, tasks)
        return
    # Fresh processes, since a fork of one that runs threads (a progress bar, torch) may inherit a locked lock.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context, initializer=_serve) as pool:
        waiting: set[Future[_Made]] = set()
        try:
            for task in tasks:
                if len(waiting) >= 4 * count:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
                waiting.add(pool.submit(work, task))
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
