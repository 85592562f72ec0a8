import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_world import answers
from scipy.special import gammaincinv, ndtr, stdtrit

from harness.report.claims import contradicts
from harness.report.statistics import (
    Chance,
    Estimate,
    effect_size,
    estimate,
    half_width,
    half_widths,
    holm,
    p_values,
    variances,
)

REPLICATIONS = 8000
ERROR = 3.5 * math.sqrt(0.05 * 0.95 / REPLICATIONS)
"""What chance allows a simulated coverage to lie beside the true one, with 3.5 standard errors."""


@pytest.mark.parametrize(
    ("seeds", "least", "most"), [(2, 0.933, 0.968), (3, 0.949, 0.965), (5, 0.95, 0.959), (10, 0.95, 0.955)]
)
def test_intervals_of_normal_results_cover_what_the_docstring_says_at_every_share(
    seeds: int, least: float, most: float
) -> None:
    """Without chance: A f / E[A] of the seeds is chi2_f, and given A the coverage is 2 Phi(half-width) - 1."""
    freedom = seeds - 1
    x, w = np.polynomial.legendre.leggauss(200)
    root = (x + 1) / 2  # probabilities are its cubes, so that small A have many nodes
    mean_squares = 2 * gammaincinv(freedom / 2, root**3) / freedom
    units = 10**7  # so many that their part is known
    for share in (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99):
        half = half_widths((1 - share) * mean_squares, np.full_like(root, share), seeds, units)
        covered = float(1.5 * w * root**2 @ (2 * ndtr(half) - 1))
        assert least - 0.0005 < covered < most + 0.0005, share


def crossed(rng: np.random.Generator, seeds: int, units: int, a: float, b: float, e: float) -> np.ndarray:
    """Tables y_su = a_s + b_u + e_su of truth 0, REPLICATIONS of them."""
    return (
        a * rng.standard_normal((REPLICATIONS, seeds, 1))
        + b * rng.standard_normal((REPLICATIONS, 1, units))
        + e * rng.standard_normal((REPLICATIONS, seeds, units))
    )


def coverage(tables: np.ndarray, truth: float = 0.0) -> float:
    """How often the interval of a table's mean covers the truth."""
    half = half_widths(*variances(tables), *tables.shape[1:])
    return float(np.mean(np.abs(tables.mean(axis=(1, 2)) - truth) <= half))


# The three parts' shares of the mean's variance, from seeds alone to queries alone, by way of noise.
SHARES = [(1.0, 0.0, 0.0), (0.9, 0.1, 0.0), (0.7, 0.3, 0.0), (0.5, 0.5, 0.0), (0.2, 0.8, 0.0), (0.0, 1.0, 0.0)]
SHARES += [(0.4, 0.3, 0.3), (0.63, 0.07, 0.3), (0.1, 0.3, 0.6), (0.01, 0.0, 0.99)]


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("shares", SHARES, ids=str)
def test_intervals_over_seeds_and_queries_cover_93_to_97_percent(seeds: int, shares: tuple[float, ...]) -> None:
    units = 60
    a, b, e = (math.sqrt(share * n) for share, n in zip(shares, (seeds, units, seeds * units), strict=True))
    found = coverage(crossed(np.random.default_rng([seeds, *(int(100 * s) for s in shares)]), seeds, units, a, b, e))
    assert 0.93 - ERROR < found < 0.97 + ERROR


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("seed_sd", [0.0, 0.06, 0.15])
def test_intervals_cover_the_average_precision_and_the_rank_1_of_a_made_up_test_set(seeds: int, seed_sd: float) -> None:
    """Bounded, skewed results: AP is a logistic of difficulty, seed and noise, and rank 1 a coin of it."""
    rng = np.random.default_rng([seeds, int(100 * seed_sd)])
    replications, units = 2000, 100
    logit = (
        1.2
        + seed_sd * rng.standard_normal((replications, seeds, 1))
        + 1.2 * rng.standard_normal((replications, 1, units))
        + 0.5 * rng.standard_normal((replications, seeds, units))
    )
    precision = 1 / (1 + np.exp(-logit))
    hits = (rng.random(precision.shape) < precision).astype(float)
    # The expectation over all three sources: a logistic of a normal, by Gauss-Hermite quadrature.
    x, w = np.polynomial.hermite_e.hermegauss(80)
    sd = math.sqrt(seed_sd**2 + 1.2**2 + 0.5**2)
    truth = float((w / w.sum()) @ (1 / (1 + np.exp(-(1.2 + sd * x)))))
    allowed = 3.5 * math.sqrt(0.05 * 0.95 / replications)
    for tables in (precision, hits):
        assert 0.93 - allowed < coverage(tables, truth) < 0.97 + allowed


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("better_by", [0.0, 0.01])
def test_intervals_of_paired_differences_cover_and_a_true_claim_is_rarely_contradicted(
    seeds: int, better_by: float
) -> None:
    """Two rows share the seeds' and queries' luck; row A is better by half a seed's deviation, or by nothing at all."""
    rng = np.random.default_rng([seeds, int(100 * better_by)])
    units = 80
    common = 0.2 * rng.standard_normal((REPLICATIONS, 1, units))
    common = common + 0.02 * rng.standard_normal((REPLICATIONS, seeds, 1))
    rows = [
        common
        + 0.02 * rng.standard_normal((REPLICATIONS, seeds, 1))
        + 0.05 * rng.standard_normal((REPLICATIONS, 1, units))
        + 0.1 * rng.standard_normal((REPLICATIONS, seeds, units))
        for _ in range(2)
    ]
    difference = rows[0] - rows[1] + better_by
    parts = variances(difference)
    mean = difference.mean(axis=(1, 2))
    covered = np.mean(np.abs(mean - better_by) <= half_widths(*parts, seeds, units))
    assert 0.93 < covered < 0.97
    wrong = [contradicts(*judged) for judged in zip(mean, p_values(mean, *parts, seeds, units), strict=True)]
    assert np.mean(wrong) < 0.02


def test_identities_as_units_cover_where_queries_as_units_do_not() -> None:
    """Four queries an identity, alike in difficulty: taken as independent they promise too much."""
    rng = np.random.default_rng(0)
    identities, seeds, replications = 60, 3, 1000
    difficulty = np.repeat(rng.standard_normal((replications, 1, identities)), 4, axis=2)
    tables = difficulty + 0.02 * rng.standard_normal((replications, seeds, 4 * identities))
    by_identity = tables.reshape(replications, seeds, identities, 4).mean(axis=3)
    assert 0.93 - 0.02 < coverage(by_identity) < 0.97 + 0.02
    assert coverage(tables) < 0.75


def test_the_interval_over_seeds_alone_is_students() -> None:
    # mean 0.7, sd 0.01, t(2) = 4.3027: 0.7 +- 4.3027 * 0.01 / sqrt(3) = 0.7 +- 0.02484
    found = estimate(np.array([0.69, 0.70, 0.71]))
    assert found.mean == pytest.approx(0.7)
    assert found.sd == pytest.approx(0.01)
    assert found.interval == pytest.approx((0.67516, 0.72484), abs=1e-5)
    assert found.interval == found.interval_this_test_set


@given(st.integers(2, 40), st.floats(1e-6, 1e3), st.sampled_from([0.8, 0.95, 0.999]))
def test_without_queries_the_half_width_is_students_at_any_scale(seeds: int, variance: float, level: float) -> None:
    student = stdtrit(seeds - 1, (1 + level) / 2) * math.sqrt(variance)
    assert half_width(Chance(seeds, 0, variance, 0.0), level) == pytest.approx(student, rel=1e-5)


def test_without_a_seeds_part_the_half_width_is_students_over_the_units() -> None:
    assert half_width(Chance(3, 20, 0.0, 4.0)) == pytest.approx(2 * stdtrit(19, 0.975))


@given(st.floats(0.01, 10), st.floats(0.01, 10), st.integers(2, 12))
def test_the_p_value_and_the_interval_agree(from_seeds: float, from_units: float, seeds: int) -> None:
    chance = Chance(seeds, 100, from_seeds, from_units)
    at_the_edge = Estimate(half_width(chance), 1.0, chance, seeds)
    assert at_the_edge.p_value == pytest.approx(0.05, rel=1e-9)


def test_more_spread_widens_the_interval() -> None:
    widths = [half_width(Chance(3, 100, 1.0, extra)) for extra in (0.0, 0.1, 1.0, 10.0)]
    assert half_width(Chance(3, 100, 2.0, 1.0)) > widths[2]
    assert widths[3] > widths[2]


def test_the_two_parts_of_the_variance_by_hand() -> None:
    # y = [[1, 3, 5], [3, 5, 7]]: mean 4; seeds' means 3, 5; units' means 2, 4, 6; no rest.
    # A = 3 ((-1)^2 + 1^2) / 1 = 6, B = 2 (4 + 0 + 4) / 2 = 8, E = 0; parts 6 / 6 and 8 / 6.
    from_seeds, from_units = variances(np.array([[1.0, 3.0, 5.0], [3.0, 5.0, 7.0]]))
    assert (from_seeds, from_units) == (pytest.approx(1.0), pytest.approx(8 / 6))


def test_the_parts_estimate_the_variance_of_the_mean_without_bias() -> None:
    tables = crossed(np.random.default_rng(3), 4, 50, 0.5, 2.0, 1.0)
    # var = 0.25 / 4 + 4 / 50 + 1 / 200 = 0.1475
    assert np.mean(sum(variances(tables))) == pytest.approx(0.1475, rel=0.03)


def test_one_seed_has_neither_spread_nor_interval() -> None:
    found = estimate(np.array([0.7]), np.array([[0.6, 0.8]]))
    assert (found.mean, found.sd, found.interval, found.p_value) == (0.7, None, None, None)


def test_seeds_that_do_not_differ_at_all_have_no_interval() -> None:
    assert estimate(np.array([0.1 + 0.2, 0.3, 0.3])).interval is None


def test_the_interval_of_a_fraction_ends_at_0_and_1() -> None:
    assert estimate(np.array([0.9, 0.99, 0.95]), clip=True).interval[1] == 1.0


def test_holm_by_hand() -> None:
    # sorted: 0.01 * 4, 0.02 * 3, 0.03 * 2 = 0.06, 0.6 * 1; monotone: 0.04, 0.06, 0.06, 0.6
    assert holm([0.6, 0.01, 0.03, 0.02]) == pytest.approx([0.6, 0.04, 0.06, 0.06])
    assert holm([]) == []
    assert holm([None, 0.9, 0.8]) == [None, 1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_the_raw_value_and_bonferronis_and_keeps_the_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for raw, found in zip(p_values, adjusted, strict=True):
        assert raw <= found <= min(1.0, raw * len(p_values)) + 1e-12
    assert [adjusted[i] for i in np.argsort(p_values, kind="stable")] == sorted(adjusted)


def test_the_effect_size_is_unbiased() -> None:
    samples = np.random.default_rng(0).normal(1.5, 1.0, (4000, 4))
    sizes = [effect_size(Estimate(row.mean(), row.std(ddof=1), None, 4)) for row in samples]
    assert np.mean(sizes) == pytest.approx(1.5, abs=0.06)
    assert effect_size(Estimate(1.0, 0.5, None, 2)) is None


def test_the_made_up_world_is_skewed_and_bounded() -> None:
    rng = np.random.default_rng(0)
    found = answers(rng, 0.8, 0.0, rng.normal(0, 1.2, 500))["average_precision"]
    assert found.min() > 0
    assert found.max() < 1
    assert np.median(found) > found.mean()
