"""A search among equally good points, from a known truth: how often its winner is called better, and by how much.

A result of a point, a seed and an identity is the identity's difficulty, the seed's luck with the point, how the point
suits the identity (their interaction, which is no luck of a training: another seed finds it again) and a rest. All
points are equally good over all identities. The point with the best mean over its seeds is chosen, then it and the
reference, one of the points, are measured again under fresh seeds: on the identities that chose, as a search did before
it divided them, or on others.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.report.statistics import ALPHA, p_values, variances

POINTS, SEEDS = 15, 3
SUITING_SD, REST_SD = 0.05, 0.1
_AT_ONCE = 1000


@dataclass(frozen=True)
class Choices:
    """What became of the searches."""

    better: float
    """Share in which the chosen point was called better than the reference. An interval of 95 % promises 2.5 %."""
    bias: float
    """Mean of the measured differences between the chosen point and the reference, whose truth is 0."""


def simulate(
    generator: np.random.Generator, searches: int, identities: int, seed_sd: float, *, divided: bool
) -> Choices:
    """Draws searches with so many held-out identities, divided into two halves or not."""
    half = identities // 2
    choosing, confirming = (slice(half), slice(half, None)) if divided else (slice(None), slice(None))
    better, total, done = 0, 0.0, 0
    while done < searches:
        suits = SUITING_SD * generator.standard_normal((_AT_ONCE, POINTS, identities))
        chosen_on = suits[:, :, choosing]
        luck = math.sqrt(seed_sd**2 / SEEDS + REST_SD**2 / (SEEDS * chosen_on.shape[2]))
        values = chosen_on.mean(axis=2) + luck * generator.standard_normal((_AT_ONCE, POINTS))
        best = values.argmax(axis=1)
        searched = np.flatnonzero(best != 0)  # where the reference itself wins there is nothing to compare
        difference = _again(suits[searched, best[searched]][:, confirming], seed_sd, generator)
        difference -= _again(suits[searched, 0][:, confirming], seed_sd, generator)
        means = difference.mean(axis=(1, 2))
        p = p_values(means, *variances(difference), SEEDS, difference.shape[2])
        better += int(((p <= ALPHA) & (means > 0)).sum())
        total += float(means.sum())
        done += _AT_ONCE
    return Choices(better / done, total / done)


def _again(suits: NDArray[np.float64], seed_sd: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """Fresh results (searches, seeds, identities) of a point; what identities bring to all points falls out."""
    searches, identities = suits.shape
    luck = seed_sd * generator.standard_normal((searches, SEEDS, 1))
    rest = REST_SD * generator.standard_normal((searches, SEEDS, identities))
    again: NDArray[np.float64] = suits[:, None, :] + luck + rest
    return again
