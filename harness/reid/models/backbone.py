"""timm's ResNets as backbones: chosen by name, strided or dilated, and the stage 6 that may follow.

Dilation (output stride 8): stage 4 (``layer3``) has dilation 2 and stage 5 (``layer4``) dilation 4, except that the
first 3 x 3 convolution of each keeps the dilation before it (1 and 2). That is what preserves the receptive field: in
the strided network this convolution still reads the finer grid, and only its output is coarser. The dilated maps, taken
at every second (fourth) position, are the strided network's maps. One deviation is timm's: where the shortcut pools
(the ``d`` and ``t`` variants), the 2 x 2 window of a dilated stage is not dilated, so that the maps agree only nearly.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from typing import Any, cast

import timm
import torch
from timm.models import ResNet
from torch import nn

from harness.errors import InputError


@cache
def backbone_names() -> tuple[str, ...]:
    """All of timm's ResNets. The pruned ones are left out: their irregular widths admit no stage 6."""
    return tuple(name for name in timm.list_models(module="resnet") if not name.endswith("_pruned"))


def architecture(backbone: str) -> str:
    """The architecture of ``backbone``, which may carry the tag of its weights (``resnet50.a1_in1k``).

    Raises:
        InputError: The name is unknown, or is no ResNet.
    """
    name = backbone.partition(".")[0]
    if name not in backbone_names():
        known = f'timm\'s "{name}" is no plain ResNet' if timm.is_model(name) else f'no backbone "{name}"'
        near = get_close_matches(name, backbone_names(), n=5, cutoff=0.5) or ["resnet18", "resnet50", "resnet101"]
        raise InputError(f"backbone: {known}; expected a timm ResNet, for instance {', '.join(near)}")
    return name


def build_backbone(backbone: str, output_stride: int) -> ResNet:
    """The ResNet without pooling and classifier; the same parameters at every ``output_stride`` (8, 16 or 32)."""
    return cast(ResNet, timm.create_model(architecture(backbone), num_classes=0, output_stride=output_stride))


def build_stage6(backbone: str, stages: ResNet, dilation: int) -> nn.Sequential:
    """Another stage 5 to stand behind stage 5: as many blocks of its kind, half its channels, its resolution.

    Every 3 x 3 convolution has the same ``dilation``. A new ``layer1`` is what has this structure, for it alone neither
    strides nor dilates: timm builds one for the backbone's variant, behind a stem of stage 5's width. What is built to
    get there takes no memory.

    Args:
        backbone: Name of the backbone.
        stages: The backbone as built, for its stage 5.
        dilation: Spacing of the kernels (1: dense). The paper does not give it.
    """
    stage5 = cast(nn.Sequential, stages.layer4)
    block: Any = type(stage5[0])
    with torch.device("meta"):
        donor: Any = timm.create_model(
            architecture(backbone),
            num_classes=0,
            block=block,
            layers=(len(stage5) + 1,),  # timm cannot build a network of a single block
            channels=(stages.num_features // 2 // block.expansion,),
            stem_type="deep",
            stem_width=stages.num_features // 2,
        )
    stage6 = nn.Sequential(*donor.layer1[: len(stage5)]).to_empty(device=torch.get_default_device())
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
