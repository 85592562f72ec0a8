"""Losses: softmax, triplet, quadruplet and the self-attention constraint (equations 1 to 6), and what others compare.

Owns pure functions from features and labels to scalar tensors, and modules for those with a state (``modules``). All of
them compute in float32 or better whatever the precision of what they are given, under autocast too.
"""

from harness.reid.losses.attention import attention_maps, self_attention_constraint
from harness.reid.losses.combine import CustomLoss, compute_losses, load_custom_losses
from harness.reid.losses.geometry import l2_normalize, pairwise_distances
from harness.reid.losses.metric import BatchError, check_batch, quadruplet_loss, triplet_loss
from harness.reid.losses.modules import build_modules, reads_classes
from harness.reid.losses.softmax import softmax_loss

__all__ = [
    "BatchError",
    "CustomLoss",
    "attention_maps",
    "build_modules",
    "check_batch",
    "compute_losses",
    "l2_normalize",
    "load_custom_losses",
    "pairwise_distances",
    "quadruplet_loss",
    "reads_classes",
    "self_attention_constraint",
    "softmax_loss",
    "triplet_loss",
]
