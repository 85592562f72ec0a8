"""Runs a table: executes its plan, logs to the tracker, writes the report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.api import REPORT_FORMATS
from harness.api.engine import Engine
from harness.api.labels import label_of
from harness.api.listener import Listener
from harness.api.outputs import choose_folder
from harness.api.prepare import Prepared
from harness.api.settle import Settling, note_seeds_by_hand, recorded
from harness.api.tracking import OUTBOX, TableTracking, table_metrics
from harness.api.written import write_table
from harness.errors import InputError
from harness.files import regular_file

if TYPE_CHECKING:
    from harness.execute import Event, Executor, Outcome
    from harness.report import TableReport
    from harness.track import Tracker

_PATIENCE_S = 10.0
"""How long a run that failed waits for the tracker; the next one delivers what was left."""


@dataclass(frozen=True)
class TableRun:
    """How a run of a table ended."""

    prepared: Prepared
    outcomes: "Mapping[str, Outcome]"
    """By fingerprint of the stage."""
    undelivered: str
    """A sentence on results that the tracker still lacks; empty if none."""
    report: "TableReport | None"
    """None while the tracker does not answer."""
    written: Sequence[Path]
    """The report's files, the text first."""

    @property
    def trained(self) -> int:
        """Stages that were carried out."""
        return sum(outcome.status == "succeeded" for outcome in self.outcomes.values())

    @property
    def failed(self) -> list[str]:
        """Rows that have no result under some seed."""
        runs = self.prepared.plan.runs
        return [run.row for run in runs if self.outcomes[run.evaluation].status in {"failed", "not_run"}]

    @property
    def notes(self) -> list[str]:
        """Notes of stages on their data, each once."""
        results = (outcome.result for outcome in self.outcomes.values() if outcome.result)
        return list(dict.fromkeys(note for result in results for note in result.get("notes", ())))

    def __repr__(self) -> str:
        cached = len(self.prepared.plan.stages) - len(self.outcomes)
        parts = [f"{self.trained} stages trained", f"{cached} cached"]
        parts += [f"no result for {', '.join(dict.fromkeys(self.failed))}"] if self.failed else []
        parts += [self.undelivered] if self.undelivered else [f"report {path}" for path in self.written[:1]]
        return f"TableRun({self.prepared.matrix.name}: {'; '.join(parts)})"

    def to_json(self) -> dict[str, Any]:
        """The run as plain data: rows with metrics (fractions) or reasons, counts of stages, the report's files."""
        prepared, counted = self.prepared, [outcome.status for outcome in self.outcomes.values()]
        rows = []
        for run in prepared.plan.runs:
            outcome = self.outcomes[run.evaluation]
            rows.append(
                {
                    "id": run.row,
                    "seed": run.seed,
                    "status": outcome.status,
                    "metrics": dict(outcome.result["metrics"]) if outcome.result else None,
                    "reason": outcome.reason,
                }
            )
        ended = {status: counted.count(status) for status in ("succeeded", "failed", "not_run")}
        return {
            "table": prepared.matrix.name,
            "profile": prepared.matrix.profile,
            "dataset": prepared.matrix.dataset,
            "synthetic": bool(prepared.inputs.made),
            "rows": rows,
            "refused": [{"id": row.id, "constraint": row.constraint} for row in prepared.plan.refused],
            "stages": {
                "trained": ended["succeeded"],
                "cached": len(prepared.plan.stages) - sum(ended.values()),
                "failed": ended["failed"],
                "not_run": ended["not_run"],
            },
            "reports": [str(path) for path in self.written],
        }


def report_formats(formats: Sequence[str]) -> tuple[str, ...]:
    """Returns the formats of a report. Call it before anything is prepared, which may take minutes.

    Raises:
        InputError: For an unknown format.
    """
    if tuple(formats) != REPORT_FORMATS:  # the usual ones need no import
        from harness.report import check_formats

        check_formats(formats)
    return tuple(formats)


def run_table(
    prepared: Prepared,
    engine: Engine,
    out: Path | None,
    listener: Listener | None = None,
    more_context: Mapping[str, Any] | None = None,
    on_event: "Callable[[Event], None] | None" = None,
    settling: Settling | None = None,
    formats: Sequence[str] = REPORT_FORMATS,
) -> TableRun:
    """Runs a table's plan, tracked, and writes the report if the tracker has all that it needs.

    Args:
        prepared: The table.
        engine: What runs the stages.
        out: Folder of the reports; None: see ``harness.api.outputs``.
        listener: Receives notes and progress.
        more_context: Added to every stage's context; none of it can change a result.
        on_event: Called with every event of the executor.
        settling: Says which runs to add once those of ``prepared`` have ended, until the table is settled.
        formats: What is written of the report beside its Markdown.

    Raises:
        InputError: If the plan assumes a data set that was not found, or for an unknown format.
        KeyboardInterrupt: On Ctrl-C, once workers have ended and the tracker knows; the same call resumes it later.
    """
    from harness.track import Tracker

    listener = listener or Listener()
    formats = report_formats(formats)
    if prepared.plan.assumed:
        raise InputError(
            f"{prepared.matrix.dataset}: its files are not here, and a plan on its release's counts cannot be run"
        )
    prepared = recorded(prepared)
    if settling is None:
        note_seeds_by_hand(prepared, listener)
    tracker = Tracker(None, prepared.store.root / OUTBOX)
    tracking = _opened(prepared, tracker)
    context = {**prepared.context, **(more_context or {})}
    outcomes: dict[str, Outcome] = {}
    try:
        with engine.start(prepared.store, listener) as executor:
            following: Prepared | None = prepared
            while following is not None:
                outcomes |= _execute(following, executor, context, listener, tracking, on_event)
                following = settling.following(following) if settling else None
                if settling:
                    prepared = settling.whole()
                    tracking = _opened(following or prepared, tracker)
    except BaseException as error:
        tracking.interrupt()
        hurried = isinstance(error.__context__, KeyboardInterrupt)  # a second Ctrl-C, while the first was seen to
        tracker.close(0.0 if hurried else min(_PATIENCE_S, listener.seconds_left()))
        raise
    with listener.busy("bringing the tracker up to date and writing the report"):
        tracking.keep_finished()
        return _conclude(prepared, tracker, tracking, outcomes, out, listener, formats)


def _opened(prepared: Prepared, tracker: "Tracker") -> TableTracking:
    """Registers the table with the tracker and its stages with the store."""
    from harness.execute.origins import keep_origins, origins_of

    store, matrix = prepared.store, prepared.matrix
    label = label_of(matrix.name, matrix.profile, matrix.dataset)
    before = store.tables().get(label, frozenset()) if prepared.settling is not None else frozenset()
    store.remember(label, prepared.needed | before)
    keep_origins(store, origins_of({**prepared.whole_plan.stages, **prepared.plan.stages}, prepared.inputs))
    tracking = TableTracking(tracker, prepared)
    tracking.open()
    return tracking


def _execute(
    prepared: Prepared,
    executor: "Executor",
    context: Mapping[str, Any],
    listener: Listener,
    tracking: TableTracking,
    on_event: "Callable[[Event], None] | None",
) -> "dict[str, Outcome]":
    """Carries out one plan, watched and tracked."""
    plan, matrix = prepared.plan, prepared.matrix
    with listener.watch(plan, matrix.name) as watcher:

        def follow(event: "Event") -> None:
            watcher(event)
            tracking.on_event(event)
            if on_event is not None:
                on_event(event)

        return executor.execute(plan.to_execute, matrix.trainer.work, context, follow)


def _conclude(
    prepared: Prepared,
    tracker: "Tracker",
    tracking: TableTracking,
    outcomes: "Mapping[str, Outcome]",
    out: Path | None,
    listener: Listener,
    formats: Sequence[str],
) -> TableRun:
    """Brings the tracker up to date, and writes the report if it has all that it needs."""
    from harness.report import build_report
    from harness.track import TrackerError, read_snapshot

    succeeded = all(outcome.status in {"succeeded", "cached"} for outcome in outcomes.values())
    waiting = tracker.flush()
    if waiting.undelivered:
        tracker.finish_table(tracking.key, succeeded=succeeded)
        return TableRun(prepared, outcomes, str(tracker.close(0.0)), None, [])
    downloads = prepared.store.root / "downloads"
    try:
        snapshot = read_snapshot(tracker.uri, prepared.matrix.name, key=tracking.key, downloads=downloads)
        report = build_report(snapshot)
        out, message = choose_folder(out, prepared.matrix.name, prepared.store.root, snapshot)
        written = write_table(tracker.uri, snapshot, report, out, ("md", *formats))
    except TrackerError as error:  # it was there a moment ago
        tracker.finish_table(tracking.key, succeeded=succeeded)
        tracker.close(0.0)
        return TableRun(prepared, outcomes, str(error), None, [])
    if message:
        listener.note(message)
    text, means = regular_file(written[0]).read_text(encoding="utf-8"), table_metrics(report)
    tracker.finish_table(
        tracking.key, succeeded=succeeded, report=text, row_metrics=means, files=written[1:], within=out
    )
    delivery = tracker.close()
    return TableRun(prepared, outcomes, str(delivery) if delivery.undelivered else "", report, written)
