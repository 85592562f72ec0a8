"""How much of the differences between trials is noise of their seeds.

Trials train under the same seeds, hence in pairs: an effect of a seed on all of them is not noise between them. So
noise is what is left when every trial and every seed has been given a mean of its own (a two-way analysis of variance
without replication).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.95
"""Of the one-sided test that one trial is behind another."""


@dataclass(frozen=True)
class Noise:
    """Noise, estimated from trials under the same seeds."""

    sd: float
    """Of one result, beside the means of its trial and its seed."""
    freedom: int
    seeds: int
    p_value: float
    """How often noise alone makes trials differ as much as these do; small: some trials are better than others."""

    @property
    def allowed(self) -> float:
        """A difference of two trials' means that noise explains, at ``LEVEL``, one-sided."""
        return float(stats.t.ppf(LEVEL, self.freedom)) * self.sd * float(np.sqrt(2.0 / self.seeds))


def noise_of(results: Sequence[Sequence[float]]) -> Noise | None:
    """The noise between trials; None with fewer than two trials or two seeds, which show none.

    Args:
        results: A row a trial, a column a seed.

    >>> noise = noise_of([[0.51, 0.49], [0.59, 0.61]])  # means 0.5, 0.6; seeds 0.55, 0.55: 0.01 is left in each cell
    >>> round(noise.sd, 12), noise.freedom  # the root of 4 * 0.0001 / 1
    (0.02, 1)
    """
    table = np.array(results, dtype=np.float64)
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1) if table.ndim == 2 else 0
    if freedom <= 0:
        return None
    trials, seeds = table.shape
    means = table.mean(axis=1)
    left = table - means[:, None] - table.mean(axis=0) + table.mean()
    sd = float(np.sqrt((left**2).sum() / freedom))
    between = seeds * float(means.var(ddof=1))
    p_value = float(stats.f.sf(between / sd**2, trials - 1, freedom)) if sd > 0 else float(between == 0)
    return Noise(sd, freedom, seeds, p_value)
