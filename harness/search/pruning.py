"""Gives up trials that are clearly worse after their first seeds, by a rule that knows how noisy a seed is.

A seed is the unit: after each, a trial's mean so far is compared with what the finished trials had after as many. It
goes on unless it lies below their median by more than the noise of a mean over that many seeds explains.
"""

import math
from collections.abc import Sequence
from statistics import median

from optuna import Study
from optuna.pruners import BasePruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

STARTUP = 5
"""Finished trials before any is pruned: a median of fewer says little."""
_Z = 1.645
"""One-sided 95 %: a trial as good as the median is given up once in twenty times."""
VALUES = "values"
"""The attribute of a trial that holds its results by seed, in the seeds' order."""


def seed_noise(trials: Sequence[Sequence[float]]) -> float | None:
    """Standard deviation between the seeds of a trial, pooled over all trials; None if no trial has two seeds.

    >>> seed_noise([[0.1, 0.3], [0.5, 0.5]])  # squares 0.02 and 0 over 1 + 1 degrees of freedom
    0.1
    """
    squares, freedom = 0.0, 0
    for values in trials:
        mean = sum(values) / max(1, len(values))
        squares += sum((value - mean) ** 2 for value in values)
        freedom += max(0, len(values) - 1)
    return round(math.sqrt(squares / freedom), 15) if freedom else None


def clearly_worse(values: Sequence[float], finished: Sequence[Sequence[float]]) -> bool:
    """Whether a trial's results so far (higher is better) are beyond noise below the median of the finished ones."""
    seeds = len(values)
    noise = seed_noise(finished)
    peers = [sum(other[:seeds]) / seeds for other in finished if len(other) >= seeds]
    if noise is None or len(peers) < STARTUP:
        return False
    return sum(values) / seeds + _Z * noise / math.sqrt(seeds) < median(peers)


class SeedMedianPruner(BasePruner):
    """The rule above, as Optuna asks for it."""

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the trial should not be given its remaining seeds."""
        sign = 1 if study.direction is StudyDirection.MAXIMIZE else -1
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        finished = [[sign * value for value in other.user_attrs.get(VALUES, ())] for other in complete]
        values = [sign * value for value in trial.user_attrs.get(VALUES, ())]
        return bool(values) and clearly_worse(values, finished)
