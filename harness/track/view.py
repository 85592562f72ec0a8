"""What MLflow's runs page shows of a table: which runs, in which order, with which columns side by side.

MLflow keeps a page's state under a key in a tag of the experiment, and shows it when an address names the key. Owns
that tag and those addresses.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.track.outbox import without_password
from harness.track.words import PARENT, clean_name

_KEY = "harness"
VIEW_TAG = f"mlflow.sharedViewState.{_KEY}"

_TRAINING = "workflowType=machine_learning"
"""Asks for the pages of training runs; MLflow shows those of language-model applications first."""
_COLUMN_PX = {"metrics": 96, "params": 80}


def columns_of(declaration: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns of a table: its metrics, each of its factors (and ``params``), the seed, and the time a run took.

    >>> columns_of({"metrics": ["mAP"], "rows": [{"factors": {"SAC": True}}]})
    ('metrics.`mAP`', 'params.`SAC`', 'params.`seed`', 'metrics.`seconds`')
    """
    rows: Sequence[Mapping[str, Any]] = declaration.get("rows", [])
    factors = dict.fromkeys(factor for row in rows for factor in row.get("factors", ()))
    factors |= dict.fromkeys(declaration.get("params", ()))
    metrics = [*declaration.get("metrics", ())]
    return (
        *(f"metrics.`{clean_name(name)}`" for name in metrics),
        *(f"params.`{clean_name(name)}`" for name in factors),
        "params.`seed`",
        "metrics.`seconds`",
    )


def view_state(parent_id: str, columns: Sequence[str]) -> str:
    """The state of the runs page that shows the runs below one parent, by row.

    Sorted by a parameter and not by time, since MLflow folds children away below their parent when it sorts by time.
    """
    state = {
        "searchFilter": f"tags.`{PARENT}` = '{parent_id}'",
        "orderByKey": "params.`row`",
        "orderByAsc": True,
        "selectedColumns": list(columns),
        "columnOrder": list(columns),
        "columnWidths": {column: _COLUMN_PX[column.partition(".")[0]] for column in columns},
    }
    return json.dumps(state)


def runs_page(server: str, experiment_id: str) -> str:
    """The address of the runs page with a table's view."""
    return f"{_runs(server, experiment_id)}?{_TRAINING}&viewStateShareKey={_KEY}"


def run_page(server: str, experiment_id: str, run_id: str) -> str:
    """The address of one run's page."""
    return f"{_runs(server, experiment_id)}/{run_id}?{_TRAINING}"


def _runs(server: str, experiment_id: str) -> str:
    return f"{without_password(server).rstrip('/')}/#/experiments/{experiment_id}/runs"
