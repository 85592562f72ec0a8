"""Where every random number of a stage comes from: its seed, a purpose and a position; never from global state.

Nothing has to be remembered to resume: the batches of epoch 7 follow from (seed, stage, 7) alone. The seed
of a draw does not contain the row's factors, so rows that share a seed also share batches and augmentation, which makes
their differences *paired*.
"""

import hashlib

import torch


def derive_seed(seed: int, *position: int | str) -> int:
    """A 63-bit seed for one purpose, the same in every process and on every machine.

    >>> derive_seed(0, "metric", "augment", 3, 14) == derive_seed(0, "metric", "augment", 3, 14)
    True
    >>> derive_seed(0, "metric", 1) == derive_seed(0, "metric", "1")
    False
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in (seed, *position))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(seed: int, *position: int | str) -> torch.Generator:
    """A CPU generator for one purpose; see ``derive_seed``."""
    return torch.Generator().manual_seed(derive_seed(seed, *position))


def seed_global(device: torch.device, seed: int) -> None:
    """Seeds the global generators that a step on ``device`` may read: the CPU's and that GPU's.

    ``torch.manual_seed`` would ask every backend there is, which takes longer than a batch's augmentation.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
