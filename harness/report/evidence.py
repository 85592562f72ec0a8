"""The evidence of a table's results on a comparison at one look: the numbers that settling decides by.

Owns the step from estimates over seeds and units to the p-values of one look. Refuses deciding: ``harness.settle``.
"""

import math
from collections.abc import Callable, Sequence

from harness.report.measurements import Measurements
from harness.report.power import MOST_SEEDS, seeds_needed
from harness.report.statistics import Chance, Estimate, half_width
from harness.settle import ALPHA, Comparison, Evidence, Run

_TYPICAL_SHARE = 0.1
"""Of the error, what a look in the middle of the way may spend; for planning alone."""
_FAR = 4.0
"""A difference so many standard errors larger than measured is out of the question."""


def look_at(
    measurements: Measurements, comparisons: int, comparison: Comparison, seeds: Sequence[int]
) -> Evidence | Run:
    """The evidence that these seeds give, or a run that it lacks.

    Args:
        measurements: The results that there are.
        comparisons: How many the table settles, for the expectation of what is needed.
        comparison: The one to look at.
        seeds: The seeds of this look.
    """
    there = {row: measurements.values(row, comparison.metric) for row in (comparison.better, comparison.than)}
    for seed in seeds:
        for row, values in there.items():
            if seed not in values:
                return row, seed
    found = measurements.contrast({comparison.better: 1.0, comparison.than: -1.0}, comparison.metric, seeds)
    if found is None:  # measured on other units: no number of seeds makes them comparable
        return Evidence(len(seeds), 0.0, 1.0, None if comparison.within is None else 1.0)
    level = ALPHA / max(comparisons, 1) * _TYPICAL_SHARE
    return Evidence(
        seeds=found.seeds,
        mean=found.mean,
        p_difference=_different(found),
        p_equal=None if comparison.within is None else _equal(found, comparison.within),
        half_width=_half_width(found),
        needed=_needed(found, comparison.within, level),
    )


def _half_width(found: Estimate) -> Callable[[float], float]:
    chance = found.chance
    return (lambda _level: math.inf) if chance is None else (lambda level: half_width(chance, level))


def _different(found: Estimate) -> float:
    """Two-sided p-value of no difference; where no two seeds differ at all, that of a sign test."""
    if found.chance is None:
        return 2.0 ** (1 - found.seeds) if found.mean else 1.0
    return found.p_value_around(0.0)


def _equal(found: Estimate, within: float) -> float:
    """p-value of a difference of at least the margin: the larger of two one-sided tests (Schuirmann 1987)."""
    inside = within - abs(found.mean)
    if found.chance is None:
        return 2.0**-found.seeds if inside > 0 else 1.0
    two_sided = found.p_value_around(math.copysign(within, found.mean))
    return two_sided / 2 if inside > 0 else 1 - two_sided / 2


def _needed(found: Estimate, within: float | None, level: float) -> int | None:
    """Seeds at which a decision is as likely as not if the difference is as measured.

    None if no number of seeds brings one, whatever the seeds to come show, since the units are too few.
    """
    if found.chance is None:
        return 2 * found.seeds
    chance, gap = found.chance, None if within is None else within - abs(found.mean)
    tries = [seeds_needed(chance, found.mean, power=0.5, alpha=level)]
    if gap is not None and gap > 0:
        tries.append(seeds_needed(chance, gap, power=0.5, alpha=2 * level))
    if known := [seeds for seeds in tries if seeds is not None]:
        return min(known)
    return MOST_SEEDS if _possible(chance, found.mean, within, level) else None


def _possible(chance: Chance, mean: float, within: float | None, level: float) -> bool:
    """Whether some difference near the measured one could be decided with enough seeds."""
    if not chance.units:
        return True
    reach = abs(mean) + _FAR * math.sqrt(chance.from_seeds + chance.from_units)
    if seeds_needed(chance, reach, power=0.5, alpha=level) is not None:
        return True
    return within is not None and seeds_needed(chance, within, power=0.5, alpha=2 * level) is not None
