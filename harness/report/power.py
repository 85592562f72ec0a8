r"""How many seeds would settle a comparison: one number where the truth is known, a range where it is estimated.

A difference of means over seeds and queries (see ``statistics``) whose true size is mu and whose variance is
E[A] / (S U) from S0 seeds and c from queries is found with S seeds if a two-sided t test has the power: with
V = E[A] S0 / (S U) + c, Welch-Satterthwaite's degrees of freedom f and the noncentral t's parameter d(f) at which the
test has it, if |mu| >= d(f) sqrt(V). So S seeds are enough exactly if |mu| reaches a size that E[A] alone decides.

Both mu and E[A] are estimated, from few seeds. Put into the formula as they were measured they give a number that
wanders: where 11 seeds are needed it answers anything from 5 to more than 10,000. The range here carries the
uncertainty: under the fiducial distribution that the intervals use, the probability that the difference has the
measured sign and S seeds are enough is

    P(S) = sum_i w_i Phi((|mean| - d(f_i) sqrt(V_i)) / sd_i)

over the nodes i of E[A]. The range runs from the S where it reaches 10 % to that where it reaches 90 %; it has no upper
end where it never does, since then the difference may as well be none. With no queries the fiducial distribution of
mu / sd is the exact confidence distribution (the noncentral t's), so that the range covers the true number with 80 %.
``tests/report/test_report_power.py`` simulates what it covers, with queries too.

Pure functions over plain numbers. Refuses to judge.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.special import chdtri, nctdtrinc, ndtr, ndtri, stdtrit

from harness.report.statistics import ALPHA, Chance, Estimate, Floats, inverse_chi2, mixture

POWER = 0.8
RANGE = 0.8
"""Probability that a range is to cover the true number."""
MOST_SEEDS = 10_000
"""Beyond this many, the answer to how many seeds are needed is: no reasonable number."""


@dataclass(frozen=True)
class Needed:
    """How many seeds would settle a comparison, as a range of 80 %."""

    least: int | None
    """None: no number up to 10,000 would."""
    most: int | None
    """None: no number up to 10,000 is sure to."""


def seeds_needed(chance: Chance, effect: float, *, power: float = POWER, alpha: float = ALPHA) -> int | None:
    """Fewest seeds, more than there are, at which a true difference of ``effect`` is found with probability ``power``.

    The variances are taken as the true ones: from S0 to S seeds the seeds' part falls to S0 / S of it, the queries'
    part stays. The power is that of a two-sided t test with Welch-Satterthwaite's degrees of freedom (non-central t).

    Returns:
        None if no number up to 10,000 would do, mostly because the queries are too few.
    """

    def enough(seeds: int) -> bool:
        from_seeds = np.array(chance.from_seeds * chance.seeds / seeds)
        return bool(abs(effect) >= _least_effect(from_seeds, chance, seeds, power, alpha))

    return _fewest(chance.seeds, enough) if effect else None


def needed_for_measured(estimate: Estimate, *, power: float = POWER, alpha: float = ALPHA) -> Needed | None:
    """The range of the seeds that would find the difference that was measured; see the module.

    Args:
        estimate: The difference and what is known of its variance.
        power: Probability with which the difference is to be found.
        alpha: Level of the test that is to find it, corrected for how many are made.

    Returns:
        None where no variance is known.
    """
    chance = estimate.chance
    if chance is None:
        return None
    now, weights = _variances(chance)
    sd = np.sqrt(now + chance.from_units)

    def surely(seeds: int) -> float:
        least = _least_effect(now * chance.seeds / seeds, chance, seeds, power, alpha)
        return float(weights @ ndtr((abs(estimate.mean) - least) / sd))

    low, high = (1 - RANGE) / 2, (1 + RANGE) / 2
    return Needed(
        _fewest(chance.seeds, lambda seeds: surely(seeds) >= low),
        _fewest(chance.seeds, lambda seeds: surely(seeds) >= high),
    )


def needed_for_size(chance: Chance, effect: float, *, power: float = POWER, alpha: float = ALPHA) -> Needed:
    """The range of the seeds that would find a true difference of a given size, for instance the paper's.

    The size is known, the variance between seeds estimated: the range's ends are the numbers at the ends of its 80 %
    interval (chi2 with S - 1 degrees of freedom).
    """
    freedom = chance.seeds - 1
    least, most = (
        seeds_needed(
            Chance(
                chance.seeds, chance.units, chance.from_seeds * freedom / float(chdtri(freedom, p)), chance.from_units
            ),
            effect,
            power=power,
            alpha=alpha,
        )
        for p in ((1 - RANGE) / 2, (1 + RANGE) / 2)
    )
    return Needed(least, most)


def _variances(chance: Chance) -> tuple[Floats, Floats]:
    """Nodes and weights of the seeds' part of the variance, under the distribution that the intervals use."""
    freedom = chance.seeds - 1
    nodes, weights = [], []
    for extra, share in mixture(np.array(chance.from_seeds), np.array(chance.from_units)):
        inverse, weight = inverse_chi2(freedom + extra)
        nodes.append(chance.from_seeds * freedom * inverse)
        weights.append(share * weight)
    return np.concatenate(nodes), np.concatenate(weights)


def _least_effect(from_seeds: Floats, chance: Chance, seeds: int, power: float, alpha: float) -> Floats:
    """The smallest true difference that so many seeds find, for each variance (N,) from seeds."""
    variance = from_seeds + chance.from_units
    # Welch-Satterthwaite's 1 / f, as a mean of the parts' own, so that no variance is too small to be squared.
    share = from_seeds / variance
    inverse_freedom = share**2 / (seeds - 1) + ((1 - share) ** 2 / (chance.units - 1) if chance.units else 0.0)
    return np.asarray(np.exp(_noncentrality(power, alpha)(inverse_freedom)) * np.sqrt(variance))


@lru_cache(maxsize=256)
def _noncentrality(power: float, alpha: float) -> PchipInterpolator:
    """The logarithm of d(f), as a function of 1 / f: exact at 49 f, and smooth between them."""
    inverse = np.linspace(0, 1, 49)  # scipy's power itself, nctdtr, is off by a jump at some arguments
    freedom = 1 / inverse[1:]
    found = nctdtrinc(freedom, 1 - power, stdtrit(freedom, 1 - alpha / 2))
    return PchipInterpolator(inverse, np.log([ndtri(1 - alpha / 2) + ndtri(power), *found]))


def _fewest(above: int, enough: Callable[[int], bool]) -> int | None:
    """The fewest seeds, more than ``above``, that are enough, which more then are, too; None above 10,000."""
    if not enough(MOST_SEEDS):
        return None
    low, high = above, MOST_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
