r"""Intervals and tests for means over seeds and queries. Pure functions over plain arrays.

Two sources of chance. Training again under another seed gives other weights; asking other queries gives other
answers. With S seeds and U units of query sampling (identities where they are known, since the queries of one person
share their matches; else the queries themselves) a result is a crossed table

    y_su = mu + a_s + b_u + e_su,    Var(mean) = var(a) / S + var(b) / U + var(e) / (S U).

Estimand: mu, the result to expect from another training *and* from other queries of the same kind. ``Estimate`` also
gives the interval for this very test set, over seeds alone, which is the only one where per-query results are missing.

The method. With the mean squares A (seeds), B (units) and E (rest), E[A] = var(e) + U var(a) and the variance of the
mean is (E[A] + c) / (S U), with c = S var(b) estimated by max(B - E, 0). U is large, so c is all but known; A has only
f = S - 1 degrees of freedom. Under the prior (E[A] + k c) / E[A]^2 the posterior of E[A] is a mixture of A f / chi2_f,
with weight A / (A + k c), and A f / chi2_{f+2}. The interval's half-width is the quantile of |N(0, (E[A] + c) / (S U))|
under it. For c = 0 this is Student's interval over seeds, for A = 0 the normal one over queries (with Student's
quantile for few units). Between the two, k decides: k = 0 is the fiducial interval of Behrens and Fisher, which covers
up to 97.6 % at three seeds; k = 1 is the second-order probability-matching prior (by the condition of Mukerjee and
Ghosh 1997), which covers as little as 93.6 %. ``MIXING``, 0.2, holds at every share of the two sources

    seeds      2              3              5              10
    covers     93.3 - 96.8 %  94.9 - 96.5 %  95.0 - 95.9 %  95.0 - 95.5 %

by quadrature, without chance (``tests/report/test_report_statistics.py`` checks it). In the far tail that Holm's
correction looks at, three seeds keep the error within 1.6 times the nominal at 99.6 %, five within 1.03; two seeds do
not. For finitely many units, bounded and skewed results, paired differences and verdicts
``python tests/benchmarks/intervals.py`` simulates the same from a known truth, beside other methods: at three seeds
Welch-Satterthwaite's degrees of freedom cover as little as 92 %, a percentile bootstrap over the seeds at best 73 %.

Refuses: an interval from one seed (its variance is unknown), and to know what the numbers mean.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv, gammaln, ndtr, ndtri, stdtrit

from harness.settle.holm import holm as holm

Floats = NDArray[np.float64]

LEVEL = 0.95
ALPHA = 1 - LEVEL
_ROUNDING = 1e-10
"""Relative to the numbers behind a mean: a standard deviation below it is rounding, and none at all."""
MIXING = 0.2
"""The prior's k; see the module for what it holds."""
_STEPS = 40


@dataclass(frozen=True)
class Chance:
    """The known parts of a mean's variance."""

    seeds: int
    units: int
    """Units of query sampling; 0 if only the seeds' means are known."""
    from_seeds: float
    """Variance of the mean between trainings on this test set; falls as 1 / seeds."""
    from_units: float
    """The part due to the choice of queries; more seeds do not lower it."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds (or a difference of means), and how well it is known."""

    mean: float
    sd: float | None
    """Standard deviation of the seeds' means (n - 1); None with one seed."""
    chance: Chance | None
    """None with one seed, and where no two values differ: there is no interval."""
    seeds: int
    clip: bool = False
    """Whether the value is a fraction, whose interval ends at 0 and 1."""
    share: float = 1.0
    """The part of the error that this look at the seeds may spend, less than 1 where the number of seeds depended on
    results (``harness.settle``): intervals are wider, p-values larger, and hold although it did."""

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval over seeds and queries (over seeds where no per-query results are known)."""
        return None if self.chance is None else self._around(half_width(self.chance, self._level))

    @cached_property
    def interval_this_test_set(self) -> tuple[float, float] | None:
        """95 % interval over seeds alone: for training again and asking the very same queries."""
        if self.chance is None or not self.chance.from_seeds:
            return None
        return self._around(half_width(Chance(self.chance.seeds, 0, self.chance.from_seeds, 0.0), self._level))

    @cached_property
    def p_value(self) -> float | None:
        """Two-sided p-value of the mean against 0, by the interval's own method."""
        if self.chance is None:
            return None
        return min(1.0, self.p_value_around(0.0) / self.share)

    def p_value_around(self, value: float) -> float:
        """Two-sided p-value of the mean against a value, as if there had been one look. Needs a known chance."""
        assert self.chance is not None
        return float(p_values(np.array([self.mean - value]), *_as_arrays(self.chance))[0])

    def reversed(self) -> "Estimate":
        """The difference seen from the other side."""
        return replace(self, mean=-self.mean)

    @property
    def _level(self) -> float:
        return 1 - ALPHA * self.share

    def _around(self, half: float) -> tuple[float, float]:
        low, high = self.mean - half, self.mean + half
        return (max(low, 0.0), min(high, 1.0)) if self.clip else (low, high)


def estimate(
    means: Floats, table: Floats | None = None, *, clip: bool = False, scale: float | None = None, share: float = 1.0
) -> Estimate:
    """The mean over seeds and what is known of its variance.

    Args:
        means: (S,) the result of each seed.
        table: (S, U) the same results by unit of query sampling, row means equal to ``means``; None if not known.
        clip: Whether the values are fractions in [0, 1].
        scale: The largest size of the numbers that the means were computed from, whose rounding is no variance; by
            default that of the means.
        share: See :class:`Estimate`.

    >>> round(estimate(np.array([0.5, 0.6, 0.7])).interval[0], 3)  # 0.6 - 4.303 * 0.1 / sqrt(3)
    0.352
    """
    seeds = len(means)
    mean = float(np.mean(means))
    if seeds < 2:
        return Estimate(mean, None, None, seeds, clip, share)
    rounding = _ROUNDING * (float(np.max(np.abs(means))) if scale is None else scale)
    sd = float(np.std(means, ddof=1))
    sd = sd if sd > rounding else 0.0
    chance = Chance(seeds, 0, sd**2 / seeds, 0.0)
    if table is not None and table.shape[1] > 1:
        from_seeds, from_units = (float(part) if part > rounding**2 else 0.0 for part in variances(table))
        chance = Chance(seeds, table.shape[1], from_seeds if sd else 0.0, from_units)
    known = chance.from_seeds + chance.from_units > 0
    return Estimate(mean, sd, chance if known else None, seeds, clip, share)


def variances(table: Floats) -> tuple[Floats, Floats]:
    """The two parts of the variance of a crossed table's mean: from seeds (A / SU) and from units (max(B - E, 0) / SU).

    Args:
        table: (..., S, U), any number of tables.

    >>> from_seeds, from_units = variances(np.array([[1.0, 3.0], [2.0, 4.0]]))  # A = 1, B = 4, E = 0; SU = 4
    >>> float(from_seeds), float(from_units)
    (0.25, 1.0)
    """
    seeds, units = table.shape[-2:]
    a, b, e = mean_squares(table)
    return a / (seeds * units), np.maximum(b - e, 0.0) / (seeds * units)


def mean_squares(table: Floats) -> tuple[Floats, Floats, Floats]:
    """The mean squares of a crossed table: of seeds (A), of units (B), of the rest (E).

    Args:
        table: (..., S, U), any number of tables, at least two of each.
    """
    seeds, units = table.shape[-2:]
    centred = table - table.mean(axis=(-2, -1), keepdims=True)
    by_seed, by_unit = centred.mean(axis=-1), centred.mean(axis=-2)
    squares_a = units * np.square(by_seed).sum(axis=-1)
    squares_b = seeds * np.square(by_unit).sum(axis=-1)
    squares_e = np.maximum(np.square(centred).sum(axis=(-2, -1)) - squares_a - squares_b, 0.0)
    return squares_a / (seeds - 1), squares_b / (units - 1), squares_e / ((seeds - 1) * (units - 1))


def half_width(chance: Chance, level: float = LEVEL) -> float:
    """Half the width of the interval around a mean with this chance; see the module for the method."""
    return float(half_widths(*_as_arrays(chance), level=level)[0])


def half_widths(from_seeds: Floats, from_units: Floats, seeds: int, units: int, *, level: float = LEVEL) -> Floats:
    """Half-widths of many intervals at once.

    Args:
        from_seeds: (N,) variances of the means from seeds.
        from_units: (N,) variances that the units add; no two may be 0 together.
        seeds: Seeds of each, at least 2.
        units: Units of query sampling; 0 if there are none.
        level: Probability that an interval is to cover.
    """
    distance = ndtri((1 + level) / 2) * np.sqrt(from_seeds + from_units)
    for _ in range(_STEPS):
        # Newton's method on log(tail) over log(distance), which falls ever more steeply: it converges from the right.
        tail, density = _tail(distance, from_seeds, from_units, seeds, units)
        step = tail * np.log(tail / (1 - level)) / (density * distance)
        distance = distance * np.exp(np.minimum(step, 4.0))
        if np.all(np.abs(step) < 1e-13):
            break
    return np.asarray(distance)


def p_values(means: Floats, from_seeds: Floats, from_units: Floats, seeds: int, units: int) -> Floats:
    """Two-sided p-values of many means (N,) against 0; the other arguments are those of :func:`half_widths`."""
    return _tail(np.abs(means), from_seeds, from_units, seeds, units)[0]


def _tail(distance: Floats, from_seeds: Floats, from_units: Floats, seeds: int, units: int) -> tuple[Floats, Floats]:
    """Probability that the mean lies farther than ``distance`` (N,) from the truth, and its density there."""
    freedom = seeds - 1
    if units:  # the queries' own part is estimated from finitely many units
        from_units = from_units * (stdtrit(units - 1, 1 - ALPHA / 2) / ndtri(1 - ALPHA / 2)) ** 2
    tail, density = np.zeros_like(distance), np.zeros_like(distance)
    for extra, weight in mixture(from_seeds, from_units):
        inverse, weights = inverse_chi2(freedom + extra)
        sd = np.sqrt(from_seeds[:, None] * freedom * inverse + from_units[:, None])
        z = distance[:, None] / sd
        tail += weight * (2 * ndtr(-z) @ weights)
        density += weight * (math.sqrt(2 / math.pi) * np.exp(-z * z / 2) / sd @ weights)
    return tail, density


def mixture(from_seeds: Floats, from_units: Floats) -> tuple[tuple[int, Floats], ...]:
    """The parts of the posterior of E[A], by degrees of freedom beyond S - 1, with their weights; see the module."""
    share = MIXING * from_units / (from_seeds + MIXING * from_units)
    return (0, 1 - share), (2, share)


@lru_cache(maxsize=64)
def inverse_chi2(freedom: int) -> tuple[Floats, Floats]:
    """Nodes and weights of the distribution of 1 / chi2: Gauss-Legendre in the cube root of the probability.

    The cube root puts nodes where chi2 is tiny, which decides the far tail.
    """
    x, w = np.polynomial.legendre.leggauss(64)
    root = (x + 1) / 2
    return 1 / (2 * gammaincinv(freedom / 2, root**3)), 1.5 * w * root**2


def _as_arrays(chance: Chance) -> tuple[Floats, Floats, int, int]:
    return np.array([chance.from_seeds]), np.array([chance.from_units]), chance.seeds, chance.units


def effect_size(difference: Estimate) -> float | None:
    """Hedges' g_z: the mean paired difference in standard deviations between seeds, corrected for few seeds.

    g_z = J(f) mean / sd with f = S - 1 and J(f) = Gamma(f/2) / (sqrt(f/2) Gamma((f-1)/2)); None below three seeds,
    where no unbiased estimate exists, and without spread.

    >>> round(effect_size(Estimate(0.03, 0.02, None, 3)), 4)  # J(2) = 1 / Gamma(1/2) = 0.5642, times 1.5
    0.8463
    """
    if difference.seeds < 3 or not difference.sd:
        return None
    half = (difference.seeds - 1) / 2
    correction = math.exp(gammaln(half) - gammaln(half - 0.5)) / math.sqrt(half)
    return correction * difference.mean / difference.sd
