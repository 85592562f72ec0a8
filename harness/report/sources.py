r"""Where the variance of a table's numbers comes from, and whether more seeds or more queries would narrow them next.

A result by seed and by unit of query sampling (an identity, a query) is a crossed random-effects table

    y_su = mu + a_s + b_u + e_su

with S seeds, U units and one answer a cell, so that what a seed does to a unit (seed x unit) and what is left of chance
are one. With the mean squares A (seeds), B (units) and E (rest), E[A] = var(e) + U var(a), E[B] = var(e) + S var(b) and
E[E] = var(e), so (A - E) / U, (B - E) / S and E estimate the components (analysis of variance of a balanced two-way
layout with random effects; Searle, Casella and McCulloch 1992); what comes out below 0 is 0. The mean squares are
averages over all rows (or comparisons) of a metric that have the same seeds and units, so that the components are those
of a typical row: three seeds of one row alone say little of var(a).

What the mean of S seeds and U units varies by is var(a) / S + var(b) / U + var(e) / (S U). Its parts are the shares. A
comparison is of pairs, the same seed and unit in both rows, in which most of what units differ in cancels: its shares
are others than a row's, and verdicts rest on them.

Owns components, shares and what twice the seeds or units would bring. Refuses judging.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.report.measurements import Measurements
from harness.report.statistics import Chance, Floats, half_width, mean_squares

_ROUNDING = 1e-10
"""Relative to the largest answer: a standard deviation below it is rounding."""

Subject = Literal["rows", "comparisons"]


@dataclass(frozen=True)
class Components:
    """The variances of a crossed table's effects."""

    seed: float
    unit: float
    both: float
    """Seed x unit, and what is left of chance."""
    seeds: int
    units: int

    @property
    def shares(self) -> tuple[float, float, float]:
        """The parts of seed, unit and seed x unit in the variance of the mean; they add up to 1."""
        parts = (self.seed / self.seeds, self.unit / self.units, self.both / (self.seeds * self.units))
        return tuple(part / sum(parts) for part in parts)  # type: ignore[return-value]

    def half_width(self, *, seeds: int = 1, units: int = 1) -> float:
        """Half the width of the 95 % interval with so many times the seeds and the units."""
        more_seeds, more_units = seeds * self.seeds, units * self.units
        from_seeds = self.seed / more_seeds + self.both / (more_seeds * more_units)
        return half_width(Chance(more_seeds, more_units, from_seeds, self.unit / more_units))


@dataclass(frozen=True)
class Sources:
    """Where the variance of one metric comes from, in a table's rows or in its comparisons."""

    metric: str
    subject: Subject
    among: int
    """Rows or comparisons that the components are those of."""
    components: Components
    unit: str
    """The name of the units, in the plural."""

    @property
    def half_widths(self) -> tuple[float, float, float]:
        """Of the 95 % interval: now, with twice the seeds, with twice the units."""
        return (
            self.components.half_width(),
            self.components.half_width(seeds=2),
            self.components.half_width(units=2),
        )

    @property
    def next(self) -> Literal["seeds", "units"]:
        """The source, seeds or units, of which twice as many would narrow the interval more."""
        _, with_seeds, with_units = self.half_widths
        return "seeds" if with_seeds <= with_units else "units"


def components(tables: Sequence[Floats]) -> Components | None:
    """The variance components of crossed tables of one shape, (S, U) each; None if nothing varies.

    >>> components([np.array([[1.0, 3.0], [2.0, 4.0]])])  # A = 1, B = 4, E = 0: (1 - 0) / 2, (4 - 0) / 2, 0
    Components(seed=0.5, unit=2.0, both=0.0, seeds=2, units=2)
    """
    seeds, units = tables[0].shape
    a, b, e = (float(np.mean(squares)) for squares in mean_squares(np.stack(tables)))
    rounding = (_ROUNDING * float(np.max(np.abs(tables)))) ** 2
    parts = ((a - e) / units, (b - e) / seeds, e)
    seed, unit, both = (part if part > rounding else 0.0 for part in parts)
    found = Components(seed, unit, both, seeds, units)
    return found if found.seed + found.unit + found.both > 0 else None


def sources_of(
    measurements: Measurements,
    metrics: Iterable[str],
    rows: Sequence[str],
    comparisons: Mapping[str, Sequence[tuple[str, str]]],
) -> tuple[Sources, ...]:
    """The sources of each metric's variance, in rows and in comparisons; nothing where no values by unit are kept.

    Args:
        measurements: The table's runs.
        metrics: The metrics.
        rows: The rows.
        comparisons: Pairs of rows by metric.
    """
    found: list[Sources] = []
    for metric in metrics:
        subjects: dict[Subject, list[Mapping[str, float]]] = {
            "rows": [{row: 1.0} for row in rows],
            "comparisons": [{on: 1.0, off: -1.0} for on, off in dict.fromkeys(comparisons.get(metric, ()))],
        }
        for subject, contrasts in subjects.items():
            tables = [table for weights in contrasts if (table := measurements.crossed(weights, metric)) is not None]
            tables = [table for table in tables if min(table.shape) > 1]
            if not tables:
                continue
            shape, among = Counter(table.shape for table in tables).most_common(1)[0]
            shares = components([table for table in tables if table.shape == shape])
            if shares is not None:
                found.append(Sources(metric, subject, among, shares, measurements.unit))
    return tuple(found)
