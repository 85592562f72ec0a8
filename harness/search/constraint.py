"""Constraints between searched values: one comparison of two keys, or of a key and a number. Nothing is evaluated."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.errors import InputError

_COMPARISON = re.compile(r"\s*([^\s<>=]+)\s*(<=|>=|<|>)\s*([^\s<>=]+)\s*")
_TOUCHING = 1e-9
"""The violation of a strict comparison whose sides are equal: small, and above 0, where samplers see infeasibility."""


@dataclass(frozen=True)
class Comparison:
    """``small < large``, or ``small <= large``; a comparison written the other way round is turned."""

    text: str
    small: str | float
    large: str | float
    strict: bool

    def violation(self, params: Mapping[str, Any]) -> float:
        """Returns how far ``params`` are from satisfying it: at most 0 where they do, above 0 where they do not.

        >>> rule = parse_comparison("b < a")
        >>> rule.violation({"a": 0.5, "b": 0.2}) < 0 < rule.violation({"a": 0.5, "b": 0.5})
        True
        """
        small, large = (params[side] if isinstance(side, str) else side for side in (self.small, self.large))
        violation = float(small) - float(large)
        return _TOUCHING if self.strict and violation == 0.0 else violation

    @property
    def keys(self) -> tuple[str, ...]:
        """The dotted keys that it speaks of."""
        return tuple(side for side in (self.small, self.large) if isinstance(side, str))


def parse_comparison(text: str) -> Comparison:
    """Reads ``key < key``, with <, <=, > or >=; either side may be a number.

    Raises:
        InputError: If the text is anything else.

    >>> parse_comparison("losses.quadruplet.epsilon1 > 0.1").small
    0.1
    """
    match = _COMPARISON.fullmatch(text)
    sides = [_side(side) for side in (match[1], match[3])] if match else []
    if match is None or not any(isinstance(side, str) for side in sides):
        raise InputError(f'found "{text}", expected one comparison of two keys, such as a.b < a.c (or <=, >, >=)')
    left, right = sides
    small, large = (left, right) if match[2].startswith("<") else (right, left)
    return Comparison(text.strip(), small, large, strict=not match[2].endswith("="))


def _side(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text
