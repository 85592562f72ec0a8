"""The only package that uses MLflow: it logs runs, metrics, provenance and artifacts, and reads snapshots for reports.

Importing it imports neither MLflow nor torch. Workers write spools (``SpoolWriter``); one ``Tracker`` in the parent
process delivers them; ``read_snapshot`` reads a table for its report. Refuses to interpret results.
"""

from harness.track.address import TrackerError, resolve_uri, without_password
from harness.track.courier import Delivery
from harness.track.foreign import Experiment, differing, read_experiment
from harness.track.moved import relocate
from harness.track.probe import reach
from harness.track.provenance import collect_provenance
from harness.track.reader import TableEntry, find_run, list_tables, read_histories, read_snapshot
from harness.track.snapshot import RunRecord, Snapshot
from harness.track.tables import add_result, remove_runs, rename_table, runs_of
from harness.track.tracker import Tracker, sync
from harness.track.ui import start_ui

__all__ = [
    "Delivery",
    "Experiment",
    "RunRecord",
    "Snapshot",
    "TableEntry",
    "Tracker",
    "TrackerError",
    "add_result",
    "collect_provenance",
    "differing",
    "find_run",
    "list_tables",
    "reach",
    "read_experiment",
    "read_histories",
    "read_snapshot",
    "relocate",
    "remove_runs",
    "rename_table",
    "resolve_uri",
    "runs_of",
    "start_ui",
    "sync",
    "without_password",
]
