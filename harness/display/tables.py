"""Prints a table's numbers on the terminal: the short form of its report."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.display.console import answers

if TYPE_CHECKING:
    from harness.matrix import Matrix
    from harness.report import TableReport
    from harness.report.model import Cell
    from harness.trainer import Metric


def show_table(report: "TableReport", rows: Collection[str]) -> None:
    """Prints rows, factors and measured metrics: mean ± standard deviation over seeds, in percent.

    Shows the paper's numbers beside them if they are comparable, and those of cited methods always.

    Args:
        report: The table's report.
        rows: Ids of the rows to show; cited methods are always shown.
    """
    from rich import box
    from rich.table import Table

    from harness.report.formatting import level_text, metric_text

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("row", no_wrap=True)
    for factor in report.factors:
        table.add_column(factor, justify="center")
    published = any(cell.paper is not None for row in report.rows for cell in row.cells.values())
    with_paper = published and (not report.not_comparable or any(row.cited for row in report.rows))
    for metric in report.metrics:
        table.add_column(metric.title, justify="right", no_wrap=True)
        if with_paper:
            table.add_column("paper", justify="right", style="dim", no_wrap=True)
    for row in report.rows:
        if not row.cited and row.id not in rows:
            continue
        ticks = [level_text(row, factor, "x") for factor in report.factors]
        numbers: list[str] = []
        for metric in report.metrics:
            cell = row.cells[metric.key]
            numbers.append(_measured(cell, metric, row.state))
            if with_paper:
                numbers.append("" if cell.paper is None else metric_text(cell.paper, metric))
        table.add_row(row.name, *ticks, *numbers)
    console = answers()
    console.print(f"{report.title} · {report.heading}")
    console.print(table)
    if report.not_comparable:
        console.print(f"These numbers are not comparable with the paper's: {report.not_comparable}.")


def show_settled(report: "TableReport") -> None:
    """Prints the verdict on every comparison of a settled table, with its number of seeds; else nothing."""
    if report.settlement is None:
        return
    from harness.report.claim_text import versus
    from harness.report.settled import why_open

    console = answers()
    for line in report.settlement.path.lines:
        one, title = line.comparison, report.metric_of(line.comparison.metric).title
        verdict = f"{versus(one.better, one.than)}, {title}: {line.verdict}, {line.seeds} seeds"
        reason = f" ({why_open(line)})" if line.verdict == "open" and line.why else ""
        console.print(f"{verdict}{reason}", soft_wrap=True)


def show_results(matrix: "Matrix", rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints the metrics of every run, if there is no report.

    Args:
        matrix: The table.
        rows: ``id``, ``seed``, ``metrics`` (fractions) or None, and then its ``status``.
    """
    from rich import box
    from rich.table import Table

    from harness.report.formatting import metric_text

    shown = [matrix.measured[key] for key in matrix.metrics]
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("row", no_wrap=True)
    table.add_column("seed", justify="right")
    for metric in shown:
        table.add_column(metric.title, justify="right", no_wrap=True)
    for row in rows:
        state = "" if row["metrics"] else row["status"]
        values = [(metric, (row["metrics"] or {}).get(metric.key)) for metric in shown]
        numbers = [state if value is None else metric_text(value, metric) for metric, value in values]
        table.add_row(row["id"], str(row["seed"]), *numbers)
    console = answers()
    console.print(f"{matrix.title} · no report: the tracker does not answer")
    console.print(table)


def _measured(cell: "Cell", metric: "Metric", state: str) -> str:
    from harness.report.formatting import metric_text, spread_text

    if cell.measured is None:
        return state
    return f"{metric_text(cell.measured.mean, metric)} {spread_text(cell.measured, metric)}".strip()
