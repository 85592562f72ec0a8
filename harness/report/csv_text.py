"""A report as CSV, one line for each row and metric. Metrics are fractions."""

import csv
import io
from collections.abc import Collection, Sequence
from typing import Any

from harness.report.formatting import level_text
from harness.report.model import ReportRow, TableReport
from harness.report.statistics import Estimate


def to_csv(report: TableReport) -> str:
    """One line for each row and metric; the columns after ``cited`` are the factors'. Empty: not known."""
    before = ("table", "profile", "row", "label", "cited")
    after = (
        *("metric", "paper", "mean", "sd", "low", "high", "low_this_test_set", "high_this_test_set", "difference"),
        *("place", "rank", "seeds", "seeds_planned", "problems", *(cost.key for cost in report.costs), "run_ids"),
    )
    factors = _columns_of(report.factors, {*before, *after})
    text = io.StringIO()
    writer = csv.DictWriter(text, (*before, *factors.values(), *after), restval="", lineterminator="\n")
    writer.writeheader()
    for row in report.rows:
        for key, cell in row.cells.items():
            writer.writerow(
                {
                    "table": report.name,
                    "profile": report.provenance.get("profile", ""),
                    "row": row.id,
                    "label": row.label,
                    "cited": int(row.cited),
                    **{column: level_text(row, factor, "1", "0") for factor, column in factors.items()},
                    "metric": key,
                    "paper": _plain(cell.paper),
                    **_csv_estimate(cell.measured),
                    "difference": _plain(cell.difference),
                    "place": _plain(cell.place),
                    "rank": _plain(row.rank),
                    **({} if row.cited else _csv_runs(row)),
                }
            )
    return text.getvalue()


def _columns_of(factors: Sequence[str], others: Collection[str]) -> dict[str, str]:
    """The column of each factor: its name, marked where the table has such a column, or another such factor, already.

    >>> _columns_of(["SAC", "mean", "mean (factor)"], {"mean"})
    {'SAC': 'SAC', 'mean': 'mean (factor) (factor)', 'mean (factor)': 'mean (factor)'}
    """
    columns = {}
    for factor in factors:
        column = factor
        while column in others or (column != factor and column in factors):
            column += " (factor)"
        columns[factor] = column
    return columns


def _csv_estimate(estimate: Estimate | None) -> dict[str, Any]:
    if estimate is None:
        return {}
    low, high = estimate.interval or ("", "")
    low_here, high_here = estimate.interval_this_test_set or ("", "")
    return {
        "mean": estimate.mean,
        "sd": _plain(estimate.sd),
        "low": low,
        "high": high,
        "low_this_test_set": low_here,
        "high_this_test_set": high_here,
    }


def _csv_runs(row: ReportRow) -> dict[str, Any]:
    return {
        "seeds": row.seeds_done,
        "seeds_planned": row.seeds_planned,
        "problems": "; ".join(row.problems),
        **(row.costs or {}),
        "run_ids": " ".join(run.run_id for run in row.runs if run.status == "finished"),
    }


def _plain(value: float | None) -> float | str:
    return "" if value is None else value
