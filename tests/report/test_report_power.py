"""How many seeds would settle a comparison, against textbooks, oracles and a known truth."""

import numpy as np
import pytest
from scipy.special import ndtr, stdtrit

from harness.report.power import Needed, needed_for_measured, needed_for_size, seeds_needed
from harness.report.statistics import Chance, Estimate, estimate, half_widths, inverse_chi2, variances

Sds = tuple[float, float, float]
"""Of seeds, units and the rest."""


def drawn(rng: np.random.Generator, tables: int, seeds: int, units: int, sds: Sds) -> np.ndarray:
    """Tables y_su = a_s + b_u + e_su of truth 0."""
    a, b, e = sds
    return (
        a * rng.standard_normal((tables, seeds, 1))
        + b * rng.standard_normal((tables, 1, units))
        + e * rng.standard_normal((tables, seeds, units))
    )


def test_seeds_needed_is_the_sample_size_of_a_paired_t_test() -> None:
    # Effect 0.5 sd: the textbook's answer is 34 pairs at 80 % power and 5 %.
    assert seeds_needed(Chance(3, 0, 1.0 / 3, 0.0), 0.5) == 34


def test_seeds_that_did_not_settle_it_are_not_said_to_be_enough() -> None:
    assert seeds_needed(Chance(6, 0, 1.0 / 6, 0.0), 5.0) == 7


def test_seeds_needed_gives_the_power_that_it_promises() -> None:
    seeds, units, effect = 4, 100, 0.05
    a, b, e = 0.04, 0.05, 0.1
    chance = Chance(seeds, units, a**2 / seeds + e**2 / (seeds * units), b**2 / units)
    needed = seeds_needed(chance, effect)
    tables = drawn(np.random.default_rng(5), 8000, needed, units, (a, b, e)) + effect
    found = np.mean(tables.mean(axis=(1, 2)) > half_widths(*variances(tables), needed, units))
    assert 0.72 < found < 0.92


def test_no_number_of_seeds_makes_up_for_too_few_queries() -> None:
    assert seeds_needed(Chance(3, 50, 0.01, 1.0), 0.5) is None
    assert seeds_needed(Chance(3, 0, 1.0, 0.0), 0.0) is None


@pytest.mark.parametrize(("variance", "effect"), [(1.0, 0.5), (1.0, 2.0), (0.3, 0.1), (0.0124, 0.5)])
@pytest.mark.parametrize("alpha", [0.05, 0.004])
def test_seeds_needed_is_the_first_number_whose_power_by_quadrature_is_enough(
    variance: float, effect: float, alpha: float
) -> None:
    """P(T > t) = E Phi(d - t sqrt(chi2 / f)). scipy's own jumps: some variances took 652 seeds, not 12."""

    def power(seeds: int) -> float:
        inverse, weights = inverse_chi2(seeds - 1)
        critical = stdtrit(seeds - 1, 1 - alpha / 2)
        return float(weights @ ndtr(effect / np.sqrt(variance / seeds) - critical / np.sqrt(inverse * (seeds - 1))))

    slow = next(seeds for seeds in range(4, 10_001) if power(seeds) >= 0.8)
    assert seeds_needed(Chance(3, 0, variance / 3, 0.0), effect, alpha=alpha) == slow


def test_more_variance_never_needs_fewer_seeds() -> None:
    found = [seeds_needed(Chance(3, 0, variance / 3, 0.0), 0.5) for variance in np.linspace(0.01, 3, 600)]
    assert found == sorted(found)


WORLDS: list[tuple[int, int, Sds, float]] = [
    *((seeds, 0, (1.0, 0.0, 0.0), effect) for seeds in (3, 5, 10) for effect in (0.0, 0.5, 0.92)),
    *((seeds, 100, (1.0, b, 2.0), effect) for seeds in (3, 10) for b, effect in ((3.0, 0.8), (1.0, 0.9))),
]


def as_numbers(needed: Needed) -> tuple[float, float]:
    return needed.least or np.inf, needed.most or np.inf


@pytest.mark.parametrize(("seeds", "units", "sds", "effect"), WORLDS, ids=str)
def test_the_ranges_cover_the_true_number_with_80_percent(seeds: int, units: int, sds: Sds, effect: float) -> None:
    """Over 300 tables, within 3.5 standard errors; more is covered where the queries' part varies more than assumed."""
    tables = 300
    rng = np.random.default_rng([seeds, units, int(100 * effect)])
    a, b, e = sds
    truth = Chance(seeds, units, a**2 / seeds + (e**2 / (seeds * units) if units else 0), b**2 / units if units else 0)
    needed = seeds_needed(truth, effect) or np.inf
    as_measured = as_claimed = 0
    for table in drawn(rng, tables, seeds, units or 1, sds) + effect:
        found = estimate(table.mean(axis=1), table if units else None)
        low, high = as_numbers(needed_for_measured(found))
        as_measured += low <= needed <= high
        low, high = as_numbers(needed_for_size(found.chance, effect))
        as_claimed += low <= needed <= high
    assert min(as_measured, as_claimed) / tables > 0.8 - 3.5 * np.sqrt(0.8 * 0.2 / tables)


def test_a_difference_that_may_be_none_has_no_upper_end() -> None:
    # t = 0.5 at 4 seeds: the 80 % confidence interval of the true difference holds 0.
    found = needed_for_measured(Estimate(0.25, 1.0, Chance(4, 0, 0.25, 0.0), 4))
    assert found is not None
    assert found.most is None
    assert found.least is not None


def test_no_range_without_a_variance() -> None:
    assert needed_for_measured(Estimate(0.25, None, None, 1)) is None
