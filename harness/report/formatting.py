"""How numbers are formatted: metrics, intervals, p-values, costs, seeds; the same in every written form of a report."""

import math
from typing import Any

from harness.report.claims import Judgement
from harness.report.costs import Cost
from harness.report.insight import Gain
from harness.report.marks import NOTHING, escaped
from harness.report.model import ReportRow
from harness.report.power import Needed
from harness.report.statistics import Estimate
from harness.trainer import Metric


def three_digits(value: float) -> str:
    """A number with three significant digits, thousands apart.

    >>> three_digits(12936.4), three_digits(4.1), three_digits(0.01234), three_digits(0.0)
    ('12,936', '4.10', '0.0123', '0')
    """
    decimals = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:,.{decimals}f}"


def metric_text(value: float, metric: Metric, *, signed: bool = False) -> str:
    """A value of a metric for people: a fraction as a percentage, another number as it is, with a true minus sign.

    >>> metric_text(0.8164, Metric("mAP", "mAP"))
    '81.6'
    >>> metric_text(-0.0027, Metric("error", "Error", decimals=2), signed=True)
    '−0.27'
    >>> metric_text(0.34567, Metric("log_loss", "Log loss", percent=False, decimals=3))
    '0.346'
    """
    text = f"{metric.scale * value:{'+' if signed else ''}.{metric.decimals}f}"
    if not float(text):  # neither "-0.0" nor "+0.0"
        text = text.lstrip("+-")
    return text.replace("-", "−")


def is_number(value: Any) -> bool:
    """Whether a setting's value is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def value_text(value: Any) -> str:
    """A setting's value: a number without trailing zeros, anything else as it is.

    >>> value_text(0.50), value_text(True), value_text("adam")
    ('0.5', 'True', 'adam')
    """
    return f"{value:g}" if is_number(value) else escaped(value)


def p_text(p_value: float) -> str:
    """A p-value as reports print it.

    >>> p_text(0.0312), p_text(0.0001)
    ('0.031', '< 0.001')
    """
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def interval_text(estimate: Estimate, metric: Metric, *, signed: bool = False) -> str:
    """``[79.8, 82.1]``, or nothing where there is no interval."""
    interval = estimate.interval
    if interval is None:
        return ""
    low, high = (metric_text(end, metric, signed=signed) for end in interval)
    return f"[{low}, {high}]"


def spread_text(estimate: Estimate, metric: Metric) -> str:
    """``± 0.4``, or nothing with one seed."""
    return "" if estimate.sd is None else f"± {metric_text(estimate.sd, metric)}"


def gain_text(gain: Gain | Judgement | None, metric: Metric) -> str:
    """``+3.2 [+1.1, +5.3]``: a difference, positive where it is better, with its interval."""
    estimate = gain.estimate if isinstance(gain, Gain) else gain.measured if gain else None
    if estimate is None:
        return NOTHING
    return f"{metric_text(estimate.mean, metric, signed=True)} {interval_text(estimate, metric, signed=True)}".strip()


def fraction_text(value: float | None, metric: Metric, *, signed: bool = False) -> str:
    """A fraction as a percentage, or a dash."""
    return NOTHING if value is None else metric_text(value, metric, signed=signed)


def needed_text(needed: Needed) -> str:
    """A range of seeds.

    >>> [needed_text(Needed(*ends)) for ends in ((4, 31), (9, 9), (4, None), (None, None))]
    ['4 to 31', '9', '4 or more', 'no number']
    """
    if needed.least is None:
        return "no number"
    if needed.most is None:
        return f"{needed.least:,} or more"
    return f"{needed.least:,}" if needed.least == needed.most else f"{needed.least:,} to {needed.most:,}"


def cost_text(row: ReportRow, cost: Cost) -> str:
    """A row's cost in the unit of its column."""
    value = (row.costs or {}).get(cost.key)
    return NOTHING if value is None else three_digits(value * cost.scale)


def seeds_text(row: ReportRow) -> str:
    """``3``, or ``2 of 3`` where some are missing."""
    return str(row.seeds_done) if row.seeds_done == row.seeds_planned else f"{row.seeds_done} of {row.seeds_planned}"


def level_text(row: ReportRow, factor: str, on: str, off: str = "") -> str:
    """A factor of a row in the table: ``on`` or ``off``, or the name of its level; nothing for a cited method."""
    level = row.factors.get(factor)
    return level if isinstance(level, str) else on if level else "" if level is None else off
