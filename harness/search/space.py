"""The space of a search: what each recipe value may be."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

Params = dict[str, Any]
"""A point of the space: values by dotted key."""

_DIGITS = 12
"""Steps are counted from the lowest value; rounding takes away what binary fractions add (0.30000000000000004)."""

_ON_STEP = 1e-6
_EDGE = 0.05


@dataclass(frozen=True)
class Dimension:
    """The range of one recipe value: numbers from ``low`` to ``high``, or one of ``choices``."""

    key: str
    choices: tuple[bool | int | float | str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False
    whole: bool = False
    """Whether only whole numbers are allowed: low, high and step are all written without a point."""

    @property
    def name(self) -> str:
        """The last part of the key, for display."""
        return self.key.rpartition(".")[2]

    @property
    def count(self) -> int | None:
        """How many values there are; None for infinitely many."""
        if self.choices:
            return len(self.choices)
        step = self._step
        return None if step is None else math.floor((self.high - self.low) / step + 1e-9) + 1

    def grid(self) -> tuple[Any, ...]:
        """Every value, rising; nothing if there are infinitely many."""
        step = self._step
        if self.choices or step is None:
            return self.choices
        return tuple(self.exact(self.low + index * step) for index in range(self.count or 0))

    def exact(self, value: Any) -> Any:
        """A sampled value as a recipe takes it: a whole number, or a float without the noise of its binary sum."""
        if self.choices:
            return value
        return int(value) if self.whole else round(float(value), _DIGITS)

    @property
    def _step(self) -> float | None:
        return self.step or (1.0 if self.whole and not self.log else None)

    def holds(self, value: Any) -> bool:
        """Whether it may be this value.

        >>> Dimension("lr", low=0.001, high=0.1, log=True).holds(0.2)
        False
        """
        if self.choices or isinstance(value, bool | str) or not isinstance(value, int | float):
            return value in self.choices
        steps = (value - self.low) / self._step if self._step else 0.0
        return self.low <= value <= self.high and abs(steps - round(steps)) < _ON_STEP

    def edge(self, value: Any) -> str:
        """``"lower"`` or ``"upper"`` where a number lies in the outer twentieth of the range, on its scale, else "".

        >>> lr = Dimension("lr", low=0.0001, high=1.0, log=True)
        >>> [lr.edge(value) for value in (0.00015, 0.0003, 0.9)]  # 0.04, 0.12 and 0.99 of the way
        ['lower', '', 'upper']
        """
        low, high = self.low, self.high
        if self.choices:
            numbers = [choice for choice in self.choices if not isinstance(choice, bool | str)]
            if len(numbers) < len(self.choices):
                return ""
            low, high = min(numbers), max(numbers)
        scale = math.log if self.log else float
        share = (scale(value) - scale(low)) / (scale(high) - scale(low))
        return "lower" if share <= _EDGE else "upper" if share >= 1 - _EDGE else ""

    def ends(self) -> tuple[Any, ...]:
        """All choices, or the lowest and the highest value."""
        return self.choices or (self.exact(self.low), self.exact(self.high))


def grid_points(space: Mapping[str, Dimension]) -> Iterator[Params]:
    """All points of a space whose dimensions are all finite."""
    for values in product(*(dimension.grid() for dimension in space.values())):
        yield dict(zip(space, values, strict=True))
