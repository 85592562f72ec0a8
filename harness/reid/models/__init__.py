"""Networks: a backbone of timm's or a user's own, with stage 6, multi-level features and an optional classifier.

Owns the architecture, its initial values, its weights and its cost. Refuses losses, data and training. The names below
are imported when first asked for, so that :func:`weights_identity` can be had without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from harness.reid.models.sources import weights_anywhere, weights_identity

if TYPE_CHECKING:
    from harness.reid.models.cost import network_cost
    from harness.reid.models.network import Network, build_network, parameter_groups
    from harness.reid.models.output import Output

__all__ = [
    "Network",
    "Output",
    "build_network",
    "network_cost",
    "parameter_groups",
    "weights_anywhere",
    "weights_identity",
]

_HOMES = {
    "Cost": "cost",
    "Network": "network",
    "Output": "output",
    "ParameterGroups": "network",
    "build_network": "network",
    "network_cost": "cost",
    "parameter_groups": "network",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
