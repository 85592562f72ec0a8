"""Threads that share a list of tasks, each with the matrix library confined to its own thread."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from threading import Lock
from typing import TypeVar

from threadpoolctl import threadpool_limits

T = TypeVar("T")
R = TypeVar("R")
Progress = Callable[[int, int], None]
"""Called with the blocks done and the blocks in all; from one thread at a time, not always the same."""


class Counter:
    """Counts finished blocks across threads and calls a ``Progress`` callback after each."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._total, self._progress, self._done, self._lock = total, progress, 0, Lock()

    def tick(self) -> None:
        """One block more is done."""
        if self._progress is not None:
            with self._lock:
                self._done += 1
                self._progress(self._done, self._total)


def default_threads() -> int:
    """``OMP_NUM_THREADS`` if it is set, as matrix libraries read it; else the cores this process may use."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdigit() and int(threads) > 0:
        return int(threads)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_tasks(work: Callable[[T], R], tasks: Iterable[T], threads: int) -> list[R]:
    """``work`` of every task, in order, on ``threads`` threads; the first error is raised and no new task begun.

    Each thread multiplies its own blocks while they are in its cache, so the BLAS behind numpy is held to one thread
    meanwhile (in this whole process, and set back afterwards).
    """
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(work, task) for task in tasks]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def split(total: int, largest: int, threads: int) -> list[slice]:
    """``range(total)`` in even pieces of at most ``largest``, as many as share out evenly among ``threads``."""
    pieces = -(-total // largest)
    pieces = min(total, -(-pieces // threads) * threads)
    edges = [total * piece // pieces for piece in range(pieces + 1)]
    return [slice(first, last) for first, last in pairwise(edges)]
