"""Activation checkpointing: a block's activations are dropped, and recomputed bit for bit when needed.

What batch normalisation remembers is the one trap: a second forward pass would count every batch twice. It writes into
copies here, which are thrown away.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def recomputed(block: nn.Module, features: Tensor) -> Tensor:
    """``block(features)``, of which only ``features`` is kept for the backward pass.

    Values, gradients and the block's buffers afterwards are those of ``block(features)``, bit for bit, provided that
    the device gives the same bits twice; random numbers are drawn again as they were.
    """

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _spared_buffers(block)

    result: Tensor = checkpoint(block, features, use_reentrant=False, context_fn=contexts)
    return result


@contextmanager
def _spared_buffers(block: nn.Module) -> Iterator[None]:
    """Lends the block copies of its buffers."""
    owned = [
        (module, name, buffer) for module in block.modules() for name, buffer in module.named_buffers(recurse=False)
    ]
    for module, name, buffer in owned:
        setattr(module, name, buffer.clone())
    try:
        yield
    finally:
        for module, name, buffer in owned:
            setattr(module, name, buffer)
