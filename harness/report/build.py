"""Builds a table's report from its runs: every row, claim, effect and note.

A function of the snapshot alone: it reads no clock and no environment, so the same runs always give the same report.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.files import regular_file
from harness.plan.budgets import declared_budgets
from harness.plan.columns import TOGGLE, Level
from harness.report.cautions import cautions_of
from harness.report.claims import judge_claims
from harness.report.controls import controlled_claims
from harness.report.costs import COSTS, Cost
from harness.report.insight import Insight, gain_insight
from harness.report.measurements import Measurements
from harness.report.metrics import metric_of
from harness.report.model import Cell, ReportRow, TableReport
from harness.report.provenance import comparability, is_synthetic, provenance_facts, provenance_of
from harness.report.recorded import survival_of
from harness.report.settled import (
    Settlement,
    counted_runs,
    measurements_of,
    notes_of,
    settled_claims,
    settlement_of,
)
from harness.report.sources import sources_of
from harness.track.snapshot import RunRecord, Snapshot
from harness.trainer import Metric

UNKNOWN = "their code and data are unknown"
"""The heading's note on runs that the harness did not make."""


def build_report(snapshot: Snapshot) -> TableReport:
    """Everything that a table's report says.

    Raises:
        InputError: Finished runs differ in code, data or profile.
    """
    declared = snapshot.declaration
    keys: list[str] = list(declared["metrics"])
    needed = list(dict.fromkeys([*keys, *(claim["metric"] for claim in declared.get("claims", ()))]))
    settlement = settlement_of(snapshot)
    snapshot = counted_runs(snapshot, settlement)
    measurements = measurements_of(snapshot, needed, settlement)
    not_comparable = comparability(snapshot)
    measured = declared.get("measured", {})
    metrics = tuple(metric_of(measured, key) for key in keys)
    recorded = {name for run in snapshot.runs if run.status == "finished" for name in run.metrics}
    more = tuple(metric_of(measured, key) for key in measured if key in recorded and key not in keys)
    rows = [_row(row, snapshot, measurements, metrics, more, not_comparable) for row in declared["rows"]]
    cited = [_cited(entry, metrics) for entry in declared.get("cited", ())]
    ranked = bool(cited) and not not_comparable
    arranged = _ranked([*cited, *rows], metrics[0]) if ranked else [*cited, *rows]
    for metric in metrics:
        if not measurements.other_units([row.id for row in rows], metric.key):  # no row is the best of two test sets
            arranged = _marked(arranged, metric, among_cited=ranked)
    insight = gain_insight(declared, measurements, keys)
    return TableReport(
        name=snapshot.table,
        title=declared["title"],
        heading=_heading(snapshot, settlement),
        not_comparable=not_comparable,
        metrics=metrics,
        measured=measured,
        more_metrics=more,
        factors=_varied_factors(declared["rows"], declared.get("levels", {})),
        rows=tuple(arranged),
        ranked=ranked,
        costs=_suited_costs(rows),
        claims=settled_claims(
            judge_claims(
                declared.get("claims", ()),
                measurements,
                not_comparable,
                declared_budgets(declared["rows"]),
                {entry["method"]: entry["values"] for entry in declared.get("cited", ())},
            ),
            settlement,
        ),
        controls=controlled_claims(declared, measurements),
        settlement=settlement,
        insight=insight,
        sources=sources_of(measurements, keys, [row.id for row in rows], _compared(declared, insight, keys)),
        refused=tuple(declared.get("refused", ())),
        assumptions=tuple(declared.get("assumptions", ())),
        overrides=dict(declared.get("overrides", {})),
        notes=(*notes_of(settlement), *_notes(snapshot, measurements, rows)),
        cautions=cautions_of(rows, metrics),
        method=_method(rows, measurements.unit),
        provenance=provenance_facts(snapshot),
        parent_id=snapshot.parent_id,
        parent_url=snapshot.parent_url,
    )


def _compared(
    declared: Mapping[str, Any], insight: Insight, metrics: Sequence[str]
) -> dict[str, list[tuple[str, str]]]:
    """The pairs of rows that the table compares, by metric: those of its claims, and the matched ones."""
    rows = {row["id"] for row in declared["rows"]}
    claimed = [(str(one["better"]), str(one["than"]), one["metric"]) for one in declared.get("claims", ())]
    matched = [(line.pair.on, line.pair.off) for line in insight.pairs]
    return {
        metric: [
            *((better, than) for better, than, of in claimed if of == metric and {better, than} <= rows),
            *matched,
        ]
        for metric in metrics
    }


def _varied_factors(rows: Sequence[Mapping[str, Any]], levels: Mapping[str, Sequence[Level]]) -> tuple[str, ...]:
    """The factors that a row has not at their default; a recipe may know more, whose columns would be empty."""
    defaults: dict[str, Level] = {
        factor: levels.get(factor, TOGGLE)[0] for factor in (rows[0]["factors"] if rows else ())
    }
    return tuple(
        factor for factor, default in defaults.items() if any(row["factors"][factor] != default for row in rows)
    )


def _suited_costs(rows: Sequence[ReportRow]) -> tuple[Cost, ...]:
    """The costs that a row has, each in a unit that suits the largest."""
    known = {cost: [row.costs[cost.key] for row in rows if row.costs and cost.key in row.costs] for cost in COSTS}
    return tuple(cost.suited(max(values)) for cost, values in known.items() if values)


def _heading(snapshot: Snapshot, settlement: Settlement | None) -> str:
    declared = snapshot.declaration
    if declared.get("origin"):
        return f"runs from {declared['origin']}; {UNKNOWN}"
    data = declared["dataset"]
    if is_synthetic(snapshot):
        data += f" ({snapshot.provenance.get('made') or 'synthetic'})"
    text = f"profile {declared['profile']}" + (f" on {data}" if data else "")
    return " · ".join(filter(None, (text, settlement.heading if settlement else "", survival_of(snapshot))))


def _row(
    declared: Mapping[str, Any],
    snapshot: Snapshot,
    measurements: Measurements,
    metrics: Sequence[Metric],
    more: Sequence[Metric],
    not_comparable: str,
) -> ReportRow:
    row_id = declared["id"]
    runs = tuple(sorted((run for run in snapshot.runs if run.row == row_id), key=lambda run: (run.seed, run.run_id)))
    finished = measurements.runs(row_id)
    cells = {}
    for metric in metrics:
        measured = measurements.row(row_id, metric.key)
        paper = declared.get("paper", {}).get(metric.key)
        published = None if paper is None else paper / metric.scale
        difference = measured.mean - published if measured and published is not None and not not_comparable else None
        cells[metric.key] = Cell(
            published,
            measured,
            measurements.values(row_id, metric.key),
            difference,
            measurements.basis([row_id], metric.key),
        )
    costs = {}
    for cost in COSTS:
        values = [run.metrics[cost.key] for run in finished.values() if cost.key in run.metrics]
        if values:
            costs[cost.key] = sum(values) / len(values)
    planned = sorted({*snapshot.declaration.get("seeds", ()), *(run.seed for run in runs)})
    problems, state = _problems(planned, finished, runs)
    others = {metric.key: measurements.row(row_id, metric.key) for metric in more}
    return ReportRow(
        id=row_id,
        label=declared.get("label", ""),
        note=declared.get("note", ""),
        factors=declared["factors"],
        cells=cells,
        cited=False,
        costs=costs,
        more={key: value for key, value in others.items() if value is not None},
        runs=runs,
        seeds_done=len(finished),
        seeds_planned=len(planned),
        problems=problems,
        state=state,
    )


def _problems(
    planned: Iterable[int], finished: Mapping[int, RunRecord], runs: Sequence[RunRecord]
) -> tuple[tuple[str, ...], str]:
    """Returns what a row lacks, seeds of one reason together, and a word for a row that lacks everything."""
    seeds_of: dict[str, list[int]] = defaultdict(list)
    state = ""
    for seed in planned:
        if seed in finished:
            continue
        last = next((run for run in reversed(runs) if run.seed == seed), None)
        status = last.status if last else "not run"
        reason = " ".join(last.reason.split()) if last else ""
        seeds_of[f"{status}: {reason}" if reason else status].append(seed)
        state = state or status
    problems = tuple(
        f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))} {text}" for text, seeds in seeds_of.items()
    )
    return problems, "" if finished else state or "not run"


def _cited(entry: Mapping[str, Any], metrics: Sequence[Metric]) -> ReportRow:
    values = entry["values"]
    cells = {
        metric.key: Cell(values[metric.key] / metric.scale if metric.key in values else None, None, {}, None)
        for metric in metrics
    }
    return ReportRow(entry["method"], "", entry.get("note", ""), {}, cells, cited=True)


def _ranking_value(row: ReportRow, metric: Metric) -> float | None:
    """The number a row is ranked by, as it is printed: its own measured mean, or a cited method's published number."""
    cell = row.cells[metric.key]
    value = cell.paper if row.cited else cell.measured.mean if cell.measured else None
    return None if value is None else round(metric.gain(metric.scale * value), metric.decimals)


def _ranked(rows: Sequence[ReportRow], metric: Metric) -> list[ReportRow]:
    """The rows from worst to best, as papers list them, with their ranks; rows without a number come last."""
    values = {row.id: value for row in rows if (value := _ranking_value(row, metric)) is not None}
    ranks = {row: 1 + sum(other > value for other in values.values()) for row, value in values.items()}
    ordered = sorted(rows, key=lambda row: (row.id not in values, values.get(row.id, 0.0)))
    return [replace(row, rank=ranks.get(row.id)) for row in ordered]


def _marked(rows: Sequence[ReportRow], metric: Metric, *, among_cited: bool) -> list[ReportRow]:
    """The rows with the best and the second best of a metric marked; equal numbers share a mark."""
    values = {
        row.id: value
        for row in rows
        if (among_cited or not row.cited) and (value := _ranking_value(row, metric)) is not None
    }
    levels = sorted(set(values.values()), reverse=True)[:2] if len(values) > 2 else []
    return [
        replace(row, cells={**row.cells, metric.key: replace(row.cells[metric.key], place=levels.index(value) + 1)})
        if (value := values.get(row.id)) in levels and value is not None
        else row
        for row in rows
    ]


def _notes(snapshot: Snapshot, measurements: Measurements, rows: Sequence[ReportRow]) -> list[str]:
    """Returns the table's notes, the most general first."""
    notes = list(snapshot.declaration.get("notes", ()))
    if any(row.seeds_done == 1 for row in rows):
        notes.append("Rows of one seed: the seed's variance is unknown, so they have no ± and no interval.")
    if snapshot.provenance.get("dirty") == "true":
        notes.append("The code differed from the commit when these runs were made.")
    if (reuse := snapshot.provenance.get("reuse", "code")) != "code":
        notes.append(f"Finished stages were trusted by the code's hand-kept {reuse}, not by the code itself.")
    finished = [run for row in rows for run in measurements.runs(row.id).values()]
    commits = {commit for run in finished if (commit := provenance_of(run, "commit"))}
    if len(commits) > 1:
        notes.append(f"Runs were made at several commits of the same code: {', '.join(sorted(commits))}.")
    counts = Counter(line for run in finished for line in _run_notes(run))
    notes += [f"{line} ({count} of {len(finished)} runs)" for line, count in counts.items()]
    return notes + measurements.notes


def _run_notes(run: RunRecord) -> list[str]:
    """Returns the notes of a run's stages, one a line."""
    path = run.artifacts / "notes.txt" if run.artifacts else None
    if path is None or not path.is_file():
        return []
    return [line for line in dict.fromkeys(regular_file(path).read_text("utf-8", "replace").splitlines()) if line]


def _method(rows: Sequence[ReportRow], unit: str) -> tuple[str, ...]:
    """Returns how the numbers were measured, in sentences."""
    estimates = [cell.measured for row in rows for cell in row.cells.values() if cell.measured]
    chances = [estimate.chance for estimate in estimates if estimate.chance]
    units = sorted({chance.units for chance in chances if chance.units})
    sentences = ["Ours is the mean over seeds ± the standard deviation between them."] if chances else []
    if units:
        counted = " or ".join(f"{count:,}" for count in units)
        sentences.append(
            "[ , ] is the 95 % interval of the result to expect from training again with other seeds and testing on "
            f"other {unit}: both vary by chance (here {counted} {unit})."
        )
    if any(not chance.units for chance in chances):
        sentences.append(
            f"{'Where a row kept no results by unit, ' if units else ''}[ , ] is the 95 % interval over seeds alone, "
            "for exactly this test set."
        )
    return tuple(sentences)
