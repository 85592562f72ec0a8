"""The loop of a study: adopt what a dead process left, then ask, train, tell, until the budget is spent."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.search.space import Params
from harness.search.study import Asked, SearchStudy

_LEARNING = frozenset({"tpe", "cmaes"})
"""Samplers that choose a point by the results so far: they are asked for no more points than can be trained at once."""
_AHEAD = 4


@dataclass(frozen=True)
class Score:
    """What became of a point under one seed."""

    value: float | None
    """On held-out identities; None if it has none."""
    stages: tuple[str, ...]
    """Fingerprints of its stages, the evaluation last."""
    reason: str = ""
    """Why there is no value."""


Evaluate = Callable[[Mapping[str, Params], Sequence[int]], Mapping[tuple[str, int], Score]]
"""Trains named points under seeds and scores each on the held-out identities: a score for every (name, seed)."""


def point_name(asked: Asked) -> str:
    """What a trial is called in plans and in the tracker."""
    return f"trial {asked.number}"


def run_study(
    study: SearchStudy,
    evaluate: Evaluate,
    workers: int,
    spent_s: Callable[[], float],
    told: Callable[[], None] = lambda: None,
) -> None:
    """Carries a study on until its budget is spent; run again with the same budget, it does nothing.

    Args:
        study: The study.
        evaluate: Trains and scores a batch of points.
        workers: How many stages are trained at a time.
        spent_s: Seconds on devices that the study took so far.
        told: Called after every batch, when the study knows its results.
    """
    budget, started = study.search.budget, time.monotonic()
    most = workers if study.search.spec.sampler in _LEARNING else _AHEAD * workers
    if study.search.spec.pruner == "none":
        rounds: list[tuple[int, ...]] = [study.search.seeds]
    else:
        rounds = [(seed,) for seed in study.search.seeds]
    batch = study.adopt()
    while batch := batch or study.ask(most):
        _carry_out(study, batch, rounds, evaluate)
        told()
        batch = []
        if budget.hours is not None and time.monotonic() - started > 3600 * budget.hours:
            return
        if budget.device_hours is not None and spent_s() > 3600 * budget.device_hours:
            return


@dataclass
class _Progress:
    """What is known of a trial of a batch."""

    asked: Asked
    values: list[float] = field(default_factory=list)
    chains: list[list[str]] = field(default_factory=list)
    """The stages behind each value."""


def _carry_out(
    study: SearchStudy, batch: Sequence[Asked], rounds: Sequence[tuple[int, ...]], evaluate: Evaluate
) -> None:
    """One batch, round of seeds by round; a trial that failed or was given up gets no further seeds."""
    going = [_Progress(asked) for asked in batch]
    for number, seeds in enumerate(rounds):
        if not going:
            return
        scores = evaluate({point_name(trial.asked): trial.asked.params for trial in going}, seeds)
        last = number == len(rounds) - 1
        remaining = []
        for trial in going:
            mine = [scores[point_name(trial.asked), seed] for seed in seeds]
            trial.chains += [list(score.stages) for score in mine]
            trial.values += [score.value for score in mine if score.value is not None]
            reason = next((score.reason for score in mine if score.value is None), "")
            if reason:
                study.tell(trial.asked, [], trial.chains, reason)
            elif last or study.worse(trial.asked, trial.values):
                study.tell(trial.asked, trial.values, trial.chains)
            else:
                remaining.append(trial)
        going = remaining
