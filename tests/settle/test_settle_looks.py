"""When seeds are looked at, and what a look may spend."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import stdtr

from harness.settle.looks import ALTOGETHER, look_sizes, share, share_at, spent


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


def test_what_looks_have_spent_is_their_part_of_all_shares() -> None:
    whole = sum(share(look) for look in range(600))
    assert whole == pytest.approx(ALTOGETHER)
    assert spent(5) == pytest.approx(sum(share(look) for look in range(5)) / whole)


@given(st.integers(1, 20), st.integers(20, 300))
def test_the_share_of_a_number_of_seeds_is_that_of_its_look(first: int, most: int) -> None:
    sizes = look_sizes(first, most)
    assert [share_at(size, first) for size in sizes] == [share(look) for look in range(len(sizes))]


@pytest.mark.parametrize("declared", [3, 4, 5, 10, 20])
def test_looking_at_every_size_is_wrong_no_more_often_than_allowed(declared: int) -> None:
    """100,000 ways of no difference to 2,000 seeds: Student's p-value at each look against its share."""
    sizes = np.array(look_sizes(declared, 2000))
    added = np.diff(sizes, prepend=0)
    generator = np.random.default_rng(0)
    sums = generator.standard_normal((100_000, len(sizes))) * np.sqrt(added)
    inside = np.where(added > 1, 2 * generator.standard_gamma(np.maximum(added - 1, 1) / 2, sums.shape), 0.0)
    squares = (sums**2 / added + inside).cumsum(1)
    means = sums.cumsum(1) / sizes
    error = np.sqrt((squares - sizes * means**2) / (sizes - 1) / sizes)
    p = 2 * stdtr(sizes - 1, -np.abs(means) / error)
    shares = np.array([share(look) for look in range(len(sizes))])
    worst = (p / shares).min(1)
    for level in (0.05, 0.01, 0.005, 0.0025):
        found = float(np.mean(worst <= level))
        assert 0.5 * level < found < level, (level, found)
    assert np.mean(p.min(1) <= 0.05) > 0.2  # naive looks
