"""Learning curves: which runs a report draws, and their histories cut into stages.

The tracker holds a run's stages one after another; its marker ``train/epoch`` starts again with each of them. Refuses
to ask the tracker: the caller passes histories.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.report.model import ReportRow, TableReport, best_rows
from harness.track.snapshot import History, RunRecord

EPOCH, LOSS, RATE = "train/epoch", "train/loss", "train/learning_rate"
HISTORIES = (EPOCH, LOSS, RATE)
"""The step-wise metrics that curves are drawn from."""
MOST_CURVES = 12
"""Rows that one chart of curves can show; of more, the best by the first metric."""

Curve = tuple[tuple[float, ...], tuple[float, ...]]
"""Epochs, and a value at each."""


@dataclass(frozen=True)
class StageCurves:
    """One stage of training: its curves by row; rows that share the stage share a name."""

    name: str
    loss: Mapping[str, Curve]
    rate: Mapping[str, Curve]


def runs_to_draw(report: TableReport) -> dict[str, RunRecord]:
    """The run whose curves are drawn for a row, by the row's name: that of its first finished seed."""
    rows = [row for row in report.ours if _finished(row)]
    return {row.name: _finished(row)[0] for row in best_rows(rows, report.metrics[0], MOST_CURVES)}


def _finished(row: ReportRow) -> list[RunRecord]:
    return [run for run in row.runs if run.status == "finished"]


def stage_curves(
    report: TableReport, declaration: Mapping[str, Any], histories: Mapping[str, Mapping[str, History]]
) -> list[StageCurves]:
    """The curves of every stage that the drawn runs trained, in the order of the rows.

    Args:
        report: The table's report.
        declaration: The matrix as JSON; its rows name their stages, in order.
        histories: By run id, each of ``HISTORIES``; runs without are left out.
    """
    stages = {str(row["id"]): row.get("stages", ()) for row in declaration["rows"]}
    order = dict.fromkeys(name for names in stages.values() for name in names)
    found: dict[str, dict[str, tuple[Curve, Curve]]] = {}
    for row, run in runs_to_draw(report).items():
        names: Sequence[str] = stages.get(run.row, ())
        for index, curves in enumerate(_cut(histories.get(run.run_id, {}))):
            name = names[index] if index < len(names) else f"stage {index + 1}"
            found.setdefault(name, {})[row] = curves
    ordered = [*(name for name in order if name in found), *(name for name in found if name not in order)]
    return [_joined(name, found[name]) for name in ordered]


def _cut(history: Mapping[str, History]) -> list[tuple[Curve, Curve]]:
    """Loss and learning rate of each stage: a stage ends where the epoch falls."""
    loss, rate = dict(history.get(LOSS, ())), dict(history.get(RATE, ()))
    stages: list[list[tuple[int, float]]] = []
    before = float("inf")
    for step, epoch in sorted(history.get(EPOCH, ())):
        if epoch <= before:
            stages.append([])
        stages[-1].append((step, epoch))
        before = epoch
    return [(_curve(steps, loss), _curve(steps, rate)) for steps in stages]


def _curve(steps: Sequence[tuple[int, float]], values: Mapping[int, float]) -> Curve:
    known = [(epoch, values[step]) for step, epoch in steps if step in values]
    return tuple(epoch for epoch, _ in known), tuple(value for _, value in known)


def _joined(name: str, by_row: Mapping[str, tuple[Curve, Curve]]) -> StageCurves:
    """A stage with equal curves drawn once: rows that share a training have the very same figures."""
    rows: dict[tuple[Curve, Curve], list[str]] = {}
    for row, curves in by_row.items():
        rows.setdefault(curves, []).append(row)
    named = {", ".join(names): curves for curves, names in rows.items()}
    return StageCurves(
        name,
        {names: loss for names, (loss, _) in named.items()},
        {names: rate for names, (_, rate) in named.items()},
    )
