"""The expected number of trainings for settling, if the differences were as assumed: simulated beforehand."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.settle.path import Declared, Run, replay
from harness.settle.verdicts import Comparison, Evidence

EFFECTS = (0.5, 1.0, 2.0, 4.0)
"""Assumed differences, in standard deviations of the paired difference between seeds."""
_TABLES = 40


@dataclass(frozen=True)
class Expected:
    """The expected cost of settling if every comparison differs by ``effect``."""

    effect: float
    runs: float
    """Mean number of runs, the declared seeds of all rows included."""
    decided: float
    """Part of the comparisons that are decided."""


def most_runs(declared: Declared) -> tuple[Run, ...]:
    """Every run of the longest way: the declared seeds of all rows, and the last look's of those compared."""
    compared = dict.fromkeys(row for one in declared.comparisons for row in (one.better, one.than))
    runs = dict.fromkeys((row, seed) for row in declared.rows for seed in declared.seeds)
    last = declared.first_seeds(declared.sizes[-1])
    return tuple(runs | dict.fromkeys((row, seed) for row in compared for seed in last))


def expected(declared: Declared, effect: float) -> Expected:
    """Simulates tables in which every comparison differs by ``effect``, its differences normal and independent.

    Margins are left out, since nothing is known of the spread that they would be held against: with them it may take
    fewer.
    """
    import numpy as np
    from scipy.special import stdtr

    plain = tuple(dict.fromkeys(replace(one, within=None) for one in declared.comparisons))
    table = replace(declared, comparisons=plain)
    sizes = np.array(table.sizes)
    drawn = effect + np.random.default_rng(0).standard_normal((_TABLES, len(plain), sizes[-1]))
    sums, squares = drawn.cumsum(2)[:, :, sizes - 1], np.square(drawn).cumsum(2)[:, :, sizes - 1]
    errors = np.sqrt((squares - sums**2 / sizes) / (sizes - 1) / sizes)
    p_values = 2 * stdtr(sizes - 1, -np.abs(sums / sizes) / errors)
    places = {one: place for place, one in enumerate(plain)}
    looks = {int(size): look for look, size in enumerate(sizes)}
    runs, decided = 0, 0
    for number in range(_TABLES):

        def look_at(one: Comparison, seeds: Sequence[int], number: int = number) -> Evidence:
            place = number, places[one], looks[len(seeds)]
            mean = float(sums[place]) / len(seeds)
            return Evidence(len(seeds), mean, float(p_values[place]), needed=2 * len(seeds))

        path = replay(table, look_at)
        runs += len(path.runs)
        decided += sum(line.verdict != "open" for line in path.lines)
    return Expected(effect, runs / _TABLES, decided / _TABLES / len(plain))
