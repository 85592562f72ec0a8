"""The output of a network for a batch of images, shared by models and losses."""

from typing import NamedTuple

from torch import Tensor


class Output(NamedTuple):
    """A batch's features and what they were made of."""

    embedding: Tensor
    """(B, D), never below float32: what retrieval compares and metric losses shape."""
    logits: Tensor | None
    """(B, classes), never below float32; ``None`` for a network without a classifier."""
    maps: tuple[Tensor, ...]
    """The last map of stages 4, 5 and, where there is one, 6: (B, C, H, W) each, in the backbone's own precision."""
