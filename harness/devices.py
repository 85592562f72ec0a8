"""The name of a device, for provenance and for records of speed."""

import contextlib
from pathlib import Path


def device_name(device: str) -> str:
    """Returns the model of the GPU or the CPU.

    Args:
        device: As torch names it: ``cpu``, ``cuda:0``. Torch is imported only for a GPU.
    """
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    with contextlib.suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8") as info:
        for line in info:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return device
