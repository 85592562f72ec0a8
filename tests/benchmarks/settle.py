"""How often settling is wrong, what it finds, and how many trainings it takes; beside fixed seeds and AdaStop.

    python tests/benchmarks/settle.py [--tables 1000] [--adastop-tables 60] [--json FILE]

Tables are drawn from known truths: a reference and six rows, each compared with it, so that all comparisons share a
row; results of one seed share part of their luck. Effects are in standard deviations of the paired difference between
seeds.

Wrong: tables with any wrong verdict (better or worse without a difference or to the wrong side, practically equal at a
difference as large as the margin). Covered: of the intervals printed at the end, those that hold the truth. Power: of
the differences that there are, those found. Fixed seeds are judged by paired t tests with Holm's correction, all at
once; beside each stands settling with the fewest ``--max-seeds`` that finds as much. AdaStop (PyPI ``adastop``, n = 5,
K = 5) compares two rows on the very scores that settling gets.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from measure import arguments, tell
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from harness.settle import ALPHA, Comparison, Declared, Evidence, Path, Run, holm, replay

Floats = NDArray[np.float64]

_OPTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--tables", {"type": int, "default": 1000, "help": "tables drawn for each line"}),
    ("--adastop-tables", {"type": int, "default": 60, "help": "pairs of rows that AdaStop compares for each line"}),
    ("--seed", {"type": int, "default": 0}),
)
_ROWS = 6
_MOST = 60
"""Most seeds of a row."""
_MOST_OF_ADASTOP = 25
_FIRST = 3
_SHARED = 0.5
"""Of a result's variance, the part that the rows share under one seed; pairing takes it out."""


@dataclass(frozen=True)
class World:
    """Differences of rows from the reference, and what chance is like."""

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
    """Draws the tables and prints what became of them."""
    options = arguments(__doc__, *_OPTIONS)
    rows = [*_wrong(options), *_against_fixed(options), *_against_adastop(options)]
    columns = dict.fromkeys(column for row in rows for column in row)
    note = (
        f"{options.tables:,} tables a line, {options.adastop_tables} for AdaStop; {_FIRST} declared seeds, "
        f"at most {_MOST} "
        f"({_MOST_OF_ADASTOP} beside AdaStop). Trainings are those of a table: seven rows, or two beside AdaStop."
    )
    tell(
        [{column: row.get(column) for column in columns} for row in rows],
        options,
        target="at most 5 % of tables with a wrong verdict, 95 % covered; fewer trainings than AdaStop at equal error",
        note=note,
    )


def _worlds() -> Iterator[World]:
    none = (0.0,) * _ROWS
    yield World("no differences", none)
    yield World("no differences, margin 1.5", none, within=1.5)
    yield World("half differ by 1, margin 1", (1.0, 1.0, 1.0, 0.0, 0.0, 0.0), within=1.0)
    yield World("all differ by the margin, 1", (1.0, -1.0) * 3, within=1.0)
    yield World("no differences, margin 1.5, rows of unequal spread", none, 1.5, (0.3, 0.5, 1.0, 1.5, 2.0, 3.0))


def _wrong(options: Any) -> Iterator[dict[str, Any]]:
    for noise in NOISES:
        for number, world in enumerate(_worlds()):
            paths = Tables(world, noise, options.tables, _MOST, [options.seed, number]).paths()
            wrong, covered, decided, trained = [], [], [], []
            for path in paths:
                lines = list(zip(path.lines, world.gains, strict=True))
                wrong.append(any(_is_wrong(line.verdict, gain, world.within) for line, gain in lines))
                covered += [_covers(line.looks[-1].evidence, line.looks[-1].share, gain) for line, gain in lines]
                decided += [line.verdict != "open" for line, _ in lines]
                trained.append(len(path.runs))
            yield {
                "noise": noise,
                "world": world.name,
                "method": "settled",
                "wrong %": 100 * float(np.mean(wrong)),
                "covered %": 100 * float(np.mean(covered)),
                "decided %": 100 * float(np.mean(decided)),
                "trainings": float(np.mean(trained)),
            }


def _against_fixed(options: Any) -> Iterator[dict[str, Any]]:
    """Half of the rows differ: what is found with fixed seeds, and what settling takes to find as much."""
    for number, effect in enumerate((0.5, 1.0, 2.0, 4.0)):
        world = World(f"half differ by {effect:g}", (effect,) * 3 + (0.0,) * 3)
        tables = Tables(world, "normal", options.tables, _MOST, [options.seed, 100 + number])
        paths = tables.paths()
        for seeds in (3, 5, 10):
            rejected = tables.fixed(seeds)
            power = float(rejected[:, world.differing].mean())
            wrong = float(rejected[:, 3:].any(axis=1).mean())
            told = {"noise": "normal", "world": world.name, "wrong %": 100 * wrong, "power %": 100 * power}
            yield {**told, "method": f"fixed {seeds} seeds", "trainings": float(seeds * (_ROWS + 1))}
            yield {
                "noise": "normal",
                "world": world.name,
                **_as_powerful(paths, world, tables.declared.sizes, power),
            }
        yield {"noise": "normal", "world": world.name, **_as_powerful(paths, world, tables.declared.sizes, 1.0)}


def _as_powerful(paths: Sequence[Path], world: World, sizes: Sequence[int], power: float) -> dict[str, Any]:
    """Settling with the fewest seeds at most that find as much; the way with fewer is the beginning of the longer."""
    for look, size in enumerate(sizes):
        found = [
            line.verdict in ("better", "worse") and line.seeds <= size
            for path in paths
            for index, line in enumerate(path.lines)
            if index in world.differing
        ]
        if np.mean(found) >= power or size == sizes[-1]:
            trained = [sum(len(one.runs) for one in path.rounds[: look + 1]) for path in paths]
            wrong = [
                any(
                    _is_wrong(line.verdict, gain, None) and line.seeds <= size
                    for line, gain in zip(path.lines, world.gains, strict=True)
                )
                for path in paths
            ]
            return {
                "method": f"settled, at most {size} seeds",
                "wrong %": 100 * float(np.mean(wrong)),
                "power %": 100 * float(np.mean(found)),
                "trainings": float(np.mean(trained)),
            }
    raise AssertionError("the last size always answers")


def _against_adastop(options: Any) -> Iterator[dict[str, Any]]:
    """Two rows whose results of one seed share half or most of their variance."""
    try:
        from adastop import MultipleAgentsComparator
    except ModuleNotFoundError:
        print("adastop is not installed: its lines are left out")
        return
    for shared in (0.0, 0.5, 0.9):
        for number, effect in enumerate((0.0, 0.5, 1.0, 2.0)):
            generator = np.random.default_rng([options.seed, 200 + number, int(10 * shared)])
            luck = generator.standard_normal((options.adastop_tables, 1, _MOST_OF_ADASTOP))
            own = generator.standard_normal((options.adastop_tables, 2, _MOST_OF_ADASTOP))
            scores = np.sqrt(shared) * luck + np.sqrt(1 - shared) * own + np.array([effect, 0.0])[:, None]
            found = {"settled": [], "AdaStop": []}  # type: dict[str, list[tuple[str, int]]]
            for pair in scores:
                found["AdaStop"].append(_adastop(MultipleAgentsComparator, pair))
                table = Declared((Comparison("0", "1", "score"),), ("0", "1"), tuple(range(_FIRST)), _MOST_OF_ADASTOP)
                path = replay(table, _look(pair[0] - pair[1]))
                found["settled"].append((path.lines[0].verdict, len(path.runs)))
            world = f"two rows, {effect:g} of a row's sd apart, {shared:.0%} shared"
            for method, ended in found.items():
                right = np.mean([verdict == "better" for verdict, _ in ended])
                wrong = np.mean([verdict == "worse" or (not effect and verdict == "better") for verdict, _ in ended])
                yield {
                    "noise": "normal",
                    "world": world,
                    "method": method,
                    "wrong %": 100 * float(wrong),
                    "power %": 100 * float(right) if effect else None,
                    "trainings": float(np.mean([trained for _, trained in ended])),
                }


def _adastop(comparator: Any, pair: Floats) -> tuple[str, int]:
    compared = comparator(n=5, K=5, B=1000, comparisons=np.array([(0, 1)]), alpha=ALPHA, seed=0)
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
        # The paired difference of two rows of spread 1 has this standard deviation, which effects are measured in.
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
        """(tables, rows): whether a difference is found with so many seeds, by t tests with Holm's correction."""
        means, errors = (found[:, :, 0] for found in self._moments(np.array([seeds])))
        p_values = 2 * stdtr(seeds - 1, -np.abs(means) / errors)
        return np.array([[p is not None and p <= ALPHA for p in holm(list(table))] for table in p_values])

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
    """Whether the interval of level 1 - part x alpha around the last look's mean holds the truth."""
    error = abs(seen.mean) / -stdtrit(seen.seeds - 1, seen.p_difference / 2)
    half = stdtrit(seen.seeds - 1, 1 - part * ALPHA / 2) * error
    return bool(abs(seen.mean - truth) <= half)


if __name__ == "__main__":
    main()
