"""``report`` over runs that the harness did not make: a CSV file, an MLflow experiment, a data frame."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.api.listener import Listener
from harness.api.outputs import choose_folder
from harness.api.written import write_table
from harness.errors import InputError
from harness.files import regular_file
from harness.formatting import counted, first_line

if TYPE_CHECKING:
    import pandas as pd

    from harness.matrix import Claim
    from harness.report import Source, TableReport
    from harness.track import Experiment, Snapshot

    Claims = str | Path | Sequence[Claim | Mapping[str, Any]] | None

SEPARATORS = {".csv": ",", ".tsv": "\t"}
"""The endings of files that are read, and what separates their cells."""
_MOST_NAMED = 6


@dataclass(frozen=True)
class Columns:
    """Which columns of the runs mean what."""

    factors: Sequence[str]
    seed: str
    metrics: Sequence[str] | Mapping[str, Mapping[str, Any]]
    """``val_acc``, ``val_loss:lower``, ``accuracy:percent``; or by column what a recipe says of a metric."""
    units: Sequence[str] = ()
    """The column of the units that a metric is a mean of, if a run has a line for each, and that of their groups."""


def snapshot_of_file(path: Path, columns: Columns, claims: "Claims" = None) -> "Snapshot":
    """Reads the runs of a CSV file, a line for each, or for each run and unit.

    Raises:
        InputError: For a file that cannot be read, a missing column, or a cell that cannot be read.
    """
    import csv

    import pandas as pd

    from harness.report import Source

    try:
        with regular_file(path).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=SEPARATORS[path.suffix.lower()])
            head = next(reader, [])
            numbered = [(reader.line_num, cells) for cells in reader if any(cells)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or first_line(error)}") from None
    if len(set(head)) < len(head):
        twice = next(name for name in head if head.count(name) > 1)
        raise InputError(f'{path}:1: two columns are called "{twice}"')
    for line, cells in numbered:
        if len(cells) != len(head):
            raise InputError(f"{path}:{line}: found {counted(len(cells), 'cell')}, expected the header's {len(head)}")
    if not numbered:
        raise InputError(f"{path}: found no runs, expected a header and a line for each")
    frame = pd.DataFrame([cells for _, cells in numbered], index=[line for line, _ in numbered], columns=head)
    return snapshot_of_frame(frame, columns, claims, path.stem, Source(path.name, lambda line: f"{path}:{line}"))


def snapshot_of_experiment(name: str, columns: Columns, claims: "Claims" = None) -> "Snapshot":
    """Reads the runs of an MLflow experiment; those that lack a factor or the seed (parents, other work) are left out.

    Raises:
        InputError: If the tracker cannot be queried, there is no such experiment, or nothing in it has the columns.
    """
    import pandas as pd

    from harness.report import Source, find_columns
    from harness.track import read_experiment

    experiment = read_experiment(name)
    ids = [record.run_id for record in experiment.records]
    frame = pd.DataFrame(list(experiment.lines), index=ids)
    origin = f"the MLflow experiment {experiment.name}"
    named = find_columns(frame, origin, columns.factors, columns.seed, _keys(columns), columns.units)
    needed = [*named.factors.values(), named.seed]
    whole = frame.dropna(subset=needed)
    if whole.empty:
        raise InputError(f"{origin}: no run has all of {', '.join(needed)}")
    left_out = len(frame) - len(whole)
    notes = [f"Left out: {counted(left_out, 'run')} without {' or '.join(needed)}."] if left_out else []
    source = Source(
        origin,
        lambda run: f"run {run}",
        reruns=True,
        provenance=_facts(experiment),
        notes=(*notes, *_remarks(experiment, [*needed, *named.metrics.values()])),
        records={record.run_id: record for record in experiment.records},
    )
    return snapshot_of_frame(whole, columns, claims, experiment.name, source)


def snapshot_of_frame(
    frame: "pd.DataFrame", columns: Columns, claims: "Claims", name: str, source: "Source | None" = None
) -> "Snapshot":
    """Reads the runs of a data frame.

    Args:
        frame: A line for each run, or for each run and unit.
        columns: Which of its columns mean what.
        claims: Claims about the rows.
        name: The table's name.
        source: Where the frame comes from; None: from Python.

    Raises:
        InputError: For a missing column, or a cell that cannot be read.
    """
    from harness.matrix import read_beside
    from harness.report import Source, decimals_for, existing_snapshot, find_columns

    source = source or Source("a data frame", lambda label: f"line {label} of the frame")
    beside = read_beside(claims)
    if frame.empty:
        raise InputError(f"{source.origin}: found no runs, expected a line for each")
    if not frame.index.is_unique:
        frame = frame.reset_index(drop=True)
    named = find_columns(frame, source.origin, columns.factors, columns.seed, _keys(columns), columns.units)
    modes = dict(zip(named.metrics, _modes(columns).values(), strict=True))
    metrics = beside.metrics(modes, lambda key: decimals_for(frame, named.metrics[key]))
    snapshot = existing_snapshot(frame, named, metrics, name, beside.title or name, source)
    rows = [row["id"] for row in snapshot.declaration["rows"]]
    declared = [vars(claim) for claim in beside.claims(rows, metrics)]
    return replace(snapshot, declaration={**snapshot.declaration, "claims": declared})


def write_existing(
    snapshot: "Snapshot", out: Path | None, formats: Sequence[str], store: str, listener: Listener | None = None
) -> "tuple[TableReport, list[Path]]":
    """Writes the report of runs that the harness did not make; the report and its files.

    Raises:
        InputError: For an unknown format.
    """
    from harness.execute import local_root
    from harness.report import build_report, check_formats

    check_formats(formats)
    report = build_report(snapshot)
    folder, message = choose_folder(out, snapshot.table, local_root(store), snapshot)
    written = write_table(None, snapshot, report, folder, formats)
    if message and listener is not None:
        listener.note(message)
    return report, written


def _modes(columns: Columns) -> dict[str, Mapping[str, Any]]:
    """Returns how each metric is declared, by its column as it was named."""
    from harness.matrix import read_modes

    if isinstance(columns.metrics, Mapping):
        return dict(columns.metrics)
    return dict(read_modes(columns.metrics))


def _keys(columns: Columns) -> list[str]:
    keys = list(_modes(columns))
    if not keys:
        raise InputError("expected at least one metric")
    return keys


def _facts(experiment: "Experiment") -> dict[str, str]:
    facts = {"tracker": experiment.address}
    if len(experiment.commits) == 1:
        facts["commit"] = experiment.commits[0]
    if len(experiment.datasets) == 1:
        facts["dataset"] = experiment.datasets[0]
    return facts


def _remarks(experiment: "Experiment", known: Sequence[str]) -> list[str]:
    """Lists how an experiment's runs differ besides the factors."""
    from harness.track import differing

    notes = ["A metric is the last value that its run recorded, not the best."]
    if len(experiment.commits) > 1:
        listed = ", ".join(commit[:10] for commit in experiment.commits)
        notes.append(f"The runs name {len(experiment.commits)} commits ({listed}): their code may differ.")
    if len(experiment.datasets) > 1:
        notes.append(f"The runs name different data: {'; '.join(experiment.datasets)}.")
    others = [
        f"{column.removeprefix('params.')} ({', '.join(values[:3])}{', ...' if len(values) > 3 else ''})"
        for column, values in differing(experiment, known).items()
    ]
    if others:
        rest = f" and {len(others) - _MOST_NAMED} more" if len(others) > _MOST_NAMED else ""
        notes.append(
            f"The runs differ in parameters that are not factors here, so the numbers include their effect: "
            f"{', '.join(others[:_MOST_NAMED])}{rest}."
        )
    return notes
