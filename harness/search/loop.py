"""The loop of a study: adopt what a dead process left, then train and score points until the budget is spent."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from harness.errors import InputError
from harness.loaded import CHANGED
from harness.search.result import Score, stage_costs
from harness.search.space import Params
from harness.search.study import PendingTrial, SearchStudy

_LEARNING = frozenset({"tpe", "cmaes"})
"""Samplers that choose a point by the results so far: they are asked for no more points than can be trained at once."""
_AHEAD = 4


class Trainer(Protocol):
    """Trains points and scores them on the held-out identities."""

    def evaluate(self, points: Mapping[str, Params], seeds: Sequence[int]) -> Mapping[tuple[str, int], Score]:
        """A score for every named point under every seed.

        Named again with a point that differs in where its last stage stops, a training resumes where it stopped.
        """
        ...

    def release(self, name: str) -> None:
        """Told that the point of this name will not be trained on."""
        ...


Rungs = Callable[[Params], Mapping[int, Params]]
"""Where a point's last stage is evaluated: the point as it stops there, by epoch, the whole one last."""


def point_name(asked: PendingTrial) -> str:
    """Returns a trial's name in plans and in the tracker."""
    return f"trial {asked.number}"


def run_study(
    study: SearchStudy, trainer: Trainer, workers: int, rungs: Rungs, on_change: Callable[[], None] = lambda: None
) -> None:
    """Carries a study on until its budget is spent; run again with the same budget, it does nothing.

    Args:
        study: The study.
        trainer: Trains and scores a batch of points.
        workers: How many stages are trained at a time.
        rungs: Where a point is evaluated on its way.
        on_change: Called after every batch, when the study knows its results.
    """
    budget, started = study.search.budget, time.monotonic()
    learns = study.search.spec.sampler in _LEARNING or study.search.pruner is not None
    most = workers if learns else _AHEAD * workers
    batch = study.adopt()
    while batch := batch or study.ask(most):
        _carry_out(study, [_Going(asked, rungs(asked.params)) for asked in batch], trainer)
        on_change()
        batch = []
        if budget.hours is not None and time.monotonic() - started > 3600 * budget.hours:
            return
        if budget.device_hours is not None and stage_costs(study.records())["seconds"] > 3600 * budget.device_hours:
            return


@dataclass
class _Going:
    """A trial of a batch, and what is known of it."""

    asked: PendingTrial
    rungs: Mapping[int, Params]
    scores: Sequence[Score] = ()
    """Its newest scores, one a seed."""
    spent: dict[str, tuple[float, int]] = field(default_factory=dict)

    @property
    def chains(self) -> list[tuple[str, ...]]:
        """The stages behind its newest scores."""
        return [score.stages for score in self.scores]

    def note(self, scores: Sequence[Score]) -> None:
        """Takes its scores after an epoch; a stage's figures include those of the one that it resumed."""
        for new, old in zip(scores, self.scores or scores, strict=True):
            for stage, before in zip(new.stages[:-1], old.stages[:-1], strict=True):
                if stage != before and stage in new.spent:
                    self.spent.pop(before, None)
            self.spent |= new.spent
        self.scores = scores


def _carry_out(study: SearchStudy, batch: Sequence[_Going], trainer: Trainer) -> None:
    """One batch, epoch by epoch of the last stage; a trial that failed or was pruned is trained no further."""
    going, seeds = list(batch), study.search.seeds
    for epoch in sorted({epoch for trial in batch for epoch in trial.rungs}):
        here = [trial for trial in going if epoch in trial.rungs]
        if not here:
            continue
        scores = trainer.evaluate({point_name(trial.asked): trial.rungs[epoch] for trial in here}, seeds)
        for trial in here:
            trial.note([scores[point_name(trial.asked), seed] for seed in seeds])
            if not _goes_on(study, trial, epoch):
                going.remove(trial)
                if epoch < max(trial.rungs):
                    trainer.release(point_name(trial.asked))


def _goes_on(study: SearchStudy, trial: _Going, epoch: int) -> bool:
    """Tells the study what a trial is worth after ``epoch``, and whether it is to be trained on."""
    asked, scores = trial.asked, trial.scores
    values = [score.value for score in scores if score.value is not None]
    if len(values) < len(scores):
        reason = next(score.reason for score in scores if score.value is None)
        if reason.endswith(CHANGED):  # so would every other trial: this one stays open, and the same command resumes it
            raise InputError(reason)
        study.fail(asked, reason, trial.chains, trial.spent)
        return False
    unpromising = study.report(asked, epoch, values)
    if epoch == max(trial.rungs):
        study.complete(asked, values, trial.chains, trial.spent)
        return False
    if unpromising:
        study.prune(asked, trial.chains, trial.spent)
    return not unpromising
