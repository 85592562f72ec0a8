"""What is to be settled, what a look found, and which comparisons that decides.

Owns the multiplicity: two families of hypotheses, each with Holm's step-down over sequential p-values. The one says of
every comparison that there is *no difference*; the other, of every comparison with a margin, that the difference is
*as large as the margin or larger*. A table without margins gives the whole error to the first; else each has half. So
the chance of any wrong verdict of a table (better or worse where there is no difference, practically equal where there
is more than the margin) is at most the sum, alpha, whatever the dependence between comparisons that share rows. The
direction of a difference is that of its sign: Holm's step-down keeps its error for directions, too, if the comparisons
are independent (Shaffer 1980); for rows that are shared ``tests/benchmarks/settle.py`` counts wrong directions.

Freeing the error of a decided comparison for the other family would be wrong: *practically equal* refutes a large
difference, and the hypothesis of none has spent its part all the same.

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
    """What the first ``seeds`` seeds show of a comparison, as if no other look had been or will be taken."""

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


@dataclass(frozen=True)
class Budget:
    """How the error is shared between the two families."""

    difference: float
    equality: float

    @classmethod
    def of(cls, comparisons: Sequence[Comparison], alpha: float = ALPHA) -> "Budget":
        """Half for each family; all for differences if no comparison has a margin."""
        any_margin = any(comparison.within is not None for comparison in comparisons)
        return cls(alpha / 2, alpha / 2) if any_margin else cls(alpha, 0.0)


def decide(comparisons: Sequence[Comparison], found: Sequence["Found"], alpha: float = ALPHA) -> list[Verdict]:
    """The verdict on each comparison after what was found so far.

    A difference that is both there and smaller than the margin is *practically equal*.
    """
    budget = Budget.of(comparisons, alpha)
    differs = _holm([one.difference for one in found])
    margins = [index for index, comparison in enumerate(comparisons) if comparison.within is not None]
    equal = dict(zip(margins, _holm([found[index].equality for index in margins]), strict=True))
    verdicts: list[Verdict] = []
    for index, one in enumerate(found):
        if equal.get(index, 1.0) <= budget.equality:
            verdicts.append("practically equal")
        elif differs[index] <= budget.difference:
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


def _holm(p_values: Sequence[float]) -> list[float]:
    return [1.0 if p is None else p for p in holm(p_values)]
