"""A worker's slot: a device or a fraction of one, and a fair part of the machine's threads."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")

_KEEP_FREED_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 * 2**20), "MALLOC_TRIM_THRESHOLD_": str(2**30)}
"""Makes the GNU C library keep freed memory: every training step frees the buffers that the next one allocates, and
returning them to the system in between costs a small network on a CPU a fifth of its time in page faults."""


@dataclass(frozen=True)
class Slot:
    """The device and threads that one worker may use."""

    device: str = "cpu"
    """As torch names it: ``cpu``, ``cuda:0``."""
    threads: int = 1
    fraction: float = 1.0
    """The fraction of the device's memory that this slot may use."""

    def fill(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the context with this slot's ``device``, ``threads`` and ``memory_fraction``."""
        return {**context, "device": self.device, "threads": self.threads, "memory_fraction": self.fraction}

    def environment(self) -> dict[str, str]:
        """Returns the environment for the slot's worker process."""
        return process_variables(self.threads)


def process_variables(threads: int) -> dict[str, str]:
    """Returns the environment for a process that runs stages.

    It limits the threads of numerical libraries, and makes the C library keep freed memory.
    """
    return {**dict.fromkeys(_THREAD_VARIABLES, str(threads)), **_KEEP_FREED_MEMORY}


def available_cores() -> int:
    """Returns the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_out(devices: Sequence[str], workers: int, cores: int | None = None) -> tuple[Slot, ...]:
    """Returns a slot for each of ``workers``, spread evenly over ``devices``, with the cores divided fairly.

    Args:
        devices: Device names: ``["cpu"]``, or ``["cuda:0", "cuda:1"]``.
        workers: Number of slots. If there are more than devices, workers share a device and its memory.
        cores: CPU cores to divide; default: those this process may use.

    >>> share_out(["cpu"], 2, cores=5)
    (Slot(device='cpu', threads=3, fraction=1.0), Slot(device='cpu', threads=2, fraction=1.0))
    >>> [(slot.device, slot.fraction) for slot in share_out(["cuda:0", "cuda:1"], 3, cores=4)]
    [('cuda:0', 0.5), ('cuda:1', 1.0), ('cuda:0', 0.5)]
    """
    if workers < 1 or not devices:
        raise ValueError(f"found {workers} workers and {len(devices)} devices, expected at least one of each")
    threads, left_over = divmod(cores or available_cores(), workers)
    placed = [devices[number % len(devices)] for number in range(workers)]
    return tuple(
        Slot(
            device=device,
            threads=max(1, threads + (number < left_over)),
            fraction=1.0 if device == "cpu" else 1.0 / placed.count(device),
        )
        for number, device in enumerate(placed)
    )
