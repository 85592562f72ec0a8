"""Which images make up the batches of an epoch: shuffled, or so many images of so many identities.

Pure functions of the labels and a generator: equal generators give equal batches.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from harness.errors import InputError

Batches = NDArray[np.int64]


def shuffled_batches(images: int, batch_size: int, generator: torch.Generator) -> Batches:
    """Every image once in a random order; the images of a last, smaller batch are left out of this epoch.

    Args:
        images: Number of images, at least 1.
        batch_size: Images a batch. If there are fewer images than that, all of them make the one batch.
        generator: A generator on the CPU.

    Returns:
        Indices of images, shape (batches, batch_size).

    >>> shuffled_batches(10, 4, torch.Generator().manual_seed(0)).shape
    (2, 4)
    >>> shuffled_batches(3, 4, torch.Generator().manual_seed(0)).shape
    (1, 3)
    """
    if images < 1 or batch_size < 1:
        raise InputError(f"cannot make batches of {batch_size} from {images} images")
    size = min(batch_size, images)
    order: Batches = torch.randperm(images, generator=generator).numpy()
    return order[: images // size * size].reshape(-1, size)


def identity_batches(labels: NDArray[np.int64], identities: int, images: int, generator: torch.Generator) -> Batches:
    """Batches of ``identities`` (P) different identities with ``images`` (K) images each.

    An epoch shows about as many images as there are: an identity with n images is visited max(1, round(n / K)) times,
    each visit showing its next K images in an order reshuffled every epoch; once all were shown, it starts over.
    An identity with fewer than K images fills its visits by repeating them as evenly as can be.

    The number of batches is that of the visits divided by P, rounded up, and no batch holds an identity twice. So an
    identity with very many images is visited once a batch at most, and places that are left over (in the last batch,
    or for want of identities) go to further visits, evenly, to identities drawn at random.

    Args:
        labels: Identity of each image, shape (N,).
        identities: P.
        images: K.
        generator: A generator on the CPU.

    Returns:
        Indices of images, shape (batches, P * K); the K images of an identity are adjacent.

    Raises:
        InputError: If there are fewer than P identities.
    """
    _, counts = np.unique(labels, return_counts=True)
    if len(counts) < identities or identities < 1 or images < 1:
        raise InputError(
            f"a batch of {identities} identities x {images} images cannot be drawn from {len(counts)} identities "
            f"({len(labels)} images); expected at most {len(counts)} identities a batch"
        )
    visits = _visits(counts, identities, images, generator)
    groups = _groups(visits, identities, generator)
    return _images(labels, counts, groups, images, generator)


def _visits(counts: Batches, identities: int, images: int, generator: torch.Generator) -> Batches:
    """How often each identity is visited, (I,); the sum is P times the number of batches, and none exceeds that."""
    wanted = np.maximum(1, (2 * counts + images) // (2 * images))
    batches = -(-int(wanted.sum()) // identities)
    visits = np.minimum(wanted, batches)
    while (places := identities * batches - int(visits.sum())) > 0:
        able = np.flatnonzero(visits < batches)
        visits[able[torch.randperm(len(able), generator=generator).numpy()[:places]]] += 1
    return visits


def _groups(visits: Batches, identities: int, generator: torch.Generator) -> Batches:
    """Which identities meet in each batch, (batches, P): drawn without replacement, weighted by the visits left.

    An identity with as many visits left as there are batches must be drawn; there are never more than P of them.
    """
    batches = int(visits.sum()) // identities
    # The P largest of log(u) / w are a weighted draw without replacement (Efraimidis and Spirakis 2006).
    noise = np.log(torch.rand(batches, len(visits), generator=generator, dtype=torch.float64).numpy() + 1e-300)
    left = visits.copy()
    groups = np.empty((batches, identities), dtype=np.int64)
    for batch in range(batches):
        keys = np.divide(noise[batch], left, out=np.full(len(left), -np.inf), where=left > 0)
        keys[left == batches - batch] = np.inf
        groups[batch] = np.argpartition(keys, len(keys) - identities)[len(keys) - identities :]
        left[groups[batch]] -= 1
    return groups


def _images(
    labels: NDArray[np.int64], counts: Batches, groups: Batches, images: int, generator: torch.Generator
) -> Batches:
    """Indices of the images for each identity's visits, in the order of the visits."""
    noise = torch.rand(len(labels), generator=generator, dtype=torch.float64).numpy()
    order = np.lexsort((noise, labels))  # the images of one identity side by side, shuffled among themselves
    starts = np.cumsum(counts) - counts
    flat = groups.ravel()
    # The running number of each visit to its identity: its place among the equal entries of the flat list.
    by_identity = np.argsort(flat, kind="stable")
    visits = np.bincount(flat, minlength=len(counts))
    number = np.empty(len(flat), dtype=np.int64)
    number[by_identity] = np.arange(len(flat)) - np.repeat(np.cumsum(visits) - visits, visits)
    places = (number[:, None] * images + np.arange(images)) % counts[flat][:, None]
    return order[starts[flat][:, None] + places].reshape(len(groups), -1)
