"""A metric, as a trainer declares it and reports show it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """A metric: how tables show it, and which direction is better."""

    key: str
    title: str
    better: Literal["higher", "lower"] = "higher"
    percent: bool = True
    """Whether values are fractions that reports print as percentages."""
    decimals: int = 1
    """Digits after the decimal point, of the percentage if ``percent``."""

    @property
    def lower_is_better(self) -> bool:
        """Whether a lower value is better."""
        return self.better == "lower"

    @property
    def scale(self) -> float:
        """The factor from a value to the printed number: 100 for a percentage."""
        return 100.0 if self.percent else 1.0

    def gain(self, difference: float) -> float:
        """Returns a difference with its sign set so that positive is better."""
        return -difference if self.lower_is_better else difference
