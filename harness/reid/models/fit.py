"""Whether a row's factors find in its backbone what they need; asked before anything is trained."""

from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import torch
from torch import nn

from harness.code import code_digest
from harness.errors import InputError, SettingError
from harness.formatting import one_line
from harness.reid.models.backbone import STAGE6_DIVISOR, architecture, build_backbone, channels_of, levels_of
from harness.reid.models.levels import Levels, has_batch_norm
from harness.reid.models.sources import is_own

_STRIDED = 32


@dataclass(frozen=True)
class _Facts:
    """The outputs of a backbone for images of one size."""

    sizes: tuple[tuple[int, int], ...]
    """Height and width of the maps of its levels, two at most."""
    channels: int
    """Of the last level."""
    batch_norm: bool
    """Whether it is no ResNet and has batch normalisation."""
    reduction: int
    """Pixels between two positions of the last map."""


def misfit(
    *,
    backbone: str,
    options: dict[str, Any],
    size: tuple[int, int],
    output_stride: int,
    stage6: bool,
    multi_level: bool,
    sac: bool,
    checkpoint_activations: bool,
) -> str:
    """Why a row cannot be trained with this backbone, and the nearest thing that can; empty if it can.

    Args:
        backbone: As :func:`harness.reid.models.build_network` takes it, like all the others.
        options: Further arguments of the backbone.
        size: Height and width of the images, in pixels.
        output_stride: 32, or 16 or 8 to dilate (DIL).
        stage6: Whether stage 6 follows.
        multi_level: Whether all levels feed the feature (Multi).
        sac: Whether the self-attention constraint is on in a stage (SAC).
        checkpoint_activations: Whether activations are to be computed again.

    Raises:
        SettingError: There is no such network, whatever the row.
    """
    if not is_own(backbone):
        architecture(backbone)
    chosen = tuple(sorted(options.items()))
    plain = _facts(backbone, chosen, size, _STRIDED, _code_of(backbone))
    facts = plain if output_stride == _STRIDED else _dilated(backbone, chosen, size, output_stride)
    if facts is None:
        one_grid = len(set(plain.sizes)) == 1
        kept = f"; its maps have one size without: {_size(plain.sizes[-1])}" if one_grid else ""
        return (
            f"model.output_stride: {backbone} has no stage that can be dilated to {output_stride}; write "
            f"{_STRIDED}, without the factor DIL{kept}"
        )
    if stage6 and facts.channels % STAGE6_DIVISOR:
        return (
            f"model.stage6: {backbone} ends with {facts.channels} channels, which stage 6 cannot halve into "
            f"bottlenecks (a multiple of {STAGE6_DIVISOR}); turn it off and keep model.output_stride {output_stride}"
        )
    maps = [*facts.sizes, *facts.sizes[-1:] * stage6]
    if multi_level and len(maps) < 2:
        return f"model.multi_level: {backbone} has one level; turn it off (Multi), or turn model.stage6 on for a second"
    if sac and (len(maps) < 2 or len(set(maps)) > 1):
        return _no_attention(backbone, maps, dilates=_dilated(backbone, chosen, size, 8) is not None)
    if checkpoint_activations and facts.batch_norm:
        return (
            f"model.checkpoint_activations: {backbone} has batch normalisation, which would count every batch twice; "
            "write false, and lower the batch size or set arithmetic.precision to bfloat16"
        )
    return ""


def _no_attention(backbone: str, maps: list[tuple[int, int]], *, dilates: bool) -> str:
    wanted = "losses.sac.weight: the self-attention constraint (SAC) compares two or more maps of one size"
    found = f"{backbone} gives {', '.join(map(_size, maps))}"
    if len(maps) < 2:
        nearest = "turn model.stage6 on for a second"
    elif dilates:
        nearest = "write model.output_stride 8 (DIL)"
    else:
        nearest = "turn SAC off, or take a backbone on one grid (a ViT) or one that dilates (a ResNet or ConvNeXt)"
    return f"{wanted}; {found}; {nearest}"


def _dilated(backbone: str, options: tuple[tuple[str, Any], ...], size: tuple[int, int], stride: int) -> _Facts | None:
    """The outputs of the backbone at a stride; None if it does not support it."""
    try:
        facts = _facts(backbone, options, size, stride, _code_of(backbone))
    except InputError:
        return None
    return facts if facts.reduction <= stride else None


def _code_of(backbone: str) -> str:
    """Returns the digest of a user's own code."""
    return code_digest((backbone,)) if is_own(backbone) else ""


@cache
def _facts(
    backbone: str,
    options: tuple[tuple[str, Any], ...],
    size: tuple[int, int],
    stride: int,
    _code: str,
) -> _Facts:
    """Builds the backbone and sends an image through it; of a timm network only the shapes are computed."""
    # A user's own code need not work without values.
    with torch.random.fork_rng(devices=[]), torch.device("cpu" if is_own(backbone) else "meta"), torch.no_grad():
        built = build_backbone(backbone, stride, dict(options), size, _no_weights).eval()
        try:
            maps = levels_of(built, torch.zeros(1, 3, *size), lambda stage, features: stage(features))
        except InputError:
            raise
        except Exception as error:  # a network asserts, divides and reshapes by sizes
            message = one_line(error) or type(error).__name__
            raise SettingError(
                "model.backbone", f"{backbone} takes no images of {_size(size)} pixels: {message}"
            ) from error
    sizes = tuple((level.shape[2], level.shape[3]) for level in maps)
    counted = isinstance(built, Levels) and has_batch_norm(built)
    return _Facts(sizes, channels_of(built)[-1], counted, int(cast(Any, built).feature_info[-1]["reduction"]))


def _no_weights(_network: nn.Module) -> None:
    """Only shapes are asked for."""


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
