"""The learning rate by epoch, and where random numbers come from."""

import doctest
import subprocess
import sys
from itertools import pairwise

import pytest
import torch

import harness.reid.train.randomness
import harness.reid.train.schedule
from harness.reid.recipe import ScheduleSpec
from harness.reid.train.randomness import derive_seed, generator
from harness.reid.train.schedule import learning_rate_factor


@pytest.mark.parametrize("module", [harness.reid.train.schedule, harness.reid.train.randomness])
def test_the_examples_in_the_docstrings_hold(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


def test_the_papers_schedule_divides_by_ten_after_every_fifty_epochs() -> None:
    factors = [learning_rate_factor(ScheduleSpec(), epoch, 150) for epoch in (0, 49, 50, 99, 100, 149)]
    assert factors == pytest.approx([1.0, 1.0, 0.1, 0.1, 0.01, 0.01])


def test_the_cosine_starts_at_one_and_never_reaches_zero_within_the_stage() -> None:
    factors = [learning_rate_factor(ScheduleSpec(kind="cosine"), epoch, 10) for epoch in range(10)]
    assert factors[0] == 1.0
    assert all(a > b > 0.0 for a, b in pairwise(factors))


def test_a_seed_is_the_same_in_another_process() -> None:
    code = "from harness.reid.train.randomness import derive_seed; print(derive_seed(3, 'metric', 'augment', 2, 7))"
    command, elsewhere = [sys.executable, "-c", code], {"PYTHONHASHSEED": "77"}
    told = subprocess.run(command, capture_output=True, text=True, check=True, env=elsewhere)
    assert int(told.stdout) == derive_seed(3, "metric", "augment", 2, 7)


def test_different_positions_draw_different_numbers_and_equal_ones_the_same() -> None:
    first, again, other = (
        torch.rand(4, generator=generator(*position)) for position in ((0, "a", 1), (0, "a", 1), (0, "a", 2))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
