"""Puts weights into a backbone: timm's, fetched, or a file in torchvision's or timm's naming."""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import timm
import torch
from torch import Tensor, nn

from harness.errors import InputError, SettingError, did_you_mean
from harness.files import regular_file
from harness.reid.models.sources import IMAGENET, NONE, imagenet_name, weights_file

_HUB_FILE = "model.safetensors"
_CLASSIFIERS = ("fc.", "classifier.", "head.", "heads.", "head_dist.")
_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "network", "net")
_PREFIXES = ("module.", "model.", "network.", "backbone.", "base.", "encoder.")
_SHOWN = 5


def load_weights(module: nn.Module, backbone: str, weights: str) -> None:
    """Fills ``module``, a whole network without a classifier, in place, with the weights that ``weights`` names.

    ``none`` leaves it as it is, ``imagenet`` fetches timm's weights (torchvision's for resnet50 and resnet101), and
    anything else is the path of a ``.safetensors`` or ``.pth`` file. A file may wrap the weights (``state_dict``,
    ``model``), prefix them (``module.``, ``model.``, ``backbone.``) and hold a classifier, which is left out. Position
    embeddings and windows of another image size are resampled by timm. No pickled code is ever run.

    Raises:
        InputError: The weights cannot be had, cannot be read, or do not fit the backbone key by key.
    """
    if weights == NONE:
        return
    if weights == IMAGENET:
        name, state = _fetch(backbone)
    else:
        name, state = weights, _read(weights_file(weights))
    _fill(module, state, f"weights {name} for backbone {backbone}")


def _fetch(backbone: str) -> tuple[str, dict[str, Any]]:
    """timm's weights of ``backbone`` from the hub, or from its cache on this machine."""
    name = imagenet_name(backbone)
    config = timm.get_pretrained_cfg(name) if timm.is_model_pretrained(name) else None
    if config is None:
        known = timm.list_pretrained(f"{backbone.partition('.')[0]}.*")
        hint = did_you_mean(name, known) if known else "expected a backbone that has them"
        raise InputError(
            f'weights: timm has no ImageNet weights for "{name}"; {hint}; or give "{NONE}" or the path of a file'
        )
    hub_id = str(config.hf_hub_id)
    try:
        return hub_id, timm.models.load_state_dict_from_hf(hub_id, filename=_HUB_FILE)
    except Exception as error:  # the hub's client raises its own, its transport's and the file system's errors
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f'weights: "{IMAGENET}" for {backbone} is the model {hub_id} of the Hugging Face hub, which could not be '
            f"downloaded ({reason}). On a machine with a network, download its {_HUB_FILE}, copy it to this machine "
            f'and write its path as model.weights; or write "{NONE}" to start from random values'
        ) from error


def _read(path: Path) -> dict[str, Any]:
    """The state dict in ``path``."""
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(regular_file(path))
        state = torch.load(regular_file(path), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged archive or pickle can raise nearly anything
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"weights: {path} cannot be read ({reason}); expected a whole .safetensors file, or a .pth file that holds "
            "tensors only"
        ) from error
    for wrapper in _WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"weights: {path} holds no state dict; expected names with their tensors")
    return dict(state)


def preprocessing(backbone: str) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of the three channels that timm's weights of ``backbone`` were trained with.

    Raises:
        SettingError: timm does not know them.
    """
    config = timm.get_pretrained_cfg(imagenet_name(backbone))
    if config is None:
        raise SettingError("model.preprocessing", f"timm knows none for {backbone}; write recipe and augment.mean")
    return [float(value) for value in config.mean], [float(value) for value in config.std]


def _fill(module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Loads ``state`` after checking every key; only counters of seen batches, which old files lack, may be missing."""
    own = module.state_dict()
    given = _without_classifier(_bare(state, own), own)
    if any(name not in given or given[name].shape != own[name].shape for name in own):
        given = _without_classifier(_converted(module, given, source), own)
    missing = [name for name in own if name not in given and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in given if name not in own]
    misshaped = [
        f"{name} {tuple(given[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own
        if name in given and given[name].shape != own[name].shape
    ]
    faults = {"missing": missing, "unexpected": unexpected, "of another shape": misshaped}
    problems = [f"{len(names)} {fault}: {_some(names)}" for fault, names in faults.items() if names]
    if problems:
        raise InputError(f"{source} do not fit; {'; '.join(problems)}")
    module.load_state_dict(given, strict=False)


def _bare(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``state`` without the prefixes that trainers leave; beside ``backbone.`` the trainer's own heads are left out.

    A prefix goes as long as that finds more of the network's own names.
    """
    found = dict(state)
    while True:
        shorter = [
            {name.removeprefix(prefix): value for name, value in found.items() if name.startswith(prefix)}
            for prefix in _PREFIXES
        ]
        best = max(shorter, key=lambda names: (_reachable(names, own), len(names)))
        if _reachable(best, own) <= _known(found, own):
            return found
        found = best


def _known(names: Iterable[str], own: Mapping[str, Tensor]) -> int:
    return sum(name in own for name in names)


def _reachable(names: Iterable[str], own: Mapping[str, Tensor]) -> int:
    """How many names are the network's own, once every prefix that they begin with is off."""
    return sum(any(part in own for part in _tails(name)) for name in names)


def _tails(name: str) -> Iterable[str]:
    """``name``, and what is left of it as one prefix after another goes."""
    yield name
    while prefix := next((prefix for prefix in _PREFIXES if name.startswith(prefix)), ""):
        name = name.removeprefix(prefix)
        yield name


def _without_classifier(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A name that looks like a classifier's may be a part of the network: ConvNeXt's normalisation is ``head.norm``."""
    return {name: value for name, value in state.items() if name in own or not name.startswith(_CLASSIFIERS)}


def _converted(module: nn.Module, state: dict[str, Tensor], source: str) -> dict[str, Tensor]:
    """``state`` by timm's own conversion for the network's family: the original authors' naming, other image sizes."""
    convert = getattr(sys.modules[type(module).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return state
    try:
        return dict(convert(state, module))
    except Exception as error:  # a file of another network has not what the conversion looks for
        named = f"expected names such as {_some(module.state_dict())}"
        raise InputError(f"{source} do not fit; found {_some(state)}; {named}") from error


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = len(listed) - _SHOWN
    return ", ".join(listed[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
