"""Lengths and distances of vectors, with gradients that stay finite where vectors vanish or coincide."""

import torch
from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """``values`` in float32, or untouched where they are finer already."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def power_of_two_scale(values: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    """The greatest power of two up to the largest magnitude along ``dim`` (kept, of size 1), without a gradient.

    Dividing by it is exact and leaves numbers below 2, whose squares neither overflow nor, where they count, vanish.
    1 where the largest magnitude is below the smallest normal number: what is divided by it would have gradients
    beyond the largest one.

    >>> power_of_two_scale(torch.tensor([[3.0, -5.0], [0.0, 0.0]]), dim=1)
    tensor([[4.],
            [1.]])
    """
    largest = values.detach().abs().amax(dim, keepdim=True)
    mantissas = torch.frexp(largest).mantissa  # 1/2 or more, and less than 1
    return torch.where(largest >= torch.finfo(values.dtype).tiny, largest / (2 * mantissas), 1.0)


def norms_of(vectors: Tensor) -> Tensor:
    """The l2 norm (N, 1) of each row of ``vectors`` (N, D), whatever its scale; the gradient of a zero row is 0."""
    scales = power_of_two_scale(vectors, dim=1)
    norms: Tensor = torch.linalg.vector_norm(vectors / scales, dim=1, keepdim=True) * scales
    return norms


def l2_normalize(vectors: Tensor) -> Tensor:
    """Every row of ``vectors`` (N, D) divided by its l2 norm; a zero row stays zero.

    Its gradient is then passed on unscaled, where dividing by a small constant would multiply it a trillionfold. Rows
    are scaled before anything is squared, so that those of 1e20 or 1e-25 have a direction like all others.

    >>> l2_normalize(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    vectors = at_least_float32(vectors)
    vectors = vectors / power_of_two_scale(vectors, dim=1)
    norms = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    return vectors / torch.where(norms > 0, norms, 1.0)


def pairwise_distances(embeddings: Tensor) -> Tensor:
    """Unsquared Euclidean distances (B, B) between all rows of ``embeddings`` (B, D).

    Computed in float64 by d^2 = |a|^2 + |b|^2 - 2ab: one matrix product instead of B x B x D differences. In float32
    the cancellation would cost half of the digits, in float64 it leaves all that float32 can hold; nor do autocast and
    TF32 touch a float64 product. The mean of the rows is taken off first, which changes no distance and saves the
    digits of an offset that all share. The result has the precision of ``embeddings``, at least float32. Pairs nearer
    than float64 can resolve, each row and itself among them, have distance 0 and gradient 0.

    >>> pairwise_distances(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
    tensor([[0., 5.],
            [5., 0.]])
    """
    vectors = embeddings.double()
    vectors = vectors - vectors.detach().mean(dim=0)
    products = vectors @ vectors.T
    norms_sq = vectors.square().sum(dim=1)
    sums_sq = norms_sq[:, None] + norms_sq[None, :]
    distances_sq = sums_sq - 2 * products
    apart = distances_sq > 8 * torch.finfo(torch.float64).eps * sums_sq
    apart = apart & ~torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    # sqrt never sees the zeros: its gradient there, infinite, would turn into NaN when multiplied by 0.
    distances = torch.where(apart, torch.where(apart, distances_sq, 1.0).sqrt(), 0.0)
    return distances.to(at_least_float32(embeddings).dtype)
