"""Metrics as a table's trainer declared them, and the words for their units and directions."""

from collections.abc import Iterable, Mapping
from typing import Any

from harness.trainer import Metric


def metric_of(measured: Mapping[str, Mapping[str, Any]], key: str) -> Metric:
    """Returns a metric as the table's trainer declared it.

    Args:
        measured: The declaration's ``measured``: the fields of each ``Metric``, by key.
        key: The metric; one that was not declared is shown under its own name, higher taken as better.
    """
    return Metric(**measured[key]) if key in measured else Metric(key, key)


def gains_in(metrics: Iterable[Metric]) -> str:
    """The unit in which gains of these metrics are printed."""
    kinds = {metric.percent for metric in metrics}
    if kinds == {True}:
        return "percentage points"
    return "the metric's own unit" if kinds == {False} else "percentage points, or the metric's own unit"


def axis_text(metric: Metric) -> str:
    """Formats the unit and direction of a metric for an axis.

    >>> axis_text(Metric("error", "Error", better="lower")), axis_text(Metric("f1", "F1", percent=False))
    ('percent, lower is better', '')
    """
    return ", ".join([*["percent"] * metric.percent, *["lower is better"] * metric.lower_is_better])
