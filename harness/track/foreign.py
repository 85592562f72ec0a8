"""Reads runs that the harness did not make from an MLflow experiment: a row for each, as in ``mlflow.search_runs``.

Owns finding the experiment, and what its runs say about their code and data. Refuses to judge them.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import InputError, did_you_mean
from harness.track.address import resolve_uri, sqlite_path, without_password
from harness.track.client import connect, search_all_runs
from harness.track.probe import asking
from harness.track.reader import artifacts_of, page_of, status_of
from harness.track.snapshot import RunRecord

if TYPE_CHECKING:
    from mlflow.entities import Run

_COMMIT = "mlflow.source.git.commit"
_NAME = "mlflow.runName"


@dataclass(frozen=True)
class Experiment:
    """The runs of an experiment, in the order in which they began."""

    name: str
    address: str
    lines: tuple[dict[str, Any], ...]
    """Of each run ``params.NAME``, ``metrics.NAME`` (the last value) and ``tags.NAME``; no tags of MLflow's own."""
    records: tuple[RunRecord, ...]
    """Each run's id, state, page and artifacts; no row and no seed yet."""
    commits: tuple[str, ...]
    """The commits that runs name."""
    datasets: tuple[str, ...]
    """The data that runs name, each with MLflow's digest of it."""


def read_experiment(name: str, uri: str | None = None) -> Experiment:
    """Reads all runs of an experiment, without their learning curves.

    Args:
        name: The experiment's name or id.
        uri: The tracker's address; None as for ``Tracker``.

    Raises:
        TrackerError: The tracker cannot be queried.
        InputError: There is no such experiment, or it holds no runs.
    """
    uri = resolve_uri(uri)
    with asking(uri):
        path = sqlite_path(uri)
        if path is not None and not path.exists():  # a look must not make an empty store
            raise InputError(f"{without_password(uri)}: there is no tracker; set MLFLOW_TRACKING_URI to its address")
        client = connect(uri)
        known = {each.name: each.experiment_id for each in client.search_experiments(max_results=10_000)}
        chosen = known.get(name) or (name if name in known.values() else None)
        if chosen is None:
            raise InputError(f'{without_password(uri)}: it holds no experiment "{name}"; {did_you_mean(name, known)}')
        runs = sorted(search_all_runs(uri, [chosen], ""), key=lambda run: (run.info.start_time, run.info.run_id))
        if not runs:
            raise InputError(f'{without_password(uri)}: the experiment "{name}" holds no runs')
        records = tuple(_record(uri, run) for run in runs)
    return Experiment(
        name=name,
        address=without_password(uri),
        lines=tuple(dict(_line(run)) for run in runs),
        records=records,
        commits=tuple(dict.fromkeys(commit for run in runs if (commit := run.data.tags.get(_COMMIT)))),
        datasets=tuple(dict.fromkeys(dataset for run in runs for dataset in _datasets(run))),
    )


def differing(experiment: Experiment, beside: Sequence[str]) -> dict[str, list[str]]:
    """The parameters, besides some, that have several values among the runs."""
    values: dict[str, dict[str, None]] = defaultdict(dict)
    for line in experiment.lines:
        for column, value in line.items():
            if column.startswith("params.") and column not in beside:
                values[column][str(value)] = None
    return {column: list(found) for column, found in values.items() if len(found) > 1}


def _line(run: "Run") -> Iterator[tuple[str, Any]]:
    for kind, values in (("params", run.data.params), ("metrics", run.data.metrics), ("tags", run.data.tags)):
        for name, value in values.items():
            if kind != "tags" or not name.startswith("mlflow.") or name == _NAME:
                yield f"{kind}.{name}", value


def _record(uri: str, run: "Run") -> RunRecord:
    return RunRecord(
        run_id=run.info.run_id,
        row="",
        seed=0,
        status=status_of(run),
        reason="",
        metrics={},
        params=dict(run.data.params),
        tags={},
        artifacts=artifacts_of(uri, run, None),
        url=page_of(uri, run),
    )


def _datasets(run: "Run") -> Iterator[str]:
    for given in run.inputs.dataset_inputs if run.inputs else ():
        yield f"{given.dataset.name} ({given.dataset.digest})"
