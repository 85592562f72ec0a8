"""Networks that give their levels as maps: timm's, by its own conventions, and a user's own.

Levels are timm's ``feature_info``: outputs of stages, with ``num_chs`` channels and ``reduction``, the pixels of the
image between two positions. What comes behind the last stage (a 1 x 1 convolution before the classifier, as in
EfficientNet and MobileNet) is not a level and is left out. Tokens are reshaped to the grid that they were cut from.
"""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import Any, cast

import timm
from torch import Tensor, nn

from harness.errors import InputError, SettingError, nearest
from harness.formatting import one_line
from harness.plugins import load_object

Options = Mapping[str, float | int | bool | str]
Load = Callable[[nn.Module], None]
BACKBONE = "model.backbone"
_RESERVED = ("pretrained", "pretrained_cfg", "checkpoint_path", "features_only", "num_classes", "output_stride")


class Levels(nn.Module):
    """The last two levels of a network, or the one there is, as maps (B, C, H, W).

    Attributes:
        model: The network itself.
        feature_info: ``num_chs`` and ``reduction`` of each level that is given.
    """

    def __init__(self, model: nn.Module, feature_info: Sequence[Mapping[str, Any]]) -> None:
        super().__init__()
        self.model = model
        self.feature_info = list(feature_info)

    def set_recompute(self, recompute: bool) -> None:
        """Keeps fewer activations in training where that changes no bit: where no batch normalisation counts twice."""
        if not has_batch_norm(self.model) and hasattr(self.model, "set_grad_checkpointing"):
            cast(Any, self.model).set_grad_checkpointing(recompute)


def checked(options: Options) -> dict[str, Any]:
    """Options of a timm network.

    Raises:
        SettingError: One of them is decided by another setting.
    """
    if taken := [name for name in options if name in _RESERVED]:
        message = "is not an option; model.weights and model.output_stride decide it"
        raise SettingError(f"model.options.{taken[0]}", f"{taken[0]} {message}")
    return dict(options)


def unknown_option(name: str, error: Exception) -> SettingError | None:
    """The error for an option that the class of the timm network ``name`` does not take; None if it is another."""
    found = re.search(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", str(error))
    if not isinstance(error, TypeError) or found is None:
        return None
    kind = getattr(sys.modules[timm.model_entrypoint(name).__module__], found[1], None)
    near = nearest(found[2], signature(kind).parameters) if callable(kind) else None
    meant = "" if near is None else f'; did you mean "{near}"?'
    return SettingError(f"model.options.{found[2]}", f'{name} has no option "{found[2]}"{meant}')


def has_batch_norm(module: nn.Module) -> bool:
    """Whether a part of ``module`` keeps statistics of the batches it saw."""
    return any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in module.modules())


class TimmLevels(Levels):
    """A timm network cut behind its last level, behind its final normalisation where that is part of it."""

    def __init__(self, model: nn.Module) -> None:
        network = cast(Any, model)
        levels = list(network.feature_info)
        # Of blocks on one grid, as a ViT's, the last two see nearly the same: the block at three quarters is taken.
        one_grid = len({level["reduction"] for level in levels}) == 1
        before = len(levels) * 3 // 4 - 1 if one_grid else len(levels) - 2
        chosen = [index for index in (before, len(levels) - 1) if index >= 0]
        super().__init__(model, [levels[index] for index in dict.fromkeys(chosen)])
        self.indices = network.prune_intermediate_layers(list(dict.fromkeys(chosen)), prune_norm=False, prune_head=True)

    def forward(self, images: Tensor) -> list[Tensor]:
        """The levels' maps for images (B, 3, H, W)."""
        network = cast(Any, self.model)
        given = network.forward_intermediates(
            images, indices=self.indices, norm=True, output_fmt="NCHW", intermediates_only=True
        )
        return cast(list[Tensor], given)


class OwnLevels(Levels):
    """A user's network, whose maps are compared with what it declares."""

    def __init__(self, model: nn.Module, reference: str) -> None:
        declared: Any = getattr(model, "feature_info", None)
        source = f'"{reference}"'
        if hasattr(declared, "get_dicts"):  # timm's FeatureInfo
            declared = declared.get_dicts(["num_chs", "reduction"])
        try:
            levels = [{name: int(level[name]) for name in ("num_chs", "reduction")} for level in declared or ()]
        except (TypeError, KeyError, ValueError) as error:
            message = f"{source}: feature_info: expected a list of {{num_chs, reduction}}, one per level"
            raise SettingError(BACKBONE, message) from error
        if not levels:
            raise SettingError(
                BACKBONE,
                f"{source}: the network has no feature_info; expected a list of {{num_chs, reduction}}, one per level, "
                'for instance [{"num_chs": 512, "reduction": 16}]',
            )
        super().__init__(model, levels[-2:])
        self.source = source
        self.levels = len(levels)

    def forward(self, images: Tensor) -> list[Tensor]:
        """The levels' maps for images (B, 3, H, W).

        Raises:
            SettingError: They are not those that ``feature_info`` declares.
        """
        given = self.model(images)
        maps = [given] if isinstance(given, Tensor) else list(given)
        if len(maps) != self.levels:
            message = f"gave {len(maps)} maps, expected {self.levels}, those of feature_info"
            raise SettingError(BACKBONE, f"{self.source}: {message}")
        for level, info in zip(maps[-2:], self.feature_info, strict=True):
            if level.ndim != 4 or level.shape[:2] != (len(images), info["num_chs"]):
                expected = f"({len(images)}, {info['num_chs']}, height, width)"
                message = f"gave a map of shape {tuple(level.shape)}, expected {expected}"
                raise SettingError(BACKBONE, f"{self.source}: {message}")
        return maps[-2:]


def timm_levels(name: str, output_stride: int, options: Options, size: tuple[int, int], load: Load) -> TimmLevels:
    """The timm network ``name`` for images of ``size`` (height, width), its weights loaded before it is cut.

    Raises:
        SettingError: It has no levels, cannot be built for these images, this stride or these options.
    """
    config = timm.get_pretrained_cfg(name)
    arguments: dict[str, Any] = {"img_size": size} if config is not None and config.fixed_input_size else {}
    arguments |= {} if output_stride == 32 else {"output_stride": output_stride}
    arguments |= checked(options)
    try:
        model = timm.create_model(name, num_classes=0, **arguments)
    except Exception as error:  # timm's networks assert, divide and look up
        with_what = ", ".join(f"{key} {value}" for key, value in arguments.items()) or "no options"
        if unknown := unknown_option(name, error):
            raise unknown from error
        message = one_line(error) or type(error).__name__
        raise SettingError(BACKBONE, f"{name} cannot be built with {with_what}: {message}") from error
    if not hasattr(model, "forward_intermediates") or not getattr(model, "feature_info", None):
        raise SettingError(BACKBONE, f"timm's {name} gives no maps of its levels; choose another network")
    load(model)
    return TimmLevels(model)


def own_levels(reference: str, output_stride: int, options: Options, load: Load) -> OwnLevels:
    """The network that the user's function returns; it is called with ``options``.

    A function with an argument ``output_stride`` is called with that, too; another one knows the stride 32 only.

    Raises:
        SettingError: There is no such function, it fails, or what it returns does not describe its levels.
    """
    source = f'"{reference}"'
    try:
        function = load_object(reference)
    except InputError as error:
        raise SettingError(BACKBONE, str(error)) from error
    if not callable(function):
        message = f"found {type(function).__name__}, expected a function that returns an nn.Module"
        raise SettingError(BACKBONE, f"{source}: {message}")
    if takes_stride(function):
        options = {"output_stride": output_stride, **options}
    elif output_stride != 32:
        raise SettingError(BACKBONE, f"{source}: the function takes no output_stride, so it cannot dilate")
    try:
        model = function(**options)
    except Exception as error:  # the user's code may raise anything
        raise SettingError(BACKBONE, f"{source}: {type(error).__name__}: {one_line(error)}") from error
    if not isinstance(model, nn.Module):
        raise SettingError(BACKBONE, f"{source}: returned {type(model).__name__}, expected an nn.Module")
    levels = OwnLevels(model, reference)
    load(model)
    return levels


def takes_stride(function: Callable[..., Any]) -> bool:
    """Whether a user's function can be asked for an output stride."""
    try:
        return "output_stride" in signature(function).parameters
    except (TypeError, ValueError):  # built in: it has no signature
        return False
