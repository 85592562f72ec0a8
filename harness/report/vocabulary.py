"""How metrics and costs are shown: units, digits, signs. Refuses to measure anything."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.trainer import Metric

Floats = NDArray[np.float64]


def metric_of(measured: Mapping[str, Mapping[str, Any]], key: str) -> Metric:
    """Returns a metric as the table's trainer declared it.

    Args:
        measured: The declaration's ``measured``: the fields of each ``Metric``, by key.
        key: The metric; one that was not declared is shown under its own name, higher taken as better.
    """
    return Metric(**measured[key]) if key in measured else Metric(key, key)


@dataclass(frozen=True)
class Cost:
    """A cost that runs record, and how a reader sees it."""

    key: str
    name: str
    units: tuple[tuple[str, float], ...] = (("", 1.0),)
    """Names of units, the largest first, and what turns a recorded value into each."""

    @property
    def title(self) -> str:
        """The heading of its column."""
        unit, _ = self.units[0]
        return f"{self.name} ({unit})" if unit else self.name

    @property
    def scale(self) -> float:
        """Multiplies the recorded value."""
        return self.units[0][1]

    def suited(self, largest: float) -> "Cost":
        """The cost in the largest unit in which the largest value is at least a tenth.

        >>> cost = Cost("multiply_adds", "multiply-adds", (("G", 1e-9), ("M", 1e-6)))
        >>> cost.suited(4.1e9).title, cost.suited(8.2e6).title, cost.suited(0.0).title
        ('multiply-adds (G)', 'multiply-adds (M)', 'multiply-adds (M)')
        """
        for place, (_, scale) in enumerate(self.units):
            if largest * scale >= 0.1:
                return replace(self, units=self.units[place:])
        return replace(self, units=self.units[-1:])


COSTS: tuple[Cost, ...] = (
    Cost("parameters", "parameters", (("M", 1e-6), ("k", 1e-3))),
    Cost("multiply_adds", "multiply-adds", (("G", 1e-9), ("M", 1e-6))),
    Cost("images_per_s", "images/s"),
    Cost("seconds", "device time", (("h", 1 / 3600), ("min", 1 / 60), ("s", 1.0))),
    Cost("peak_memory_mb", "peak memory", (("GB", 1e-3), ("MB", 1.0))),
    Cost("energy_wh", "energy", (("Wh", 1.0), ("mWh", 1e3))),
    Cost("gpu_utilisation", "GPU utilisation", (("%", 100.0),)),
)


def three_digits(value: float) -> str:
    """A number with three significant digits, thousands apart.

    >>> three_digits(12936.4), three_digits(4.1), three_digits(0.01234), three_digits(0.0)
    ('12,936', '4.10', '0.0123', '0')
    """
    decimals = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:,.{decimals}f}"


def percent(value: float, metric: Metric, *, signed: bool = False) -> str:
    """A value of a metric for people: a fraction as a percentage, another number as it is, with a true minus sign.

    >>> percent(0.8164, Metric("mAP", "mAP")), percent(-0.0027, Metric("error", "Error", decimals=2), signed=True)
    ('81.6', '−0.27')
    >>> percent(0.34567, Metric("log_loss", "Log loss", percent=False, decimals=3))
    '0.346'
    """
    text = f"{metric.scale * value:{'+' if signed else ''}.{metric.decimals}f}"
    if not float(text):  # neither "-0.0" nor "+0.0"
        text = text.lstrip("+-")
    return text.replace("-", "−")


def p_text(p_value: float) -> str:
    """A p-value as reports print it.

    >>> p_text(0.0312), p_text(0.0001)
    ('0.031', '< 0.001')
    """
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"
