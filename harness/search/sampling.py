"""How Optuna's samplers draw a search's points, so that a continued study draws what it would have drawn."""

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler, CmaEsSampler, GridSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState

from harness.search.declaration import Search
from harness.search.space import Dimension

BY_TRIAL = frozenset({"random", "tpe"})
"""Samplers that are reseeded for each trial: a study that was killed asks for the points that it would have had."""


class _Grid(GridSampler):
    """Optuna's grid without its end: it stops ``optimize``, and raises with ask and tell."""

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Does nothing: ``SearchStudy.ask`` knows when the grid is exhausted."""


def suggest(trial: Trial, dimension: Dimension) -> Any:
    """Asks a trial for its value of one setting."""
    key = dimension.key
    if dimension.choices:
        return trial.suggest_categorical(key, dimension.choices)
    if dimension.whole:
        step = int(dimension.step or 1)
        value: float = trial.suggest_int(key, int(dimension.low), int(dimension.high), step=step, log=dimension.log)
    else:
        value = trial.suggest_float(key, dimension.low, dimension.high, step=dimension.step, log=dimension.log)
    return dimension.exact(value)


def sampler_for(search: Search, trials: int) -> BaseSampler:
    """The sampler by its name.

    Its seed moves with the trials that there are, so that a continued study draws new points, and two studies of one
    seed and space the same; but a grid is walked through in an order that a seed decides, which must be the same for
    all who walk.
    """
    order = search.spec.sampler_seed
    seed = int(np.random.SeedSequence([order, trials]).generate_state(1)[0])
    makers: Mapping[str, Callable[[], BaseSampler]] = {
        "grid": lambda: _Grid({key: dimension.grid() for key, dimension in search.space.items()}, order),
        "tpe": lambda: TPESampler(seed=seed),
        "random": lambda: RandomSampler(seed),
        "cmaes": lambda: CmaEsSampler(seed=seed, warn_independent_sampling=False),
    }
    if search.spec.sampler == "cmaes" and find_spec("cmaes") is None:
        raise search.document.error(("sampler",), "cmaes needs the package of that name (pip install cmaes)")
    return makers[search.spec.sampler]()
