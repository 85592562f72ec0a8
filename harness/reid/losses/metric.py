"""Losses on distances within a batch: batch-hard triplet and quadruplet-hard, and what a batch must hold for them.

Who is whose hardest partner is decided from all B x B distances without a gradient; the few distances that enter the
loss are then computed again, straight from the differences, so that backward costs B x D and loses no digits. Their
samples are picked by ``index_select``, whose backward adds rows; that of ``vectors[index]`` is many times as slow.

A batch in which an anchor lacks a partner has no loss. Labels on the CPU are checked, and a bad batch raises
:class:`BatchError`. Reading labels off an accelerator would stall it at every step, so there the caller checks its own
CPU copy with :func:`check_batch` before moving it; a bad batch that slips through gives NaN, never a silent zero.
"""

from collections import Counter
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from harness.reid.losses.geometry import at_least_float32, norms_of, pairwise_distances
from harness.reid.objectives import IDENTITIES_NEEDED


class BatchError(ValueError):
    """A batch in which ``anchor`` (its index, of ``identity``) has no positive or no admissible negative."""

    def __init__(self, message: str, anchor: int, identity: int) -> None:
        super().__init__(message)
        self.anchor = anchor
        self.identity = identity


def check_batch(labels: Tensor, losses: Iterable[str]) -> None:
    """Refuses a batch that the metric losses among ``losses`` cannot use; other names ask for nothing.

    All of them need two images or more of every identity, and two identities; quadruplet three: of an anchor, of its
    negative, and one that is neither.

    Args:
        labels: Identities (B,), on the CPU.
        losses: Names of the losses in use.

    Raises:
        BatchError: Names the first anchor that lacks a partner.
    """
    needs = {name: IDENTITIES_NEEDED[name] for name in losses if name in IDENTITIES_NEEDED}
    if not needs:
        return
    identities = labels.tolist()
    if not identities:
        raise ValueError("the batch is empty")
    images = Counter(identities)
    for anchor, identity in enumerate(identities):
        if images[identity] == 1:
            raise BatchError(
                f"anchor {anchor} (identity {identity}) has no positive: it is the only image of its identity among "
                f"{len(identities)}; expected two or more images of every identity in a batch",
                anchor,
                identity,
            )
    name, needed = max(needs.items(), key=lambda need: need[1])
    if len(images) < needed:
        raise BatchError(
            f"anchor 0 (identity {identities[0]}) has no admissible negative: the batch holds {len(images)} "
            f"{'identity' if len(images) == 1 else 'identities'} ({', '.join(map(str, sorted(images)))}); "
            f"the {name} loss expects {needed} or more",
            0,
            identities[0],
        )


def triplet_loss(embeddings: Tensor, labels: Tensor, *, epsilon: float) -> Tensor:
    """Batch-hard triplet loss (eq. 4): max(0, d(i, j) - d(i, k) + epsilon), averaged over all anchors i.

    j is the farthest sample of i's identity, k the nearest of another, d the unsquared Euclidean distance. Of several
    equally hard samples the first counts.

    Args:
        embeddings: (B, D); see :func:`harness.reid.losses.geometry.l2_normalize` for losses on the unit sphere.
        labels: Identities (B,), on the device of ``embeddings``.
        epsilon: Margin.

    Raises:
        BatchError: An anchor has no positive or no negative (labels on the CPU; on an accelerator the result is NaN).
    """
    same = _same_identity(embeddings, labels, "triplet")
    vectors = at_least_float32(embeddings)
    distances = pairwise_distances(embeddings.detach())
    positive, lacks_positive = _farthest_positive(distances, same)
    negative, lacks_negative = _nearest(distances, ~same)
    to_positive = _distance(vectors, vectors.index_select(0, positive))
    hinges = F.relu(to_positive - _distance(vectors, vectors.index_select(0, negative)) + epsilon)
    return hinges.masked_fill(lacks_positive | lacks_negative, torch.nan).mean()


def quadruplet_loss(embeddings: Tensor, labels: Tensor, *, epsilon1: float, epsilon2: float) -> Tensor:
    """Quadruplet-hard loss (eq. 5), averaged over all anchors i.

    max(0, d(i, j) - d(i, k) + epsilon1) + max(0, d(i, j) - d(k, h) + epsilon2), with j and k as in
    :func:`triplet_loss` and h the sample nearest to k among those of neither i's nor k's identity.

    Args:
        embeddings: (B, D).
        labels: Identities (B,), on the device of ``embeddings``.
        epsilon1: Margin around the anchor, the stronger one (the paper: 0.5).
        epsilon2: Margin between the pairs (the paper: 0.2).

    Raises:
        BatchError: An anchor has no positive, no negative or no h (labels on the CPU; on an accelerator the result is
            NaN).
    """
    same = _same_identity(embeddings, labels, "quadruplet")
    vectors = at_least_float32(embeddings)
    distances = pairwise_distances(embeddings.detach())
    positive, lacks_positive = _farthest_positive(distances, same)
    negative, lacks_negative = _nearest(distances, ~same)
    third, lacks_third = _nearest(distances[negative], ~(same | same[negative]))
    negatives = vectors.index_select(0, negative)
    to_positive = _distance(vectors, vectors.index_select(0, positive))
    hinges = F.relu(to_positive - _distance(vectors, negatives) + epsilon1) + F.relu(
        to_positive - _distance(negatives, vectors.index_select(0, third)) + epsilon2
    )
    return hinges.masked_fill(lacks_positive | lacks_negative | lacks_third, torch.nan).mean()


def _same_identity(embeddings: Tensor, labels: Tensor, loss: str) -> Tensor:
    """(B, B): whether two samples share an identity."""
    if embeddings.ndim != 2 or labels.shape != embeddings.shape[:1]:
        raise ValueError(
            f"expected embeddings (B, D) and labels (B,), found {tuple(embeddings.shape)} and {tuple(labels.shape)}"
        )
    if labels.device.type == "cpu":
        check_batch(labels, [loss])
    return labels[:, None] == labels[None, :]


def _farthest_positive(distances: Tensor, same: Tensor) -> tuple[Tensor, Tensor]:
    """For every row its farthest other sample of the same identity, and whether there is none."""
    positives = same & ~torch.eye(len(same), dtype=torch.bool, device=same.device)
    return distances.masked_fill(~positives, -torch.inf).argmax(dim=1), ~positives.any(dim=1)


def _nearest(distances: Tensor, admissible: Tensor) -> tuple[Tensor, Tensor]:
    """For every row its nearest admissible sample, and whether there is none."""
    return distances.masked_fill(~admissible, torch.inf).argmin(dim=1), ~admissible.any(dim=1)


def _distance(left: Tensor, right: Tensor) -> Tensor:
    """Row by row; the gradient of a vanishing distance is 0."""
    return norms_of(left - right).squeeze(1)
