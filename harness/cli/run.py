"""``harness run``: fills a table."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from harness.cli.console import notices, print_json
from harness.cli.engine import Engine
from harness.cli.options import (
    DEFAULT_REPORTS,
    DEFAULT_STORE,
    REPORT_FORMATS,
    AddressOption,
    CachedOption,
    DataOption,
    ExecutorOption,
    JsonOption,
    OutOption,
    ProfileOption,
    ReuseOption,
    RowsOption,
    SeedsOption,
    SetOption,
    StageCpusOption,
    StageGpusOption,
    StoreOption,
    TableArgument,
    WorkersOption,
    assignments,
    listed,
    seeds_of,
)

_PATIENCE_S = 10.0
"""How long an interrupted run waits for the tracker; the next one delivers what was left."""

if TYPE_CHECKING:
    from harness.cli.wiring import Prepared
    from harness.execute import Outcome
    from harness.report import TableReport

    Filled = tuple[dict[str, Outcome], str, TableReport | None, list[Path]]
    """Outcomes by fingerprint, what the tracker still lacks, the report and its files."""


def run(
    table: TableArgument,
    profile: ProfileOption = None,
    data: DataOption = None,
    rows: RowsOption = None,
    seeds: SeedsOption = None,
    set_: SetOption = None,
    workers: WorkersOption = None,
    executor: ExecutorOption = "local",
    address: AddressOption = None,
    stage_cpus: StageCpusOption = None,
    stage_gpus: StageGpusOption = None,
    store: StoreOption = DEFAULT_STORE,
    out: OutOption = DEFAULT_REPORTS,
    reuse: ReuseOption = "code",
    cache: CachedOption = True,
    json: JsonOption = False,
) -> None:
    """Train what a table still lacks, track every run, write the report.

    Run again, it goes on where it stopped, and trains nothing that is done. Exit code 1 if a row has no result.
    There is no report while the tracker does not answer.
    """
    from harness.cli.show import show_results, show_table
    from harness.cli.wiring import prepare

    engine = Engine(executor, workers, address, stage_cpus, stage_gpus)
    prepared = prepare(
        table,
        profile=profile,
        data=data,
        rows=listed(rows, "--rows"),
        seeds=seeds_of(seeds),
        overrides=assignments(set_),
        store=store,
        trust_version=reuse == "version",
    )
    outcomes, delivery, report, written = _fill(prepared, engine, out, {**prepared.context, "decoded_once": cache})
    trained = sum(outcome.status == "succeeded" for outcome in outcomes.values())
    failed = [run for run in prepared.plan.runs if outcomes[run.evaluation].status in {"failed", "not_run"}]
    console = notices()
    if not trained and not failed:
        console.print("nothing to train: every stage was finished before")
    for note in _notes(outcomes):
        console.print(f"note: {note}", markup=False)
    if delivery:
        console.print(delivery)
    answer = _answer(prepared, outcomes, written)
    if json:
        print_json(answer)
    elif report is None:
        show_results(prepared.matrix.title, prepared.matrix.metrics, answer["rows"])
    else:
        show_table(report, {run.row for run in prepared.plan.runs})
        console.print(f"the report: {written[0]}; the runs side by side: python -m harness ui", markup=False)
    if failed:
        raise typer.Exit(1)


def _fill(prepared: "Prepared", engine: Engine, out: Path, context: Mapping[str, Any]) -> "Filled":
    """Runs the plan's stages, tracked and shown, and writes the report if the tracker has all that it needs."""
    from harness.cli.progress import monitoring
    from harness.cli.tracking import TableTracking, table_metrics
    from harness.cli.written import write_table
    from harness.execute import Event
    from harness.report import build_report
    from harness.track import Tracker, read_snapshot
    from harness.train.stage import WORK

    plan, matrix = prepared.plan, prepared.matrix
    prepared.store.remember(f"{matrix.name} ({matrix.profile}, {matrix.dataset})", prepared.needed)
    tracker = Tracker(None, prepared.store.root / "outbox")
    tracking = TableTracking(tracker, prepared)
    tracking.open()
    try:
        with engine.start(prepared.store) as executor, monitoring(plan, matrix.name) as monitor:

            def on_event(event: Event) -> None:
                monitor.on_event(event)
                tracking.on_event(event)

            outcomes = executor.execute(plan.to_execute, WORK, context, on_event)
    except BaseException as error:
        tracking.interrupt()
        hurried = isinstance(error.__context__, KeyboardInterrupt)  # a second Ctrl-C, while the first was seen to
        tracker.close(0.0 if hurried else _PATIENCE_S)
        raise
    succeeded = all(outcome.status in {"succeeded", "cached"} for outcome in outcomes.values())
    waiting = tracker.flush()
    report, written = None, []
    if waiting.undelivered:
        tracker.finish_table(tracking.key, succeeded=succeeded)
        delivery = tracker.close(0.0)
    else:
        downloads = prepared.store.root / "downloads"
        snapshot = read_snapshot(tracker.uri, matrix.name, key=tracking.key, downloads=downloads)
        report = build_report(snapshot)
        written = write_table(tracker.uri, snapshot, report, out, REPORT_FORMATS)
        text = written[0].read_text(encoding="utf-8")
        figures, means = written[1:], table_metrics(report)
        tracker.finish_table(
            tracking.key, succeeded=succeeded, report=text, row_metrics=means, files=figures, within=out
        )
        delivery = tracker.close()
    return outcomes, str(delivery) if delivery.undelivered else "", report, written


def _notes(outcomes: dict[str, "Outcome"]) -> list[str]:
    """What stages told of their data, each once."""
    notes = [note for outcome in outcomes.values() if outcome.result for note in outcome.result.get("notes", ())]
    return list(dict.fromkeys(notes))


def _answer(prepared: "Prepared", outcomes: dict[str, "Outcome"], written: list[Path]) -> dict[str, Any]:
    """The run as JSON: rows with metrics (fractions) or reasons, counts of stages, the report's files."""
    counted = [outcome.status for outcome in outcomes.values()]
    rows = []
    for run in prepared.plan.runs:
        outcome = outcomes[run.evaluation]
        rows.append(
            {
                "id": run.row,
                "seed": run.seed,
                "status": outcome.status,
                "metrics": dict(outcome.result["metrics"]) if outcome.result else None,
                "reason": outcome.reason,
            }
        )
    return {
        "table": prepared.matrix.name,
        "profile": prepared.matrix.profile,
        "dataset": prepared.matrix.dataset,
        "synthetic": prepared.synthetic,
        "rows": rows,
        "refused": [{"id": row.id, "constraint": row.constraint} for row in prepared.plan.refused],
        "stages": {
            "trained": counted.count("succeeded"),
            "cached": len(prepared.plan.stages)
            - counted.count("succeeded")
            - counted.count("failed")
            - counted.count("not_run"),
            "failed": counted.count("failed"),
            "not_run": counted.count("not_run"),
        },
        "reports": [str(path) for path in written],
    }
