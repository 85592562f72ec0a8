"""Warnings about intervals that are less reliable than they look, as sentences printed beside the table.

- Few units: a 95 % interval over seeds and few identities covers less. Simulated from a known truth, 3 to 10 seeds,
  average precision and Rank-1 with four queries an identity: 88 to 94 % at 5 identities, 90 to 96 % at 10.
  ``tests/report/test_report_cautions.py`` repeats it.
- A seed far out: where one training in ten fails, a table whose seeds happen to hold no failure has an interval that
  knows nothing of it, and one that holds one has an interval as wide as the failure. Neither is to be trusted, so the
  seed is named, with its share of the variance between seeds and the interval without it.
- Trainings without a result, and seeds that gave equal results.

Pure functions over a report's numbers. Never drops a seed: users decide that.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtr

from harness.report.formatting import metric_text
from harness.report.statistics import Floats
from harness.trainer import Metric

if TYPE_CHECKING:
    from harness.report.model import ReportRow

FEW_UNITS = 20
"""Units of query sampling below which intervals cover noticeably less than they say."""
FEW_COVER = "88 to 94 % at 5, 90 to 96 % at 10"
"""Their coverage, simulated; see the module."""
_UNLIKELY = {True: 0.1, False: 0.01}
"""How seldom a seed lies as far out among its own row's, for it to be named, where other rows show the usual spread or
not."""
_TIMES = 4.0
"""How many times the spread of the table's rows it must also lie away from the others."""


@dataclass(frozen=True)
class FarOut:
    """A seed whose result lies far from the others of its row."""

    seed: int
    value: float
    others: tuple[float, float]
    """The least and the largest of the others."""
    share: float
    """Its share of the variance between seeds, that is of the squared width of an interval over seeds."""


def far_out(by_seed: Mapping[int, float], spread: float | None = None) -> FarOut | None:
    """The seed that lies far out of a row's, if one does.

    Two tests have to agree. Grubbs' (two-sided): the largest distance from the mean, in standard deviations, is more
    than chance explains among these seeds. And it lies more than 4 times the usual spread away from the nearest of the
    others, since among three seeds two often lie together.

    Args:
        by_seed: The row's results, of three seeds or more.
        spread: The usual standard deviation between seeds, from the table's other rows; None if that is not known.

    >>> far_out({0: 0.55, 1: 0.56, 2: 0.05}, spread=0.01).seed
    2
    >>> far_out({0: 0.55, 1: 0.56, 2: 0.53}, spread=0.01) is None
    True
    """
    seeds, values = list(by_seed), np.array(list(by_seed.values()))
    count = len(values)
    if count < 3:
        return None
    squares = np.square(values - values.mean())
    if not squares.sum():
        return None
    place = int(squares.argmax())
    rest = np.delete(values, place)
    gap = float(np.abs(rest - values[place]).min())
    if grubbs_p(values) > _UNLIKELY[spread is not None] or gap <= _TIMES * (spread or 0.0):
        return None
    return FarOut(
        seeds[place],
        float(values[place]),
        (float(rest.min()), float(rest.max())),
        float(squares[place] / squares.sum()),
    )


def grubbs_p(values: Floats) -> float:
    """The two-sided p-value of Grubbs' test of one outlier among n normal values (Grubbs 1950), by Bonferroni's bound.

    With G the largest distance from the mean in standard deviations, t = G sqrt(n (n - 2) / ((n - 1)^2 - n G^2)) has a
    t distribution with n - 2 degrees of freedom; the p-value is 2 n P(T > t), exact where it is small.
    """
    count = len(values)
    most = float(np.abs(values - values.mean()).max() / values.std(ddof=1))
    left = (count - 1) ** 2 - count * most**2
    if left <= 0:
        return 0.0
    t = most * np.sqrt(count * (count - 2) / left)
    return min(1.0, 2 * count * float(stdtr(count - 2, -t)))


def cautions_of(rows: "Sequence[ReportRow]", metrics: Sequence[Metric]) -> tuple[str, ...]:
    """Returns warnings about these rows, in sentences; cited methods are not among them."""
    return (*_few_units(rows), *_failures(rows), *_far_out(rows, metrics), *_equal_seeds(rows, metrics))


def _few_units(rows: "Sequence[ReportRow]") -> Iterator[str]:
    bases = [cell.basis for row in rows for cell in row.cells.values() if cell.basis is not None]
    few = sorted({(basis.units, basis.unit) for basis in bases if 0 < basis.units < FEW_UNITS})
    for units, unit in few[:1]:
        yield (
            f"only {units} {unit} were measured, and intervals over so few cover less than the 95 % that they claim: "
            f"{FEW_COVER}."
        )


def _failures(rows: "Sequence[ReportRow]") -> Iterator[str]:
    planned = sum(row.seeds_planned for row in rows)
    done = {(run.row, run.seed) for row in rows for run in row.runs if run.status == "finished"}
    failed = {(run.row, run.seed) for row in rows for run in row.runs if run.status == "failed"} - done
    if failed:
        yield (
            f"{len(failed)} of {planned} runs failed. Means and intervals cover those that finished, and say nothing "
            "about how often one fails."
        )


def _far_out(rows: "Sequence[ReportRow]", metrics: Sequence[Metric]) -> Iterator[str]:
    """One sentence for each row and seed, of the first metric in which it lies far out."""
    named: set[tuple[str, int]] = set()
    for metric in metrics:
        sds = {row.id: cell.sd for row in rows if (cell := row.cells[metric.key].measured) and cell.sd is not None}
        for row in rows:
            others = [sd for other, sd in sds.items() if other != row.id]
            found = far_out(row.cells[metric.key].by_seed, float(np.median(others)) if others else None)
            if found is None or (row.id, found.seed) in named:
                continue
            named.add((row.id, found.seed))
            low, high = (metric_text(value, metric) for value in found.others)
            yield (
                f"row {row.name}, seed {found.seed} is an outlier: {metric.title} {metric_text(found.value, metric)}, "
                f"the others {low} to {high}. It makes up {100 * found.share:.0f} % of the variance between seeds, "
                "which the interval rests on."
            )


def _equal_seeds(rows: "Sequence[ReportRow]", metrics: Sequence[Metric]) -> Iterator[str]:
    """Rows whose seeds agree to the last digit, by metric, where units give an interval all the same."""
    for metric in metrics:
        cells = {row.name: row.cells[metric.key] for row in rows}
        equal = [
            name
            for name, cell in cells.items()
            if cell.measured and cell.measured.chance and cell.basis and not cell.measured.chance.from_seeds
        ]
        unit = next((cell.basis.unit for name, cell in cells.items() if name in equal and cell.basis), "")
        if equal:
            yield (
                f"{metric.title} of row {', '.join(equal)} is the same under every seed, so its interval is over "
                f"{unit} alone."
            )
