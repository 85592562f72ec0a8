"""When seeds are looked at, and what a look may spend."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student

from harness.settle.looks import look_sizes, sequential, share, share_at


def test_looks_grow_by_a_quarter_from_the_declared_seeds() -> None:
    assert look_sizes(3, 30) == (3, 4, 5, 6, 7, 8, 10, 12, 15, 18, 22, 27)
    assert look_sizes(10, 30) == (10, 12, 15, 18, 22, 27)


def test_one_or_two_declared_seeds_are_looked_at_once_there_are_three() -> None:
    assert look_sizes(1, 5) == look_sizes(2, 5) == (3, 4, 5)


@given(st.integers(1, 40), st.integers(1, 500), st.integers(0, 500))
def test_more_seeds_go_on_with_the_same_looks(first: int, most: int, more: int) -> None:
    few, many = look_sizes(first, most), look_sizes(first, most + more)
    assert many[: len(few)] == few
    assert all(later > earlier for earlier, later in itertools.pairwise(many))


def test_the_shares_of_all_looks_are_the_whole_error_and_no_more() -> None:
    assert sum(share(look) for look in range(400)) == pytest.approx(1.0)


@given(st.integers(1, 20), st.integers(20, 300))
def test_the_share_of_a_number_of_seeds_is_that_of_its_look(first: int, most: int) -> None:
    sizes = look_sizes(first, most)
    assert [share_at(size, first) for size in sizes] == [share(look) for look in range(len(sizes))]


def test_a_sequential_p_value_is_the_smallest_so_far_over_its_share() -> None:
    # 0.02 / 0.15 = 0.1333, 0.03 / 0.1275 = 0.2353
    assert sequential([0.02]) == pytest.approx(0.02 / 0.15)
    assert sequential([0.02, 0.03]) == pytest.approx(0.02 / 0.15)
    assert sequential([0.5]) == 1.0


@pytest.mark.parametrize("level", [0.05, 0.005])
def test_looking_at_every_size_is_wrong_no_more_often_than_allowed(level: float) -> None:
    # 40,000 trials of no difference: Student's p-value at each look against its share. Naive looks are wrong far more.
    sizes = np.array(look_sizes(3, 60))
    x = np.random.default_rng(0).standard_normal((40_000, sizes[-1]))
    sums, squares = x.cumsum(1)[:, sizes - 1], (x * x).cumsum(1)[:, sizes - 1]
    error = np.sqrt((squares - sums**2 / sizes) / (sizes - 1) / sizes)
    p = 2 * student.sf(np.abs(sums / sizes) / error, sizes - 1)
    shares = np.array([share(look) for look in range(len(sizes))])
    assert 0.4 * level < np.mean((p / shares).min(1) <= level) <= level
    assert np.mean(p.min(1) <= level) > 2.5 * level
