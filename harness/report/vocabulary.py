"""What the report knows of metrics and costs: titles, units, direction, and which per-query results they are means of.

The one place that says that a lower error is better. Refuses to measure anything.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Arrays = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Metric:
    """A metric as reports show it. Values are fractions; reports print percent."""

    key: str
    title: str
    lower_is_better: bool = False
    decimals: int = 1
    """Of a percentage: as many as papers give."""
    needs: str = ""
    """The per-query array that the metric is a mean of; empty if there is none."""
    from_queries: Callable[[NDArray[np.generic]], Floats] | None = field(default=None, compare=False)
    """From that array to one value a query."""

    def gain(self, difference: float) -> float:
        """A difference with its sign turned so that positive is better."""
        return -difference if self.lower_is_better else difference

    def per_query(self, arrays: Arrays) -> Floats | None:
        """One value for each query that counts, or None where the run kept no such results."""
        if self.from_queries is None or self.needs not in arrays:
            return None
        values = self.from_queries(arrays[self.needs])
        return values[np.asarray(arrays["valid"], dtype=bool)] if "valid" in arrays else values


def _as_is(values: NDArray[np.generic]) -> Floats:
    return np.asarray(values, dtype=np.float64)


def _cmc(rank: int) -> Metric:
    def hit(first_hit_rank: NDArray[np.generic]) -> Floats:
        # Ranks count from 1; only valid queries, which have a match, are looked at.
        return (np.asarray(first_hit_rank, dtype=np.float64) <= rank).astype(np.float64)

    return Metric(f"rank{rank}", f"Rank-{rank}", needs="first_hit_rank", from_queries=hit)


def _wrong(correct: NDArray[np.generic]) -> Floats:
    return 1.0 - np.asarray(correct, dtype=np.float64)


METRICS: Mapping[str, Metric] = {
    metric.key: metric
    for metric in (
        Metric("mAP", "mAP", needs="average_precision", from_queries=_as_is),
        *(_cmc(rank) for rank in (1, 5, 10, 20)),
        Metric("mINP", "mINP", needs="inp", from_queries=_as_is),
        Metric("error", "Error", lower_is_better=True, decimals=2, needs="correct", from_queries=_wrong),
        Metric("top5_error", "Top-5 error", lower_is_better=True, decimals=2),
        Metric("attention_overlap", "Overlap of attention maps"),
    )
}


def metric_of(key: str) -> Metric:
    """The metric of that name; an unknown one is shown under its own name, and higher is taken as better."""
    return METRICS.get(key) or Metric(key, key)


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


def percent(fraction: float, metric: Metric, *, signed: bool = False) -> str:
    """A fraction as a percentage with the metric's decimals and a true minus sign.

    >>> percent(0.8164, METRICS["mAP"]), percent(-0.0027, METRICS["error"], signed=True)
    ('81.6', '−0.27')
    """
    text = f"{100 * fraction:{'+' if signed else ''}.{metric.decimals}f}"
    if not float(text):  # neither "-0.0" nor "+0.0"
        text = text.lstrip("+-")
    return text.replace("-", "−")


def p_text(p_value: float) -> str:
    """A p-value as reports print it.

    >>> p_text(0.0312), p_text(0.0001)
    ('0.031', '< 0.001')
    """
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"
