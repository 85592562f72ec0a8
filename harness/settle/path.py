"""The way to the verdicts: rounds of seeds, looks, decisions. A pure function of what was declared and of the results.

Every replay from the same results (by the process that runs the table, one that resumes after a kill, a
second one beside it, the report) finds the same looks in the same order, and the same runs to train next. It reads no
clock: what a budget allows follows from costs that are part of the declaration.

One round adds the seeds up to the next look to every comparison that is open, and so only to the rows that one of them
needs. Under a budget the comparisons that can be decided most cheaply come first, by what they are expected to need in
all; those for which nothing is left stay open.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from harness.settle.costs import Costs
from harness.settle.looks import look_sizes, share
from harness.settle.verdicts import ALPHA, Comparison, Evidence, Found, Verdict, decide

MAX_SEED = 2**32 - 1

Run = tuple[str, int]
"""A row and a seed."""

Why = Literal["", "seeds", "budget", "units", "failed", "missing"]
"""Why a comparison is open: most seeds reached, the budget is spent, more seeds cannot help (what a metric is a mean
over is too few), a run failed, a run is not there yet."""


@dataclass(frozen=True)
class Declared:
    """The declared inputs of settling; none may depend on results, apart from costs."""

    comparisons: tuple[Comparison, ...]
    rows: tuple[str, ...]
    """All rows of the table; each is trained under the declared seeds."""
    seeds: tuple[int, ...]
    """The declared seeds, in order."""
    most: int
    """Most seeds of a row."""
    budget_s: float | None = None
    """Device seconds that the seeds beyond the declared ones may take; None: no limit."""
    costs: Costs = field(default_factory=Costs)
    alpha: float = ALPHA

    @property
    def sizes(self) -> tuple[int, ...]:
        """Seeds at each look."""
        return look_sizes(len(self.seeds), self.most)

    def first_seeds(self, count: int) -> tuple[int, ...]:
        """The first ``count`` seeds: the declared ones, then the next whole numbers that are not among them.

        >>> Declared((), (), (4, 1), 9).first_seeds(5)
        (4, 1, 5, 6, 7)
        """
        seeds, following = list(self.seeds[:count]), max(self.seeds) + 1
        while len(seeds) < count:
            following = following if following <= MAX_SEED else 0
            if following not in self.seeds:
                seeds.append(following)
            following += 1
        return tuple(seeds)


@dataclass(frozen=True)
class Look:
    """The result of a look at a comparison."""

    evidence: Evidence
    share: float
    """The part of the error that this look may spend."""
    difference: float
    """Sequential p-value of no difference, after this look."""
    equality: float
    """The same of a difference as large as the margin."""

    def interval(self, alpha: float) -> tuple[float, float]:
        """Holds the truth at every look at once with probability 1 - alpha; without end where nothing is known."""
        half = self.evidence.half_width(1 - alpha * self.share)
        return self.evidence.mean - half, self.evidence.mean + half


@dataclass
class Line:
    """One comparison on its way."""

    comparison: Comparison
    looks: list[Look] = field(default_factory=list)
    verdict: Verdict = "open"
    why: Why = ""
    lacking: Run | None = None
    """The run that failed or is missing."""

    @property
    def seeds(self) -> int:
        """Seeds at the last look."""
        return self.looks[-1].evidence.seeds if self.looks else 0


@dataclass(frozen=True)
class Round:
    """Seeds that were added together."""

    runs: tuple[Run, ...]
    """The cheapest comparison's first."""
    seconds: float
    """Their cost, by the declared costs."""


@dataclass(frozen=True)
class Path:
    """How far a table is settled."""

    lines: tuple[Line, ...]
    rounds: tuple[Round, ...]
    """The first one holds the declared seeds of all rows."""
    needs: tuple[Run, ...]
    """Runs to train before the next look can be taken; empty once nothing more is to be done."""

    @property
    def runs(self) -> frozenset[Run]:
        """All runs that the path rests on."""
        return frozenset(run for one in self.rounds for run in one.runs)


LookAt = Callable[[Comparison, Sequence[int]], Evidence | Run]
"""The evidence of these seeds for a comparison, or a run that it lacks."""


def replay(declared: Declared, look_at: LookAt, failed: Callable[[Run], bool] = lambda _run: False) -> Path:
    """Goes the way as far as results are there.

    Args:
        declared: What is to be settled.
        look_at: Evidence from the results that there are.
        failed: Whether a run was tried in vain; comparisons that need it stay open, and the others continue.
    """
    lines = [Line(comparison) for comparison in declared.comparisons]
    found = [Found() for _ in lines]
    rounds: list[Round] = []
    known: set[Run] = set()
    for look, size in enumerate(declared.sizes):
        seeds = declared.first_seeds(size)
        still_open = [line for line in lines if line.verdict == "open" and not line.why]
        if look:
            spent = sum(one.seconds for one in rounds[1:])
            still_open = _afforded(declared, still_open, known, size, spent)
        runs = dict.fromkeys((row, seed) for seed in declared.seeds for row in declared.rows) if not look else {}
        runs |= dict.fromkeys(run for line in still_open for run in _runs(line, seeds))
        new = tuple(run for run in runs if run not in known)
        if not still_open and look:
            break
        rounds.append(Round(new, declared.costs.of(new)))
        known |= set(new)
        missing = False
        for line in still_open:
            missing |= _take(line, found[lines.index(line)], look_at(line.comparison, seeds), look, failed)
        if missing:
            return Path(tuple(lines), tuple(rounds), rounds[-1].runs)
        for line, verdict in zip(lines, decide(declared.comparisons, found, declared.alpha), strict=True):
            if line.verdict == "open" and verdict != "open":
                line.verdict, line.why = verdict, ""
    for line in lines:
        if line.verdict == "open" and not line.why:
            line.why = "seeds"
    return Path(tuple(lines), tuple(rounds), ())


def _take(line: Line, found: Found, seen: Evidence | Run, look: int, failed: Callable[[Run], bool]) -> bool:
    """Writes a look down; whether a run for it is still to be trained."""
    if not isinstance(seen, Evidence):
        line.lacking = seen
        line.why = "failed" if failed(seen) else "missing"
        return line.why == "missing"
    found.add(seen, share(look))
    line.looks.append(Look(seen, share(look), found.difference, found.equality))
    if seen.needed is None:
        line.why = "units"
    return False


def _runs(line: Line, seeds: Sequence[int]) -> list[Run]:
    return [(row, seed) for seed in seeds for row in (line.comparison.better, line.comparison.than)]


def _afforded(declared: Declared, lines: list[Line], known: set[Run], size: int, spent: float) -> list[Line]:
    """The comparisons that get this round's seeds, cheapest first; marks those that the budget leaves out."""

    def to_come(line: Line, until: int) -> set[Run]:
        return set(_runs(line, declared.first_seeds(min(until, declared.most)))) - known

    def expected(line: Line) -> int:
        return max(size, line.looks[-1].evidence.needed or declared.most)

    costs = declared.costs
    ordered = sorted(lines, key=lambda line: (costs.of(to_come(line, expected(line))), lines.index(line)))
    if declared.budget_s is None:
        return ordered
    left = declared.budget_s - spent
    afforded: list[Line] = []
    reserved: set[Run] = set()
    round_: set[Run] = set()
    for line in ordered:
        whole = costs.of(reserved | to_come(line, expected(line)))
        first_of_all = not afforded and costs.of(round_ | to_come(line, size)) <= left
        if whole <= left or first_of_all:
            afforded.append(line)
            reserved |= to_come(line, expected(line))
            round_ |= to_come(line, size)
        else:
            line.why = "budget"
    return afforded
