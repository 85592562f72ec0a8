"""A stage's device: its arithmetic, what comes back from it, and what is used of it.

On an NVIDIA GPU that is memory, utilisation and energy of that GPU alone.
"""

import contextlib
import time
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import psutil
import torch
from torch import Tensor

from harness.reid.train.settings import Resources


def prepare_device(resources: Resources) -> torch.device:
    """The stage's device, with the share of its memory that the stage was given.

    On a CPU the network runs on one thread, whatever the slot has: sums split over threads differ in their last bits,
    and a result must not depend on how many workers share the machine. Decoding and ranking, which are exact on any
    number of threads, use them all.
    """
    device = torch.device(resources.device)
    torch.set_num_threads(1)
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.cuda.set_per_process_memory_fraction(resources.memory_fraction, device)
    return device


T = TypeVar("T")


class HostCopy(Generic[T]):
    """A copy on the CPU of tensors on a device, as they are once all that was asked of the device so far is done.

    On a GPU the copy is begun and not waited for, so that the next work can be asked of it meanwhile.

    Args:
        value: Tensors and plain values, in dictionaries and lists.
        device: Where the tensors are.
    """

    def __init__(self, value: T, device: torch.device) -> None:
        self._value: T = _on_host(value)
        self._done = torch.cuda.current_stream(device).record_event() if device.type == "cuda" else None

    def get(self) -> T:
        """The copy, once it is there."""
        if self._done is not None:
            self._done.synchronize()
        return self._value


def _on_host(value: Any) -> Any:
    match value:
        case Tensor() if value.device.type == "cpu":
            return value.detach().clone()
        case Tensor():
            return value.detach().to("cpu", non_blocking=True)  # into pinned memory
        case dict():
            return {key: _on_host(part) for key, part in value.items()}
        case list():
            return [_on_host(part) for part in value]
    return value


class DeviceMeter:
    """Measures time, peak memory, utilisation and energy between its making and ``result()``.

    Memory of a CPU stage is the process's resident memory at the samples, of a GPU stage what torch allocated at most.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._process = psutil.Process()
        self._peak_bytes = 0
        self._utilisation: list[int] = []
        self._gpu = _nvml_handle(device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        self._energy_mj = self._read_energy()
        self._started = time.monotonic()
        self.sample()

    def sample(self) -> None:
        """Takes one sample; cheap enough for every time that losses are read back."""
        if self._device.type == "cuda":
            self._peak_bytes = max(self._peak_bytes, torch.cuda.max_memory_allocated(self._device))
        else:
            self._peak_bytes = max(self._peak_bytes, self._process.memory_info().rss)
        if self._gpu is not None:
            import pynvml

            with contextlib.suppress(pynvml.NVMLError):
                self._utilisation.append(pynvml.nvmlDeviceGetUtilizationRates(self._gpu).gpu)

    def result(self) -> dict[str, float]:
        """``peak_memory_mb`` (10^6 bytes), and on an NVIDIA GPU ``gpu_utilisation`` (0..1) and ``energy_wh``."""
        self.sample()
        measured = {"peak_memory_mb": self._peak_bytes / 1e6}
        if self._utilisation:
            measured["gpu_utilisation"] = sum(self._utilisation) / len(self._utilisation) / 100.0
        energy_mj = self._read_energy()
        if self._energy_mj is not None and energy_mj is not None:
            measured["energy_wh"] = (energy_mj - self._energy_mj) / 3.6e6
        return measured

    def _read_energy(self) -> int | None:
        if self._gpu is None:
            return None
        import pynvml

        try:
            return int(pynvml.nvmlDeviceGetTotalEnergyConsumption(self._gpu))
        except pynvml.NVMLError:
            return None


def _nvml_handle(device: torch.device) -> Any:
    """NVML's handle of this very GPU (by UUID, since CUDA_VISIBLE_DEVICES renumbers), or None."""
    if device.type != "cuda":
        return None
    import pynvml

    try:
        pynvml.nvmlInit()
        return pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
    except (pynvml.NVMLError, AttributeError):
        return None


@contextlib.contextmanager
def arithmetic(device: torch.device, *, tf32: bool, deterministic: bool) -> Iterator[None]:
    """Sets torch's process-wide switches that change arithmetic for one stage, and puts them back afterwards."""
    before = (
        torch.get_float32_matmul_precision(),
        torch.backends.cudnn.allow_tf32,
        torch.backends.cudnn.benchmark,
        torch.are_deterministic_algorithms_enabled(),
    )
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = device.type == "cuda" and not deterministic
    torch.use_deterministic_algorithms(deterministic)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
        torch.backends.cudnn.benchmark = before[2]
        torch.use_deterministic_algorithms(before[3])
