"""Backbones by name: timm's ResNets, strided or dilated, its other networks, a user's own; the stage 6 behind them.

Dilation (output stride 8): stage 4 (``layer3``) has dilation 2 and stage 5 (``layer4``) dilation 4, except that the
first 3 x 3 convolution of each keeps the dilation before it (1 and 2). That is what preserves the receptive field: in
the strided network this convolution still reads the finer grid, and only its output is coarser. The dilated maps, taken
at every second (fourth) position, are the strided network's maps. One deviation is timm's: where the shortcut pools
(the ``d`` and ``t`` variants), the 2 x 2 window of a dilated stage is not dilated, so that the maps agree only nearly.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from typing import Any, cast

import timm
import torch
from timm.models import ResNet
from timm.models.resnet import Bottleneck
from torch import Tensor, nn

from harness.errors import InputError, SettingError
from harness.reid.models.levels import Levels, Options, checked, own_levels, timm_levels, unknown_option
from harness.reid.models.sources import is_own

Backbone = ResNet | Levels
_STAGE6_BLOCKS = 3
"""Behind a backbone that is no ResNet; stage 5 of a ResNet-50 has as many."""
STAGE6_DIVISOR = 8
"""Of the last level's channels: half of them leave stage 6, whose bottlenecks are a quarter as wide."""


@cache
def backbone_names() -> tuple[str, ...]:
    """All of timm's ResNets. The pruned ones are left out: their irregular widths admit no stage 6."""
    return tuple(name for name in timm.list_models(module="resnet") if not name.endswith("_pruned"))


def architecture(backbone: str) -> str:
    """The architecture of ``backbone``, which may carry the tag of its weights (``resnet50.a1_in1k``).

    Raises:
        SettingError: timm has no network of this name.
    """
    name = backbone.partition(".")[0]
    if not timm.is_model(name):
        near = get_close_matches(name, timm.list_models(), n=5, cutoff=0.5) or ["resnet50", "convnext_tiny"]
        message = f'timm has no network "{name}"; did you mean {", ".join(near)}?'
        raise SettingError("model.backbone", f"{message} A network of your own is named as package.module:function")
    return name


def build_backbone(
    backbone: str, output_stride: int, options: Options, size: tuple[int, int], load: Callable[[nn.Module], None]
) -> Backbone:
    """The network without pooling and classifier, its weights loaded.

    Args:
        backbone: A timm network by name, or ``package.module:function``.
        output_stride: 8, 16 or 32. A ResNet has the same parameters at each.
        options: Further arguments of timm's network or of the user's function.
        size: Height and width of the images in pixels, for networks that are built for one size.
        load: Puts weights into the network, as long as it is whole.

    Raises:
        InputError: Unknown name, or a network that cannot be built like this.
    """
    if is_own(backbone):
        return own_levels(backbone, output_stride, options, load)
    name = architecture(backbone)
    if name not in backbone_names():
        return timm_levels(name, output_stride, options, size, load)
    given = checked(options)
    try:
        built = cast(ResNet, timm.create_model(name, num_classes=0, output_stride=output_stride, **given))
    except TypeError as error:
        raise unknown_option(name, error) or SettingError("model.options", f"{error} ({name})") from error
    load(built)
    return built


def channels_of(backbone: Backbone) -> list[int]:
    """Channels of the levels that a backbone gives: the last two, or the one there is."""
    return [cast(int, level["num_chs"]) for level in cast(Sequence[Mapping[str, Any]], backbone.feature_info)[-2:]]


def levels_of(backbone: Backbone, images: Tensor, through: Callable[[nn.Sequential, Tensor], Tensor]) -> list[Tensor]:
    """The maps (B, C, H, W) of the last two levels; of a ResNet those of stages 4 and 5.

    Args:
        backbone: As built.
        images: (B, 3, H, W).
        through: Sends features through a stage of a ResNet, block by block.
    """
    if not isinstance(backbone, ResNet):
        return cast(list[Tensor], backbone(images))
    parts = cast(Any, backbone)
    features = parts.maxpool(parts.act1(parts.bn1(parts.conv1(images))))
    maps = []
    for stage in (parts.layer1, parts.layer2, parts.layer3, parts.layer4):
        features = through(stage, features)
        maps.append(features)
    return maps[2:]


def build_stage6(backbone: str, stages: Backbone, dilation: int) -> nn.Sequential:
    """Another stage 5 to follow stage 5: as many blocks of its kind, half its channels, its resolution.

    Behind a backbone that is no ResNet it is three of a ResNet-50's bottlenecks: a choice, the paper has ResNets only.

    Every 3 x 3 convolution has the same ``dilation``. A new ``layer1`` is what has this structure, for it alone neither
    strides nor dilates: timm builds one for the backbone's variant, behind a stem of stage 5's width. What is built to
    get there takes no memory.

    Args:
        backbone: Name of the backbone.
        stages: The backbone as built, for its stage 5.
        dilation: Spacing of the kernels (1: dense). The paper does not give it.
    """
    channels = channels_of(stages)[-1]
    if channels % STAGE6_DIVISOR:
        raise InputError(f"model.stage6: found {channels} channels before it, expected a multiple of {STAGE6_DIVISOR}")
    variant, block, blocks = "resnet50", cast(Any, Bottleneck), _STAGE6_BLOCKS
    if isinstance(stages, ResNet):
        stage5 = cast(nn.Sequential, stages.layer4)
        variant, block, blocks = architecture(backbone), type(stage5[0]), len(stage5)
    with torch.device("meta"):
        donor: Any = timm.create_model(
            variant,
            num_classes=0,
            block=block,
            layers=(blocks + 1,),  # timm cannot build a network of a single block
            channels=(channels // 2 // block.expansion,),
            stem_type="deep",
            stem_width=channels // 2,
        )
    stage6 = nn.Sequential(*donor.layer1[:blocks]).to_empty(device=torch.get_default_device())
    for module in stage6.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            module.dilation = module.padding = (dilation, dilation)
    _initialise(stage6)
    return stage6


def _initialise(stage: nn.Sequential) -> None:
    """timm's own initial values: He for convolutions, and every block the identity at first."""
    for module in stage.modules():
        if callable(reset := getattr(module, "reset_parameters", None)):
            reset()
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    for block in cast(Iterable[Any], stage):
        block.zero_init_last()
