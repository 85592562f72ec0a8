"""Results that the store holds, as a report reads them: for decisions that need no tracker."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

from harness.api.prepare import Prepared
from harness.api.tracking import final_metrics
from harness.plan import Run
from harness.units import UNITS

if TYPE_CHECKING:
    from harness.report.measurements import Measurements


def stored_measurements(prepared: Prepared, runs: Iterable[Run], metrics: Iterable[str]) -> "Measurements":
    """Returns the results of those runs whose evaluation is finished.

    Args:
        prepared: The table.
        runs: The runs to look for, finished or not.
        metrics: The metrics to read the units of.
    """
    from harness.report.measurements import Measurements
    from harness.track import RunRecord, Snapshot

    store, matrix = prepared.store, prepared.matrix
    records = []
    for run in runs:
        if store.is_complete(run.evaluation):
            folder, result = store.fetch(run.evaluation, (UNITS,)), final_metrics([store.result(run.evaluation)])
            records.append(RunRecord(run.evaluation, run.row, run.seed, "finished", "", result, {}, {}, folder, None))
    measured = {key: asdict(metric) for key, metric in matrix.measured.items()}
    return Measurements(Snapshot("", matrix.name, {"measured": measured}, {}, tuple(records)), metrics)
