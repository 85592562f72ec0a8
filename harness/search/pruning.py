"""Gives up trials inside their last training stage: by a rule of Optuna's, held back by what the seeds can show.

A trial's value at an epoch is the mean over its seeds, and a mean of few seeds is noisy. So a trial that the rule would
give up goes on unless it is behind the leader of that epoch by more than the seeds' spread explains. Trials train under
the same seeds, hence in pairs: what a seed does to all of them alike is no noise between them.

Optuna's own guards do not serve here: ``WilcoxonPruner`` takes steps for independent problems, and with three seeds no
outcome of its test is below p = 0.125; ``PatientPruner`` waits for more steps, whatever the seeds say.
"""

from collections.abc import Sequence

import numpy as np
from optuna import Study
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from scipy import stats

from harness.search.declaration import PrunerSpec

VALUES = "values"
"""The attribute of a trial that holds its results by seed, in the seeds' order, at each epoch."""
_LEVEL = 0.95
"""Of the one-sided test against the leader."""


def make_pruner(spec: PrunerSpec | None) -> BasePruner:
    """The declared pruner; the first evaluation of a stage is the smallest resource that it may judge by."""
    if spec is None:
        return NopPruner()
    rules: dict[str, BasePruner] = {
        "median": MedianPruner(),
        "successive_halving": SuccessiveHalvingPruner(min_resource=spec.every),
        "hyperband": HyperbandPruner(min_resource=spec.every),
    }
    return SeedAwarePruner(rules[spec.kind])


class SeedAwarePruner(BasePruner):
    """A pruner that gives a trial up where ``rule`` does and the seeds can show that it is worse than the leader."""

    def __init__(self, rule: BasePruner) -> None:
        self._rule = rule

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the trial should not be trained on."""
        if trial.last_step is None or not self._rule.prune(study, trial):
            return False
        sign = 1.0 if study.direction is StudyDirection.MAXIMIZE else -1.0
        epoch = str(trial.last_step)
        others = (other for other in study.get_trials(deepcopy=False) if other.number != trial.number)
        reached = [other.user_attrs[VALUES][epoch] for other in others if epoch in other.user_attrs.get(VALUES, {})]
        mine = [sign * value for value in trial.user_attrs[VALUES][epoch]]
        return clearly_worse(mine, [[sign * value for value in theirs] for theirs in reached])


def clearly_worse(values: Sequence[float], others: Sequence[Sequence[float]]) -> bool:
    """Whether a trial's results by seed are behind the best of the others' by more than noise explains.

    Noise is the standard deviation that is left when every trial and every seed has been given a mean of its own; a
    difference of two means over S seeds has sqrt(2 / S) of it, and Student's t for its (trials - 1) (S - 1) degrees of
    freedom says how much is too much. With one seed, or without others, nothing can be said: False.

    Args:
        values: The trial's results, higher is better, one a seed.
        others: Those of other trials under the same seeds.
    """
    table = np.array([values, *others])
    trials, seeds = table.shape
    freedom = (trials - 1) * (seeds - 1)
    if freedom == 0:
        return False
    means = table.mean(axis=1)
    left = table - means[:, None] - table.mean(axis=0) + table.mean()
    noise = float(np.sqrt((left**2).sum() / freedom))
    allowed = float(stats.t.ppf(_LEVEL, freedom)) * noise * np.sqrt(2.0 / seeds)
    return bool(means[1:].max() - means[0] > allowed)
