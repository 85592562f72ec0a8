"""Attention maps, and the constraint that makes the stages look at the same places."""

from collections.abc import Sequence

import torch
from torch import Tensor

from harness.reid.losses.geometry import at_least_float32, l2_normalize, power_of_two_scale


def attention_maps(features: Tensor) -> Tensor:
    """Where a stage looks: (B, H*W), of unit length, from its last map ``features`` (B, C, H, W) (eq. 1).

    The mean over the channels of the squared activations at every position, then l2-normalised over the positions. A
    map without any activation stays zero. It does not depend on the map's scale, which is therefore divided out before
    anything is squared: a map of 1e20 or of 1e-25 has the attention that it would have at 1.

    >>> attention_maps(torch.tensor([[[[3.0, 1.0]], [[0.0, 7.0]]]]))  # (9+0)/2 = 4.5, (1+49)/2 = 25 -> length 25.4
    tensor([[0.1772, 0.9842]])
    """
    features = at_least_float32(features)
    features = features / power_of_two_scale(features, dim=(1, 2, 3))
    return l2_normalize(features.square().mean(dim=1).flatten(1))


def self_attention_constraint(maps: Sequence[Tensor]) -> Tensor:
    """How far the last stage's attention is from every earlier stage's, averaged over the batch (eq. 2).

    For ``maps`` of stages 4, 5, 6 this is ||att6 - att5||^2 + ||att6 - att4||^2. Nothing is detached: every stage
    learns from the others. Channels may differ between stages.

    Args:
        maps: The last map (B, C, H, W) of each stage, the last stage last.

    Raises:
        ValueError: Fewer than two maps, or maps of different sizes.
    """
    sizes = [tuple(features.shape[2:]) for features in maps]
    if len(maps) < 2 or len(set(sizes)) > 1:
        found = ", ".join(f"{height} x {width}" for height, width in sizes) or "none"
        raise ValueError(
            f"the self-attention constraint compares two or more maps of one size, found {found}; "
            "a dilated network (output stride 8) keeps the maps of stages 4, 5 and 6 equal in size"
        )
    *earlier, last = (attention_maps(features) for features in maps)
    return torch.stack([(last - other).square().sum(dim=1).mean() for other in earlier]).sum()
