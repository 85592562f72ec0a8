"""Validates what a user's code returns: for each declared metric a number, or one value per unit."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import StageError, did_you_mean
from harness.trainers.run import Run


def measured(returned: Any, declared: Sequence[str], run: Run, folder: Path) -> dict[str, float]:
    """Returns the metrics of a step as numbers; writes ``units.npz`` where some came as arrays.

    Args:
        returned: What the function returned or the command wrote: numbers, or arrays of one value per unit, by metric.
        declared: The metrics that are expected; none for a step that is not the last.
        run: Has the names of the units.
        folder: The stage's folder.

    Raises:
        StageError: If a metric is missing, undeclared, not a finite number, or of another length than the others.
    """
    if not declared:
        return {}
    if not isinstance(returned, Mapping):
        found = "nothing" if returned is None else type(returned).__name__
        raise StageError(f"returned {found}, expected the metrics by name: {', '.join(declared)}")
    for name in returned:
        if name not in declared:
            raise StageError(
                f'returned "{name}", which the recipe does not declare; {did_you_mean(str(name), declared)}'
            )
    missing = [name for name in declared if name not in returned]
    if missing:
        raise StageError(f"returned no {', '.join(missing)}; expected {', '.join(declared)}")
    numbers = {name: value for name, value in returned.items() if _is_number(value)}
    arrays = {name: value for name, value in returned.items() if name not in numbers}
    metrics = {name: _finite(name, value) for name, value in numbers.items()}
    if arrays:
        metrics |= _write_units(arrays, run, folder)
    return {name: metrics[name] for name in declared}


def shown(value: Any, most: int = 40) -> str:
    """Returns a value's ``repr``, truncated."""
    try:
        text = repr(value)
    except Exception:
        return type(value).__name__
    return text if len(text) <= most else f"{text[:most]}..."


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) or getattr(value, "shape", None) == ()


def _finite(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise StageError(f"{name} is {shown(value)}, expected a finite number") from None
    if not math.isfinite(number):
        raise StageError(f"{name} is {number}, expected a finite number")
    return number


def _write_units(arrays: Mapping[str, Any], run: Run, folder: Path) -> dict[str, float]:
    """Writes values by unit; returns their means."""
    import numpy as np

    from harness.units import Units, write_units

    values = {}
    for name, array in arrays.items():
        found = type(array).__name__
        if hasattr(array, "detach"):
            array = array.detach().cpu()
        if np.ma.is_masked(array):
            raise StageError(f"{name} has masked values, expected a number for each unit")
        try:
            if array is None or np.asarray(array).dtype.kind in "USc":
                raise TypeError
            column = np.asarray(array, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            found = "None" if array is None else found
            raise StageError(f"{name} is {found}, expected a number or one number for each unit") from None
        if column.ndim != 1 or not column.size:
            raise StageError(f"{name} has shape {column.shape}, expected a number or (units,)")
        if not np.isfinite(column).all():
            bad = int(np.flatnonzero(~np.isfinite(column))[0])
            raise StageError(f"{name} is {column[bad]} at unit {bad}, expected finite numbers")
        values[name] = column
    lengths = {name: len(column) for name, column in values.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise StageError(f"metrics have different numbers of units ({listed}), expected one value for each unit in all")
    count = next(iter(lengths.values()))
    named = run.named
    ids = _labels(named.ids, count, "ids")
    groups = ids if named.groups is None else _labels(named.groups, count, "groups")
    if len(np.unique(ids)) < count:
        raise StageError("run.units: ids are not all different, expected one for each unit")
    write_units(folder, Units(values, ids, groups, named.unit, named.group or named.unit))
    return {name: float(column.mean()) for name, column in values.items()}


def _labels(given: Sequence[Any] | None, count: int, what: str) -> Any:
    import numpy as np

    if given is None:
        return np.arange(count)
    labels = np.asarray(given)
    if labels.dtype.kind not in "iuU":
        labels = np.asarray([str(label) for label in given])
    if labels.shape != (count,):
        raise StageError(f"run.units: {what} has shape {labels.shape} for {count} values, expected ({count},)")
    return labels
