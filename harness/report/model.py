"""The parts of a report: everything that a table, its claims, effects and provenance say, in numbers and sentences.

Owns what is shown; Markdown, CSV, JSON, LaTeX and figures only format it. See ``harness.report.build``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.plan.columns import Setting
from harness.report.basis import Basis
from harness.report.claims import Judgement
from harness.report.controls import Controlled
from harness.report.costs import Cost
from harness.report.insight import Insight
from harness.report.metrics import metric_of
from harness.report.settled import Settlement
from harness.report.sources import Sources
from harness.report.statistics import Estimate
from harness.track.snapshot import RunRecord
from harness.trainer import Metric


@dataclass(frozen=True)
class Cell:
    """One metric of one row, as fractions."""

    paper: float | None
    """The number published for this row."""
    measured: Estimate | None
    by_seed: Mapping[int, float]
    difference: float | None
    """Measured minus published; None if the two are not comparable."""
    basis: Basis | None = None
    """The basis of the measured mean."""
    place: int | None = None
    """1 for the table's best and 2 for its second best, among all comparable rows."""


@dataclass(frozen=True)
class ReportRow:
    """A row of ours, or a method that the table cites."""

    id: str
    label: str
    note: str
    factors: Setting
    cells: Mapping[str, Cell]
    cited: bool
    rank: int | None = None
    """Position among all methods by the first metric; None where methods are not ranked."""
    costs: Mapping[str, float] | None = None
    """Means over the finished runs, by key, in recorded units."""
    more: Mapping[str, Estimate] | None = None
    """Other metrics that the runs recorded."""
    runs: tuple[RunRecord, ...] = ()
    seeds_done: int = 0
    seeds_planned: int = 0
    problems: tuple[str, ...] = ()
    """Missing runs, and why."""
    state: str = ""
    """One word for a row without results: failed, killed, running, not run."""

    @property
    def name(self) -> str:
        """The row's readable name."""
        return self.id if self.label in ("", self.id) else f"{self.id} ({self.label})"


@dataclass(frozen=True)
class TableReport:
    """A whole report."""

    name: str
    title: str
    heading: str
    """Profile and data set in words."""
    not_comparable: str
    """Why the numbers cannot be held against the paper's; empty if they can."""
    metrics: tuple[Metric, ...]
    measured: Mapping[str, Mapping[str, Any]]
    """Every metric of the table's trainer, as it was recorded."""
    more_metrics: tuple[Metric, ...]
    factors: tuple[str, ...]
    rows: tuple[ReportRow, ...]
    ranked: bool
    costs: tuple[Cost, ...]
    claims: tuple[Judgement, ...]
    controls: tuple[Controlled, ...]
    """The claims whose rows are trained unequally, without the extra training."""
    settlement: Settlement | None
    """How seeds were added until the claims were decided; None where their number was declared."""
    insight: Insight
    sources: tuple[Sources, ...]
    """Where the variance comes from, by metric, in rows and in comparisons."""
    refused: tuple[Mapping[str, Any], ...]
    assumptions: tuple[Mapping[str, Any], ...]
    overrides: Mapping[str, Any]
    notes: tuple[str, ...]
    cautions: tuple[str, ...]
    """Warnings about intervals that are less reliable than they look."""
    method: tuple[str, ...]
    """How the numbers were measured, in sentences."""
    provenance: Mapping[str, str]
    parent_id: str
    parent_url: str | None

    @property
    def ours(self) -> tuple[ReportRow, ...]:
        """The rows that were measured, or should have been, without the cited methods."""
        return tuple(row for row in self.rows if not row.cited)

    def metric_of(self, key: str) -> Metric:
        """A metric by its key."""
        return metric_of(self.measured, key)

    def has_contradiction(self) -> bool:
        """Whether a claim is contradicted."""
        return any(claim.verdict == "contradicted" for claim in self.claims)


def best_rows(rows: Sequence[ReportRow], metric: Metric, most: int) -> list[ReportRow]:
    """The ``most`` best rows by a metric, in their own order."""
    values = {
        row.id: metric.gain(estimate.mean) if (estimate := row.cells[metric.key].measured) else float("-inf")
        for row in rows
    }
    kept = set(sorted(values, key=lambda row: -values[row])[:most])
    return [row for row in rows if row.id in kept]


def notice(report: TableReport) -> str:
    """Returns why the numbers are not comparable with the paper's, in sentences; empty if they are."""
    if not report.not_comparable:
        return ""
    published = any(cell.paper is not None for row in report.rows for cell in row.cells.values())
    compare = f"are not comparable with the paper's{', which are shown for reference' if published else ''}."
    if report.not_comparable == "synthetic data":
        return (
            "Synthetic data: these runs trained on rendered images. They show that the experiment runs from end to "
            f"end; their numbers {compare}"
        )
    return f"Not the paper's experiment ({report.not_comparable}): the numbers {compare}"


def shown_factors(report: TableReport) -> tuple[str, ...]:
    """The factors that have a column: all that a row turns on, unless our rows do not differ in any."""
    settings = {tuple(row.factors.get(factor, False) for factor in report.factors) for row in report.ours}
    return report.factors if len(settings) > 1 else ()


def differs_column(report: TableReport) -> bool:
    """Whether the table has columns of differences from the paper."""
    return any(cell.difference is not None for row in report.ours for cell in row.cells.values())


def paper_column(report: TableReport, metric: Metric) -> bool:
    """Whether the paper (or a cited method) has numbers in this metric."""
    return any(row.cells[metric.key].paper is not None for row in report.rows)
