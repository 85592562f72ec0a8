"""How often settling is wrong, what it finds, and how many trainings it takes, compared with fixed seeds and AdaStop.

    python tests/benchmarks/settle.py [--tables 1000] [--adastop-tables 80] [--processes 2] [--json FILE]

Tables are drawn from known effects: a reference and six rows, each compared with it, so that all comparisons share a
row; results of one seed share part of their luck. Effects are in standard deviations of the paired difference between
seeds.

Wrong: tables with any wrong verdict (better or worse without a difference or to the wrong side, practically equal at a
difference as large as the margin). Covered: of the intervals printed at the end, those that hold the truth. Power: of
the existing differences, those found. Fixed seeds are judged by paired t tests with Holm's correction, all at
once; each is followed by settling with the smallest limit of seeds that finds as much.

AdaStop (PyPI ``adastop``) compares two rows on the very scores that settling gets, five seeds a round, at most five
rounds, unpaired. Version 0.1.3 holds the size of a difference against the quantile of signed differences, which makes
its two-sided error twice the alpha it is given (its lines without a difference show it). At alpha = 2.5 % its error is
at most 5 %, like that of settling.
"""

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from measure import arguments, show
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from harness.settle import ALPHA, Comparison, Declared, Evidence, Path, Run, holm, replay

Floats = NDArray[np.float64]

_OPTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--tables", {"type": int, "default": 1000, "help": "tables drawn for each line"}),
    ("--adastop-tables", {"type": int, "default": 80, "help": "pairs of rows that AdaStop compares for each line"}),
    ("--processes", {"type": int, "default": 2}),
    ("--seed", {"type": int, "default": 0}),
)
_ROWS = 6
_MOST = 60
"""The most seeds of a row."""
_MOST_OF_ADASTOP = 25
_FIRST = 3
_SHARED = 0.5
"""The share of a result's variance that the rows have in common under one seed; pairing removes it."""


@dataclass(frozen=True)
class World:
    """The differences of the rows from the reference."""

    name: str
    gains: tuple[float, ...]
    within: float | None = None
    spread: tuple[float, ...] = (1.0,) * _ROWS
    """Standard deviations of the rows' own luck; the reference's is 1."""

    @property
    def differing(self) -> list[int]:
        """Rows that differ from the reference."""
        return [row for row, gain in enumerate(self.gains) if gain]


NOISES: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Floats]] = {
    "normal": lambda generator, shape: generator.standard_normal(shape),
    "skewed (exponential)": lambda generator, shape: generator.exponential(size=shape) - 1,
    "heavy tails (t, 3 degrees)": lambda generator, shape: generator.standard_t(3, shape) / np.sqrt(3),
}


def main() -> None:
    """Draws the tables and prints how they were judged."""
    options = arguments(__doc__, *_OPTIONS)
    works: list[Callable[[], list[dict[str, Any]]]] = [
        *(partial(_wrong, options, noise, number) for noise in NOISES for number in range(len(WORLDS))),
        *(partial(_against_fixed, options, effect) for effect in _EFFECTS),
        *(partial(_against_adastop, options, shared, effect) for shared in _SHARES for effect in _SMALLER),
    ]
    with ProcessPoolExecutor(options.processes, multiprocessing.get_context("spawn")) as pool:
        found = [pool.submit(work) for work in works]
        rows = [row for one in found for row in one.result()]
    columns = dict.fromkeys(column for row in rows for column in row)
    note = (
        f"{options.tables:,} tables a line, {options.adastop_tables} beside AdaStop; {_FIRST} declared seeds, at most "
        f"{_MOST} ({_MOST_OF_ADASTOP} for AdaStop). Trainings are those of a table: seven rows, or two beside AdaStop."
    )
    show(
        [{column: row.get(column) for column in columns} for row in rows],
        options,
        target="at most 5 % of tables with a wrong verdict, 95 % covered; fewer trainings than AdaStop at equal error",
        note=note,
    )


_NONE = (0.0,) * _ROWS
_UNEQUAL = (0.3, 0.5, 1.0, 1.5, 2.0, 3.0)
WORLDS = (
    World("no differences", _NONE),
    World("no differences, margin 1.5", _NONE, within=1.5),
    World("half differ by 1", (1.0, 1.0, 1.0, 0.0, 0.0, 0.0)),
    World("half differ by 1, margin 1", (1.0, 1.0, 1.0, 0.0, 0.0, 0.0), within=1.0),
    World("all differ by the margin, 1", (1.0, -1.0) * 3, within=1.0),
    World("no differences, rows of unequal spread", _NONE, None, _UNEQUAL),
    World("no differences, margin 1.5, rows of unequal spread", _NONE, 1.5, _UNEQUAL),
)
_EFFECTS = (0.5, 1.0, 2.0, 4.0)
_SHARES = (0.0, 0.5, 0.9)
"""Shares of the variance of two rows' results that they have in common under one seed."""
_SMALLER = (0.0, 0.5, 1.0, 2.0)


def _wrong(options: Any, noise: str, number: int) -> list[dict[str, Any]]:
    world = WORLDS[number]
    tables = Tables(world, noise, options.tables, _MOST, [options.seed, number])
    wrong, covered, decided, trained = [], [], [], []
    for path in tables.paths():
        lines = list(zip(path.lines, world.gains, strict=True))
        wrong.append(any(_is_wrong(line.verdict, gain, world.within) for line, gain in lines))
        covered += [_covers(line.looks[-1].evidence, line.looks[-1].share, gain) for line, gain in lines]
        decided += [line.verdict != "open" for line, _ in lines]
        trained.append(len(path.runs))
    labels = {"noise": noise, "world": world.name}
    settled = {
        **labels,
        "method": "settled",
        "wrong %": 100 * float(np.mean(wrong)),
        "covered %": 100 * float(np.mean(covered)),
        "decided %": 100 * float(np.mean(decided)),
        "trainings": float(np.mean(trained)),
    }
    if world.within is not None:
        return [settled]
    equal = [row for row, gain in enumerate(world.gains) if not gain]
    return [
        settled,
        {
            **labels,
            "method": "fixed 10 seeds",
            "wrong %": 100 * float(tables.fixed(10)[:, equal].any(axis=1).mean()),
            "covered %": 100 * tables.covered(10),
            "trainings": float(10 * (_ROWS + 1)),
        },
    ]


def _against_fixed(options: Any, effect: float) -> list[dict[str, Any]]:
    """Half of the rows differ: what fixed seeds find, and what settling needs to find as much."""
    world = World(f"half differ by {effect:g}", (effect,) * 3 + (0.0,) * 3)
    tables = Tables(world, "normal", options.tables, _MOST, [options.seed, 100 + int(10 * effect)])
    paths, sizes, labels = tables.paths(), tables.declared.sizes, {"noise": "normal", "world": world.name}
    rows = []
    for seeds in (3, 5, 10):
        rejected = tables.fixed(seeds)
        power = float(rejected[:, world.differing].mean())
        wrong = float(rejected[:, 3:].any(axis=1).mean())
        fixed = {**labels, "method": f"fixed {seeds} seeds", "wrong %": 100 * wrong, "power %": 100 * power}
        rows += [
            {**fixed, "trainings": float(seeds * (_ROWS + 1))},
            {**labels, **_as_powerful(paths, world, sizes, power)},
        ]
    return [*rows, {**labels, **_as_powerful(paths, world, sizes, 1.0)}]


def _as_powerful(paths: Sequence[Path], world: World, sizes: Sequence[int], power: float | None) -> dict[str, Any]:
    """Settling with the smallest limit of seeds that reaches ``power``; with the largest limit if that is None."""
    for look, size in enumerate(sizes):
        verdicts = [[line.verdict if line.seeds <= size else "open" for line in path.lines] for path in paths]
        found = [verdict[row] in ("better", "worse") for verdict in verdicts for row in world.differing]
        if size == sizes[-1] or (power is not None and np.mean(found) >= power):
            wrong = [
                any(_is_wrong(verdict, gain, None) for verdict, gain in zip(table, world.gains, strict=True))
                for table in verdicts
            ]
            trained = [sum(len(one.runs) for one in path.rounds[: look + 1]) for path in paths]
            return {
                "method": f"settled, at most {size} seeds",
                "wrong %": 100 * float(np.mean(wrong)),
                "power %": 100 * float(np.mean(found)) if found else None,
                "trainings": float(np.mean(trained)),
            }
    raise AssertionError("the last size always answers")


def _against_adastop(options: Any, shared: float, effect: float) -> list[dict[str, Any]]:
    """Two rows that share part of their luck: what AdaStop finds, and what settling needs to find as much."""
    generator = np.random.default_rng([options.seed, 200 + int(10 * effect), int(10 * shared)])
    luck = generator.standard_normal((options.adastop_tables, 1, _MOST))
    own = generator.standard_normal((options.adastop_tables, 2, _MOST))
    scores = np.sqrt(shared) * luck + np.sqrt(1 - shared) * own + np.array([effect, 0.0])[:, None]
    world = World(f"two rows, {effect:g} of a row's sd apart, {shared:.0%} of the variance shared", (effect,))
    labels = {"noise": "normal", "world": world.name}
    rows = []
    for alpha in (ALPHA, ALPHA / 2) if not effect else (ALPHA / 2,):
        ended = [_adastop(pair, alpha) for pair in scores]
        power = float(np.mean([verdict == "better" for verdict, _ in ended])) if effect else None
        wrong = np.mean([verdict != "open" if not effect else verdict == "worse" for verdict, _ in ended])
        found = {"wrong %": 100 * float(wrong), "power %": None if power is None else 100 * power}
        trained = float(np.mean([trained for _, trained in ended]))
        rows.append({**labels, "method": f"AdaStop, alpha {alpha:.1%}", **found, "trainings": trained})
    table = Declared((Comparison("0", "1", "score"),), ("0", "1"), tuple(range(_FIRST)), _MOST)
    paths = [replay(table, _look(pair[0] - pair[1])) for pair in scores]
    sizes = table.sizes if effect else [size for size in table.sizes if size <= _MOST_OF_ADASTOP]
    return [*rows, {**labels, **_as_powerful(paths, world, sizes, power)}]


def _adastop(pair: Floats, alpha: float) -> tuple[str, int]:
    from adastop import MultipleAgentsComparator

    compared = MultipleAgentsComparator(n=5, K=5, B=1000, comparisons=np.array([(0, 1)]), alpha=alpha, seed=0)
    seen = 0
    while not compared.is_finished and seen < _MOST_OF_ADASTOP:
        seen += 5
        compared.partial_compare({"0": pair[0, :seen], "1": pair[1, :seen]}, False)
    decision = next(iter(compared.decisions.values()))
    return {"larger": "better", "smaller": "worse"}.get(decision, "open"), 2 * seen


def _look(differences: Floats) -> Callable[[Comparison, Sequence[int]], Evidence | Run]:
    def look(_: Comparison, seeds: Sequence[int]) -> Evidence:
        count = len(seeds)
        mean, error = differences[:count].mean(), differences[:count].std(ddof=1) / np.sqrt(count)
        return Evidence(count, float(mean), float(2 * stdtr(count - 1, -abs(mean) / error)), None, count)

    return look


class Tables:
    """Tables of one world with their p-values at every look."""

    def __init__(self, world: World, noise: str, tables: int, most: int, seed: Sequence[int]) -> None:
        generator, draw = np.random.default_rng(seed), NOISES[noise]
        own = np.sqrt(1 - _SHARED) * draw(generator, (tables, _ROWS + 1, most))
        luck = np.sqrt(_SHARED) * draw(generator, (tables, 1, most))
        scores = own * np.array([*world.spread, 1.0])[:, None] + luck
        # The standard deviation of the paired difference of two rows of spread 1: the unit of effects.
        scale = np.sqrt(2 * (1 - _SHARED))
        self.differences = scores[:, :_ROWS] - scores[:, _ROWS:] + scale * np.array(world.gains)[:, None]
        self.differences /= scale
        self.world = world
        comparisons = tuple(Comparison(f"row {row}", "reference", "score", world.within) for row in range(_ROWS))
        rows = (*(f"row {row}" for row in range(_ROWS)), "reference")
        self.declared = Declared(comparisons, rows, tuple(range(_FIRST)), most)
        sizes = np.array(self.declared.sizes)
        self.means, self.errors = self._moments(sizes)
        self.p_values = 2 * stdtr(sizes - 1, -np.abs(self.means) / self.errors)
        margin = np.inf if world.within is None else world.within
        self.equal = stdtr(sizes - 1, -(margin - np.abs(self.means)) / self.errors)

    def _moments(self, sizes: NDArray[np.int_]) -> tuple[Floats, Floats]:
        sums = self.differences.cumsum(axis=2)[:, :, sizes - 1]
        squares = np.square(self.differences).cumsum(axis=2)[:, :, sizes - 1]
        return sums / sizes, np.sqrt((squares - sums**2 / sizes) / (sizes - 1) / sizes)

    def fixed(self, seeds: int) -> NDArray[np.bool_]:
        """(tables, rows): whether a difference is found with ``seeds``, by t tests with Holm's correction."""
        means, errors = (found[:, :, 0] for found in self._moments(np.array([seeds])))
        p_values = 2 * stdtr(seeds - 1, -np.abs(means) / errors)
        return np.array([[p is not None and p <= ALPHA for p in holm(list(table))] for table in p_values])

    def covered(self, seeds: int) -> float:
        """The share of the 95 % intervals after ``seeds`` that hold the true difference."""
        means, errors = (found[:, :, 0] for found in self._moments(np.array([seeds])))
        return float(np.mean(np.abs(means - self.world.gains) <= stdtrit(seeds - 1, 1 - ALPHA / 2) * errors))

    def paths(self) -> list[Path]:
        """How each table was settled."""
        return [replay(self.declared, self._look(table)) for table in range(len(self.means))]

    def _look(self, table: int) -> Callable[[Comparison, Sequence[int]], Evidence | Run]:
        looks = {size: look for look, size in enumerate(self.declared.sizes)}
        rows = {comparison: row for row, comparison in enumerate(self.declared.comparisons)}

        def look(comparison: Comparison, seeds: Sequence[int]) -> Evidence:
            place = table, rows[comparison], looks[len(seeds)]
            equal = None if comparison.within is None else float(self.equal[place])
            return Evidence(len(seeds), float(self.means[place]), float(self.p_values[place]), equal, len(seeds))

        return look


def _is_wrong(verdict: str, gain: float, within: float | None) -> bool:
    if verdict == "practically equal":
        return within is not None and abs(gain) >= within
    return (verdict == "better" and gain <= 0) or (verdict == "worse" and gain >= 0)


def _covers(seen: Evidence, part: float, truth: float) -> bool:
    """Whether the interval of level 1 - part x alpha around the last look's mean holds the true difference."""
    error = abs(seen.mean) / -stdtrit(seen.seeds - 1, seen.p_difference / 2)
    half = stdtrit(seen.seeds - 1, 1 - part * ALPHA / 2) * error
    return bool(abs(seen.mean - truth) <= half)


if __name__ == "__main__":
    main()
