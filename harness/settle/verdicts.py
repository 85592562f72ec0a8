"""The comparisons to settle, the evidence at each look, and the verdicts that follow.

Owns the multiplicity: a closed test over sequential p-values. Of every comparison there is the hypothesis of *no
difference*, and, if it has a margin, that of a difference *as large as the margin or larger*. The two cannot be true
together. So at most one hypothesis of each comparison is true, and the intersections that a closed test must reject
(Marcus, Peritz and Gabriel 1976) hold at most one of each. With Bonferroni's test of every intersection this is Holm's
step-down in which a comparison is weighed against the *larger* p-value of every other one (Shaffer 1986 uses such
logical relations in the same way). A margin costs the comparisons nothing, then: each is first tested at alpha / m, m
the number of comparisons, for both hypotheses. A decided comparison frees its part only once none of its hypotheses
can be true.

So the chance of any wrong verdict of a table (better or worse where there is no difference, practically equal where
there is more than the margin) is at most alpha, whatever the dependence between comparisons that share rows. The
direction of a difference is that of its sign: Holm's step-down keeps its error for directions, too, if the comparisons
are independent (Shaffer 1980); for rows that are shared ``tests/benchmarks/settle.py`` counts wrong directions.

Refuses to know where numbers come from.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.settle.holm import holm

ALPHA = 0.05
"""The chance of any wrong verdict of a table."""

Verdict = Literal["better", "worse", "practically equal", "open"]


@dataclass(frozen=True)
class Comparison:
    """Two rows that are to be compared in a metric. ``better`` is the one that is claimed to be better."""

    better: str
    than: str
    metric: str
    within: float | None = None
    """Differences smaller than this are practically none, in the metric's own unit (fractions); None: no margin."""
    text: str = ""
    """The claim's sentence; empty for a matched pair."""


@dataclass(frozen=True)
class Evidence:
    """The evidence of the first ``seeds`` seeds on a comparison, as if there were no other look."""

    seeds: int
    mean: float
    """Of the paired differences, positive where ``better`` is better."""
    p_difference: float
    """Two-sided p-value of no difference."""
    p_equal: float | None = None
    """p-value of a difference of at least the margin, by two one-sided tests; None without a margin."""
    needed: int | None = None
    """Seeds at which a decision is to be expected if the difference is as measured; None: no number of seeds."""
    half_width: Callable[[float], float] = lambda _level: math.inf
    """Half the width of the interval of a level around the mean, as if no other look had been taken."""


def decide(comparisons: Sequence[Comparison], found: Sequence["Found"], alpha: float = ALPHA) -> list[Verdict]:
    """The verdict on each comparison after what was found so far.

    A difference that is both there and smaller than the margin is *practically equal*.
    """
    hardest = [
        one.difference if comparison.within is None else max(one.difference, one.equality)
        for comparison, one in zip(comparisons, found, strict=True)
    ]
    verdicts: list[Verdict] = []
    for index, (comparison, one) in enumerate(zip(comparisons, found, strict=True)):
        others = hardest[:index] + hardest[index + 1 :]
        if comparison.within is not None and _among(one.equality, others) <= alpha:
            verdicts.append("practically equal")
        elif _among(one.difference, others) <= alpha:
            verdicts.append("better" if one.direction > 0 else "worse")
        else:
            verdicts.append("open")
    return verdicts


@dataclass
class Found:
    """The sequential p-values of a comparison so far."""

    difference: float = 1.0
    direction: float = 0.0
    """The mean difference at the look that gave ``difference``."""
    equality: float = 1.0

    def add(self, evidence: Evidence, share: float) -> None:
        """Takes one more look into account."""
        if (p := evidence.p_difference / share) < self.difference:
            self.difference, self.direction = p, evidence.mean
        if evidence.p_equal is not None:
            self.equality = min(self.equality, evidence.p_equal / share)


def _among(p_value: float, others: Sequence[float]) -> float:
    """The p-value adjusted for the others: Holm's, since Holm's step-down is Bonferroni's closed test."""
    adjusted = holm([p_value, *others])[0]
    assert adjusted is not None
    return adjusted
