"""The parts of a table as Python objects, equivalent to YAML and checked in the same way."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

from harness.errors import InputError


@dataclass(frozen=True)
class Factor:
    """A named change of the settings, on or off; or several, its levels.

    >>> Factor(patch={"scale": True}).patch
    {'scale': True}
    >>> sorted(Factor(levels={"narrow": {"hidden": 8}, "wide": {"hidden": 128}}).levels)
    ['narrow', 'wide']
    """

    patch: Mapping[str, Any] = field(default_factory=dict)
    """Dotted keys of settings and the values that they take when the factor is on."""
    off: Mapping[str, Any] = field(default_factory=dict)
    """The same for when it is off; by default the settings stay as they are."""
    levels: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Instead of ``patch``: patches by the names of levels."""
    requires: Sequence[str] = ()
    excludes: Sequence[str] = ()
    apply: str | Callable[[dict[str, Any]], dict[str, Any]] | None = None
    """A function of the whole settings, called after the patch."""
    description: str = ""


@dataclass(frozen=True)
class Row:
    """One setting of all factors.

    >>> Row("both", ["Scale", "Width=wide"]).factors
    ['Scale', 'Width=wide']
    """

    id: str
    factors: Sequence[str] | Mapping[str, bool | str]
    """Those that are on or at a level: ``["Scale", "Width=wide"]`` or ``{"Scale": True, "Width": "wide"}``."""
    label: str = ""
    note: str = ""
    set: Mapping[str, Any] = field(default_factory=dict)
    """Settings that the row changes besides its factors, by dotted key."""
    paper: Mapping[str, float] = field(default_factory=dict)
    """Published numbers of this row, as papers print them, by metric."""
    profiles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """A trainer, its settings, its metrics, and the factors that change them.

    >>> import math
    >>> recipe = Recipe(math.hypot, settings={"x": 1.0}, metrics={"length": {}}, factors={"Far": Factor({"x": 9.0})})
    >>> plain(recipe)["trainer"], plain(recipe)["factors"]
    ('math:hypot', {'Far': {'patch': {'x': 9.0}}})
    """

    trainer: str | Mapping[str, Any] | Callable[..., Any] | None = None
    """A function, by itself or as ``"module:name"``; ``{"command": [...]}``; ``{"stages": {...}}``."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    factors: Mapping[str, Factor | Mapping[str, Any]] = field(default_factory=dict)
    inputs: Sequence[str | Path] = ()
    held_out: Mapping[str, Any] = field(default_factory=dict)
    extends: str | Path | None = None
    """A recipe file for the values that this recipe does not give."""
    profiles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    assumptions: Mapping[str, str | Mapping[str, Any]] = field(default_factory=dict)


def plain(value: Any) -> Any:
    """Returns a declaration as the plain values that YAML would give, without values left at their defaults.

    Raises:
        InputError: For a function that no other process could import.
    """
    if is_dataclass(value) and not isinstance(value, type):
        declared = {each.name: getattr(value, each.name) for each in fields(value)}
        defaults = {each.name: _default(each) for each in fields(value)}
        return {name: plain(own) for name, own in declared.items() if own != defaults[name]}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | type | Set):
        return [plain(inner) for inner in value]
    if callable(value):
        return _reference(value)
    if isinstance(value, bool):
        return value
    return int(value) if isinstance(value, Integral) else value  # NumPy's integers, too


def _default(declared: Any) -> Any:
    return declared.default_factory() if declared.default_factory is not MISSING else declared.default


def _reference(function: Callable[..., Any]) -> str:
    """``module:name`` of a function, so that other processes can import it."""
    module, name = function.__module__, function.__qualname__
    if module == "__main__":
        script = getattr(sys.modules["__main__"], "__file__", None)
        module = Path(script).stem if script and Path(script).suffix == ".py" else ""
    if not module or "<" in name:
        raise InputError(
            f"{name} is defined where other processes cannot import it; put it into a file of its own, say trainer.py "
            f"beside this one, and pass trainer.{function.__name__.strip('<>')}"
        )
    return f"{module}:{name}"
