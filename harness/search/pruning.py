"""Prunes trials inside their last training stage: by one of Optuna's rules, limited by what the seeds can show.

A trial's value at an epoch is the mean over its seeds, and a mean of few seeds is noisy. So a trial that the rule would
prune continues unless it is behind the leader of that epoch by more than the seeds' spread explains (``noise``).

Optuna's own guards do not serve here: ``WilcoxonPruner`` takes steps for independent problems, and with three seeds no
outcome of its test is below p = 0.125; ``PatientPruner`` waits for more steps, whatever the seeds say.
"""

from collections.abc import Sequence

from optuna import Study
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from harness.search.declaration import PrunerSpec
from harness.search.noise import noise_of

VALUES = "values"
"""The attribute of a trial that holds its results by seed, in the seeds' order, at each epoch."""


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

    With one seed, or without others, nothing can be said: False.

    Args:
        values: The trial's results, higher is better, one a seed.
        others: Those of other trials under the same seeds.
    """
    noise = noise_of([values, *others])
    if noise is None:
        return False
    leader = max(sum(other) / len(other) for other in others)
    return leader - sum(values) / len(values) > noise.allowed
