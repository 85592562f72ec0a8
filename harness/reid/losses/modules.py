"""Losses that are modules, with or without a state of their own, by name."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from harness.plugins import load_object
from harness.reid.losses.center import CenterLoss
from harness.reid.objectives import BY_CLASS, LIBRARY_LOSSES

_LIBRARY = "harness.reid.losses.library"


def reads_classes(active: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a loss among ``active`` keeps something for each training identity, of the embedding's size."""
    return any(name in active for name in BY_CLASS)


def build_modules(
    active: Mapping[str, Mapping[str, Any]],
    *,
    classes: int,
    width: int,
    generator: Callable[[str], torch.Generator],
) -> nn.ModuleDict:
    """The losses among ``active`` that are modules, by name; each is called with embeddings and labels.

    pytorch-metric-learning is loaded by name, so that only the stages that use it have its module in their identity.

    Args:
        active: Settings by loss; see :func:`harness.reid.losses.compute_losses`.
        classes: Training identities.
        width: The embedding's size.
        generator: For the initial values of a loss, by its name.

    Raises:
        InputError: If the library is asked for and not installed.
    """
    modules: dict[str, nn.Module] = {}
    for name, settings in active.items():
        options = {key: value for key, value in settings.items() if key != "weight"}
        if "implementation" in settings:  # a user's function, whatever its name
            continue
        if name == "center":
            modules[name] = CenterLoss(classes, width, **options)
        elif name in LIBRARY_LOSSES:
            modules[name] = load_object(f"{_LIBRARY}:build")(name, options, classes, width, generator(name))
    return nn.ModuleDict(modules)
