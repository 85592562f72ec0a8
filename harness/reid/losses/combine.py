"""The losses of a stage together: which are on, with which weights, the user's own among them."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from harness.errors import InputError
from harness.plugins import load_object
from harness.reid.losses.attention import self_attention_constraint
from harness.reid.losses.geometry import at_least_float32, l2_normalize
from harness.reid.losses.metric import quadruplet_loss, triplet_loss
from harness.reid.losses.softmax import softmax_loss
from harness.reid.models.output import Output

CustomLoss = Callable[..., Tensor]
"""A user's loss: ``loss(output, labels, **options)`` gives a scalar tensor.

``output`` is the :class:`harness.reid.models.Output` of the batch (embedding, logits, maps), ``labels`` (B,) its
identities as class indices on the same device, and ``options`` what the declaration says. Autocast is off when it is
called.
"""


def load_custom_losses(active: Mapping[str, Mapping[str, Any]]) -> dict[str, CustomLoss]:
    """The functions of the user's own losses among ``active``, by name: those that name an ``implementation``.

    Raises:
        InputError: An implementation cannot be found or is not a function.
    """
    found: dict[str, CustomLoss] = {}
    for name, settings in active.items():
        if "implementation" in settings:
            implementation = load_object(settings["implementation"])
            if not callable(implementation):
                raise InputError(f'loss "{name}": {settings["implementation"]} is not a function')
            found[name] = implementation
    return found


def compute_losses(
    output: Output,
    labels: Tensor,
    active: Mapping[str, Mapping[str, Any]],
    *,
    normalize_embeddings: bool = False,
    custom: Mapping[str, CustomLoss] | None = None,
    modules: nn.ModuleDict | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum of the active losses (eq. 6), and every loss by name before it is weighted.

    Eq. 6 is L = L_sac + L_quad + L_cls, that is ``active`` with sac, quadruplet and softmax, each of weight 1. A loss
    that is not in ``active`` is not computed.

    Args:
        output: What the network gave for the batch.
        labels: Identities (B,) as class indices, on the network's device.
        active: Settings by loss: ``weight`` and the loss's own (``label_smoothing``; ``epsilon``; ``epsilon1`` and
            ``epsilon2``; ...), or ``implementation``, ``weight`` and ``options`` for a user's own.
        normalize_embeddings: Whether the losses on distances see l2-normalised embeddings.
        custom: The functions of the user's own losses; see :func:`load_custom_losses`.
        modules: The losses that are modules; see :func:`harness.reid.losses.build_modules`.

    Raises:
        BatchError: See :mod:`harness.reid.losses.metric`.
        InputError: A user's own loss gives something else than a scalar tensor.
        ValueError: No loss is active, or softmax is and the network has no classifier.
    """
    if not active:
        raise ValueError("no loss is active")
    terms: dict[str, Tensor] = {}
    with torch.autocast(output.embedding.device.type, enabled=False):
        embeddings = l2_normalize(output.embedding) if normalize_embeddings else output.embedding
        for name, settings in active.items():
            if custom and name in custom:
                term = custom[name](output, labels, **settings.get("options", {}))
                terms[name] = _scalar(name, term)
            elif modules is not None and name in modules:
                terms[name] = modules[name](at_least_float32(embeddings), labels)
            else:
                options = {key: value for key, value in settings.items() if key != "weight"}
                terms[name] = _function_loss(name, output, embeddings, labels, options)
        total = torch.stack([settings["weight"] * terms[name] for name, settings in active.items()]).sum()
    return total, terms


def _function_loss(name: str, output: Output, embeddings: Tensor, labels: Tensor, options: dict[str, Any]) -> Tensor:
    match name:
        case "softmax":
            if output.logits is None:
                raise ValueError("the softmax loss needs a classifier, and the network has none")
            return softmax_loss(output.logits, labels, **options)
        case "triplet":
            return triplet_loss(embeddings, labels, **options)
        case "quadruplet":
            return quadruplet_loss(embeddings, labels, **options)
        case "sac":
            return self_attention_constraint(output.maps, **options)
    raise ValueError(f'loss "{name}" is neither one of the paper\'s nor among the losses given')


def _scalar(name: str, term: object) -> Tensor:
    """``term``, if it is what a loss must be."""
    if not isinstance(term, Tensor) or term.ndim != 0:
        found = f"a tensor of shape {tuple(term.shape)}" if isinstance(term, Tensor) else type(term).__name__
        raise InputError(f'loss "{name}" gave {found}; expected a scalar tensor (take a mean or a sum)')
    return term
