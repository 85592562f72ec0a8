"""The view of a table on MLflow's runs page: which runs, in which order, with which columns.

MLflow stores a page's state in a tag of the experiment, under a key that a URL can name. Owns that tag and those URLs.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.track.accepted import factor_key, key_name
from harness.track.address import without_password
from harness.track.tags import PARENT

_KEY = "harness"
VIEW_TAG = f"mlflow.sharedViewState.{_KEY}"

_TRAINING = "workflowType=machine_learning"
"""Asks for the pages of training runs; MLflow shows those of language-model applications first."""
_COLUMN_PX = {"metrics": 96, "params": 80}


def table_view(declaration: Mapping[str, Any]) -> dict[str, Any]:
    """The view of a table, by row: its metrics, each of its factors, the seed, and the time a run took.

    >>> table_view({"metrics": ["mAP"], "rows": [{"factors": {"SAC": True}}]})["selectedColumns"]
    ['metrics.`mAP`', 'params.`SAC`', 'params.`seed`', 'metrics.`seconds`']
    """
    rows: Sequence[Mapping[str, Any]] = declaration.get("rows", [])
    factors = dict.fromkeys(factor for row in rows for factor in row.get("factors", ()))
    columns = [
        *(f"metrics.`{key_name(name)}`" for name in declaration.get("metrics", ())),
        *(f"params.`{factor_key(name)}`" for name in factors),
        "params.`seed`",
        "metrics.`seconds`",
    ]
    return _view(columns, "params.`row`", ascending=True)


def study_view(metric: str, searched: Sequence[str], *, ascending: bool) -> dict[str, Any]:
    """The view of a study, by its metric: the searched values, what became of each trial, and all of them in a chart.

    >>> study_view("mAP", ["epsilon1"], ascending=False)["selectedColumns"]
    ['metrics.`mAP`', 'params.`epsilon1`', 'params.`state`', 'params.`trial`']
    """
    order = f"metrics.`{key_name(metric)}`"
    columns = [order, *(f"params.`{key_name(name)}`" for name in (*searched, "state", "trial"))]
    return _view(columns, order, ascending=ascending) | _parallel_coordinates(searched, key_name(metric))


def view_state(view: Mapping[str, Any], parent_id: str) -> str:
    """The state of the runs page that shows the runs below one parent in a view."""
    return json.dumps({"searchFilter": f"tags.`{PARENT}` = '{parent_id}'", **view})


def _view(columns: Sequence[str], order: str, *, ascending: bool) -> dict[str, Any]:
    """Never sorted by time, since MLflow folds children away below their parent when it sorts by time."""
    return {
        "orderByKey": order,
        "orderByAsc": ascending,
        "selectedColumns": columns,
        "columnOrder": columns,
        "columnWidths": {column: _COLUMN_PX[column.partition(".")[0]] for column in columns},
    }


def _parallel_coordinates(searched: Sequence[str], metric: str) -> dict[str, Any]:
    """The part of a state that draws all runs over some parameters and a metric, in the page's chart mode."""
    section = {"uuid": _KEY, "name": "Trials", "display": True, "isReordered": False, "columns": 1, "cardHeight": 500}
    chart = {
        "type": "PARALLEL",
        "uuid": f"{_KEY}-parallel",
        "metricSectionId": _KEY,
        "selectedParams": [key_name(name) for name in searched],
        "selectedMetrics": [metric],
        "showAllRuns": True,
        "deleted": False,
        "isGenerated": False,
    }
    return {"compareRunCharts": [chart], "compareRunSections": [section], "runsHiddenMode": "SHOWALL"}


def runs_page(server: str, experiment_id: str, *, charts: bool = False) -> str:
    """The address of the runs page with a table's or a study's view: as a list, or its charts."""
    mode = "&compareRunsMode=CHART" if charts else ""
    return f"{_runs(server, experiment_id)}?{_TRAINING}&viewStateShareKey={_KEY}{mode}"


def run_page(server: str, experiment_id: str, run_id: str) -> str:
    """The address of one run's page."""
    return f"{_runs(server, experiment_id)}/{run_id}?{_TRAINING}"


def _runs(server: str, experiment_id: str) -> str:
    return f"{without_password(server).rstrip('/')}/#/experiments/{experiment_id}/runs"
