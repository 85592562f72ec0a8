"""The learning rate by epoch, and the source of random numbers."""

import doctest
import subprocess
import sys
from itertools import pairwise

import pytest
import torch
from pydantic import ValidationError

import harness.reid.train.randomness
import harness.reid.train.schedule
from harness.reid.optimisation import ScheduleSpec
from harness.reid.train.randomness import derive_seed, generator
from harness.reid.train.schedule import learning_rate_factor


@pytest.mark.parametrize("module", [harness.reid.train.schedule, harness.reid.train.randomness])
def test_the_examples_in_the_docstrings_hold(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


def test_the_papers_schedule_divides_by_ten_after_every_fifty_epochs() -> None:
    factors = [learning_rate_factor(ScheduleSpec(), epoch, 150) for epoch in (0, 49, 50, 99, 100, 149)]
    assert factors == pytest.approx([1.0, 1.0, 0.1, 0.1, 0.01, 0.01])


def test_the_cosine_schedule_starts_at_one_and_never_reaches_zero_within_the_stage() -> None:
    factors = [learning_rate_factor(ScheduleSpec(kind="cosine"), epoch, 10) for epoch in range(10)]
    assert factors[0] == 1.0
    assert all(a > b > 0.0 for a, b in pairwise(factors))


def test_a_seed_is_the_same_in_another_process() -> None:
    code = "from harness.reid.train.randomness import derive_seed; print(derive_seed(3, 'metric', 'augment', 2, 7))"
    command, elsewhere = [sys.executable, "-c", code], {"PYTHONHASHSEED": "77"}
    process = subprocess.run(command, capture_output=True, text=True, check=True, env=elsewhere)
    assert int(process.stdout) == derive_seed(3, "metric", "augment", 2, 7)


def test_different_positions_draw_different_numbers_and_equal_positions_the_same() -> None:
    first, again, other = (
        torch.rand(4, generator=generator(*position)) for position in ((0, "a", 1), (0, "a", 1), (0, "a", 2))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def rates(schedule: ScheduleSpec, epochs: int, steps: int) -> list[float]:
    """The factor at each of ``steps`` steps of each epoch."""
    return [learning_rate_factor(schedule, at // steps, epochs, at % steps, steps) for at in range(epochs * steps)]


def librarys(make: object, epochs: int) -> list[float]:
    """The rates that one of torch's schedulers produces from a base rate of 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimizer)  # type: ignore[operator]
    found = []
    for _ in range(epochs):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize(
    ("schedule", "make"),
    [
        ({"kind": "constant"}, lambda one: torch.optim.lr_scheduler.LambdaLR(one, lambda _: 1.0)),
        ({"kind": "step", "every": 4}, lambda one: torch.optim.lr_scheduler.StepLR(one, 4)),
        ({"kind": "multistep", "milestones": [3, 7]}, lambda one: torch.optim.lr_scheduler.MultiStepLR(one, [3, 7])),
        (
            {"kind": "cosine", "final": 0.1},
            lambda one: torch.optim.lr_scheduler.CosineAnnealingLR(one, 12, eta_min=0.1),
        ),
        (
            {"kind": "polynomial", "power": 2.0},
            lambda one: torch.optim.lr_scheduler.PolynomialLR(one, 12, power=2.0),
        ),
        ({"kind": "one_cycle"}, lambda one: torch.optim.lr_scheduler.OneCycleLR(one, 1.0, total_steps=12)),
    ],
)
def test_schedules_match_those_of_torch(schedule: dict[str, object], make: object) -> None:
    spec = ScheduleSpec.model_validate(schedule)
    assert rates(spec, 12, 1) == pytest.approx(librarys(make, 12), abs=1e-9)
    by_step = spec.model_copy(update={"per": "step"})
    if spec.kind in {"cosine", "polynomial", "one_cycle"}:  # the others count epochs
        assert rates(by_step, 4, 3) == pytest.approx(librarys(make, 12), abs=1e-9)


def test_a_rate_per_epoch_is_constant_within_an_epoch_and_a_warm_up_per_step_is_not() -> None:
    assert rates(ScheduleSpec(kind="constant", warmup_epochs=2), 2, 2) == [0.5, 0.5, 1.0, 1.0]
    assert rates(ScheduleSpec(kind="constant", warmup_epochs=2, per="step"), 2, 2) == [0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "cosin"}, '"cosin" is not a schedule; did you mean "cosine"?'),
        ({"kind": "cosine", "power": 2.0}, "cosine has no power, it reads final; power belongs to polynomial"),
        ({"kind": "multistep"}, "expected the epochs after which the rate falls"),
        ({"kind": "multistep", "milestones": [7, 3]}, "expected epochs in rising order"),
        ({"kind": "one_cycle", "warmup_epochs": 2}, "one_cycle rises itself"),
    ],
)
def test_a_wrong_option_is_refused_with_what_is_expected(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        ScheduleSpec.model_validate(values)
    assert message in str(refused.value)
