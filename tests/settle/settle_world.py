"""Simulated tables for the tests of settling: rows whose true means are known, and Student's evidence of them."""

import statistics
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.special import stdtr  # the distribution function of Student's t, many times as fast as scipy.stats.t

from harness.settle import Comparison, Evidence, Run

Scores = Mapping[str, Sequence[float]]
"""For each row its result under seed 0, 1, 2, ..."""


def evidence(differences: Sequence[float], within: float | None = None) -> Evidence:
    """Student's two-sided test, and two one-sided ones against the margin, written out plainly."""
    count, mean = len(differences), statistics.fmean(differences)
    error = statistics.stdev(differences, mean) / count**0.5
    different = float(2 * stdtr(count - 1, -abs(mean) / error))
    equal = None
    if within is not None:
        equal = float(max(stdtr(count - 1, (mean - within) / error), stdtr(count - 1, (-mean - within) / error)))
    return Evidence(count, mean, different, equal, needed=2 * count)


def look_at(scores: Scores, has: Callable[[Run], bool] = lambda _: True) -> Callable[..., Evidence | Run]:
    """Evidence from scores, as far as runs are there."""

    def look(comparison: Comparison, seeds: Sequence[int]) -> Evidence | Run:
        for seed in seeds:
            for row in (comparison.better, comparison.than):
                if not has((row, seed)):
                    return row, seed
        found = [scores[comparison.better][seed] - scores[comparison.than][seed] for seed in seeds]
        return evidence(found, comparison.within)

    return look


def drawn(means: Mapping[str, float], seeds: int, generator: np.random.Generator) -> dict[str, list[float]]:
    """Scores around true means, of standard deviation 1."""
    return {row: list(mean + generator.standard_normal(seeds)) for row, mean in means.items()}
