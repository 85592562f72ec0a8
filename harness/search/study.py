"""One study in Optuna: asks for points, records results, and resumes what a dead process left.

In a database that several machines search, a trial belongs to whoever asked for it: a store on a host. A journal is its
store's alone. The store's lock lets one process at a time search a study from there, so a trial of ours that is still
RUNNING when a process starts has nobody behind it: it is adopted under its own number, with its own values, and so
neither lost nor counted twice. Trials of other owners are left to them.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from harness.search.declaration import Search
from harness.search.pruning import VALUES, make_pruner
from harness.search.sampling import BY_TRIAL, sampler_for, suggest
from harness.search.space import Params, grid_points

OWNER, REASON, CHAINS, SPENT, INFEASIBLE = "owner", "reason", "chains", "spent", "infeasible"
Chains = Sequence[Sequence[str]]
Spent = Mapping[str, tuple[float, int]]
_PATIENCE = 200
"""Infeasible points in a row before the constraints are taken to leave nothing."""


class SearchStudy:
    """A study, opened or continued.

    Args:
        search: What is searched.
        name: The study's name: equal for equal questions, so that results of another question never mix in.
        storage: Where it is kept.
        owner: Who asks, of a storage that others search too; None: the storage is the store's alone.
        minimize: Whether a lower metric is better.
        first: The point of the first trial; None or empty: the sampler's.
    """

    def __init__(
        self,
        search: Search,
        name: str,
        storage: BaseStorage,
        owner: str | None,
        *,
        minimize: bool,
        first: Params | None = None,
    ) -> None:
        self.search, self.name, self.minimize = search, name, minimize
        self._owner = owner
        self._study = optuna.create_study(
            study_name=name,
            storage=storage,
            pruner=make_pruner(search.pruner),
            direction="minimize" if minimize else "maximize",
            load_if_exists=True,
        )
        if first and not self._study.trials:
            self._study.enqueue_trial(first)
        self._study.sampler = sampler_for(search, len(self._study.trials))

    def adopt(self) -> list["PendingTrial"]:
        """The trials that a dead process of this owner left running, to be carried out first."""
        adopted = []
        for frozen in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            # One without an owner was asked for a moment ago, by a machine that has not yet put its name to it.
            if self._owner is not None and frozen.user_attrs.get(OWNER) != self._owner:
                continue
            trial = Trial(self._study, frozen._trial_id)
            try:
                params = self._suggest(trial)
            except (ValueError, KeyError):  # killed before it was given a point: nothing is lost with it
                self._study.tell(trial, state=TrialState.FAIL)
                continue
            asked = self._feasible(trial, params)
            if asked is not None:
                adopted.append(asked)
        return adopted

    def ask(self, most: int) -> list["PendingTrial"]:
        """New feasible points, as many as the budget of trials leaves and at most ``most``.

        Infeasible points are recorded in the study on the way, and never trained.

        Raises:
            InputError: If no feasible point can be found.
        """
        asked: list[PendingTrial] = []
        refused = 0
        while len(asked) < most and self.counted() < self.search.budget.trials and not self._exhausted():
            if self.search.spec.sampler in BY_TRIAL:
                self._study.sampler = sampler_for(self.search, len(self._study.get_trials(deepcopy=False)))
            trial = self._study.ask()
            if self._owner is not None:
                trial.set_user_attr(OWNER, self._owner)
            point = self._feasible(trial, self._suggest(trial))
            refused = 0 if point else refused + 1
            if point:
                asked.append(point)
            if refused == _PATIENCE:
                rules = ", ".join(rule.text for rule in self.search.constraints)
                raise self.search.document.error(("constraints",), f"{refused} points in a row violate {rules}")
        return asked

    def report(self, asked: "PendingTrial", epoch: int, values: list[float]) -> bool:
        """Notes a trial's results by seed after an epoch of its last stage; whether the pruner would give it up."""
        trial = asked.trial
        known = self._frozen(trial.number)
        trial.set_user_attr(VALUES, {**known.user_attrs.get(VALUES, {}), str(epoch): values})
        if epoch not in known.intermediate_values:
            trial.report(sum(values) / len(values), epoch)
        return trial.should_prune()

    def complete(self, asked: "PendingTrial", values: list[float], chains: Chains, spent: Spent) -> None:
        """Ends a trial with its results by seed: it is worth their mean."""
        self._close(asked.trial, chains, spent)
        self._study.tell(asked.trial, sum(values) / len(values))

    def prune(self, asked: "PendingTrial", chains: Chains, spent: Spent) -> None:
        """Ends a trial that is not worth its remaining epochs."""
        self._close(asked.trial, chains, spent)
        self._study.tell(asked.trial, state=TrialState.PRUNED)

    def fail(self, asked: "PendingTrial", reason: str, chains: Chains, spent: Spent) -> None:
        """Ends a trial that failed."""
        self._close(asked.trial, chains, spent)
        asked.trial.set_user_attr(REASON, reason)
        self._study.tell(asked.trial, state=TrialState.FAIL)

    def counted(self) -> int:
        """Trials that count against the budget: all that were given a feasible point."""
        return sum(
            self._whole(trial) and not trial.user_attrs.get(INFEASIBLE)
            for trial in self._study.get_trials(deepcopy=False)
        )

    def records(self) -> list[dict[str, Any]]:
        """All trials as plain data: number, state, params, epoch, values, value, curve, chains, spent, reason.

        ``values`` by seed and ``value``, their mean, are those after ``epoch``, the last one reached; ``curve`` holds
        the means up to there. A chain holds the stages behind one of the values, the evaluation last; ``spent`` the
        seconds and epochs of every stage that the trial used.
        """
        return [self._record(trial) for trial in self._study.get_trials(deepcopy=False) if self._whole(trial)]

    def importance(self) -> dict[str, float]:
        """Each value's share of the metric's variation (PED-ANOVA), together 1; empty if unknown."""
        complete = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len({trial.value for trial in complete}) < 2:
            return {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                importances = get_param_importances(self._study, evaluator=PedAnovaImportanceEvaluator())
            except (ValueError, RuntimeError):
                return {}
        return {key: float(value) for key, value in importances.items()}

    def _feasible(self, trial: Trial, params: Params) -> "PendingTrial | None":
        """The trial as a point to train; None if it violates a constraint, which the study records."""
        known = trial.constraints
        for rule in self.search.constraints:
            if rule.text not in known:
                trial.set_constraint(rule.text, rule.violation(params))
        if self.search.feasible(params):
            return PendingTrial(trial, params)
        trial.set_user_attr(INFEASIBLE, True)
        self._study.tell(trial, state=TrialState.PRUNED)
        return None

    def _close(self, trial: Trial, chains: Chains, spent: Spent) -> None:
        trial.set_user_attr(CHAINS, chains)
        trial.set_user_attr(SPENT, spent)

    def _suggest(self, trial: Trial) -> Params:
        return {key: suggest(trial, dimension) for key, dimension in self.search.space.items()}

    def _exhausted(self) -> bool:
        """Whether every point of a grid has its trial."""
        if self.search.spec.sampler != "grid":
            return False
        seen = {
            tuple(self._point(trial).values()) for trial in self._study.get_trials(deepcopy=False) if self._whole(trial)
        }
        return all(tuple(point.values()) in seen for point in grid_points(self.search.space))

    def _point(self, trial: FrozenTrial) -> Params:
        return {key: dimension.exact(trial.params[key]) for key, dimension in self.search.space.items()}

    def _whole(self, trial: FrozenTrial) -> bool:
        return all(key in trial.params for key in self.search.space)

    def _frozen(self, number: int) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[number]

    def _record(self, trial: FrozenTrial) -> dict[str, Any]:
        attributes = trial.user_attrs
        by_epoch = {int(epoch): list(values) for epoch, values in attributes.get(VALUES, {}).items()}
        epoch = max(by_epoch, default=None)
        values = [] if epoch is None else by_epoch[epoch]
        state = "infeasible" if attributes.get(INFEASIBLE) else trial.state.name.lower()
        return {
            "number": trial.number,
            "state": {"fail": "failed"}.get(state, state),
            "params": self._point(trial),
            "epoch": epoch,
            "values": values,
            "value": sum(values) / len(values) if values else None,
            "curve": {str(epoch): sum(by_epoch[epoch]) / len(by_epoch[epoch]) for epoch in sorted(by_epoch)},
            "chains": list(attributes.get(CHAINS, ())),
            "spent": dict(attributes.get(SPENT, {})),
            "reason": attributes.get(REASON, ""),
        }


class PendingTrial:
    """A feasible point that is to be trained."""

    def __init__(self, trial: Trial, params: Params) -> None:
        self.trial, self.params = trial, params

    @property
    def number(self) -> int:
        """The trial's number in its study."""
        return self.trial.number
