"""How many stages run at once, and on what."""

from harness.execute import Slot, available_cores, share_out

_MOST_CPU_WORKERS = 8


def slots_for(workers: int | None) -> tuple[Slot, ...]:
    """One slot per GPU if there are any; else one per core, up to eight. ``workers`` overrides the number.

    Small networks train faster as several stages of one thread each than one after another on all threads.
    """
    gpus = _gpus()
    if gpus:
        return share_out(gpus, workers or len(gpus))
    return share_out(["cpu"], workers or min(available_cores(), _MOST_CPU_WORKERS))


def _gpus() -> list[str]:
    """The GPUs that torch can use. Torch, which takes seconds to import, is asked only if the driver knows any."""
    import pynvml

    try:
        pynvml.nvmlInit()
        if not pynvml.nvmlDeviceGetCount():
            return []
    except pynvml.NVMLError:
        return []
    import torch

    return [f"cuda:{index}" for index in range(torch.cuda.device_count())]
