"""A run's values by unit, summed by group: the queries of one identity are resampled together.

Owns reading ``units.npz`` and what makes the units of two runs the same.
"""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.report.statistics import Floats
from harness.track.snapshot import RunRecord
from harness.units import Units, one_source

_AGREE = 1e-5
"""How far a recorded metric may lie from the mean over its units (trackers round; a wrong definition is far off)."""


@dataclass(frozen=True)
class UnitSet:
    """The units that a run has values for, in the order of their ids; one object for all runs that have the same."""

    ids: NDArray[Any]
    groups: NDArray[Any]
    source: str

    def difference(self, other: "UnitSet") -> str:
        """Describes how the other's units differ from these; empty if they are the same."""
        if self is other:
            return ""
        if not one_source(self.source, other.source):
            return "they are of other data"
        if len(self.ids) != len(other.ids):
            return f"{len(self.ids):,} and {len(other.ids):,} of them{self._only(other)}"
        if not np.array_equal(self.ids, other.ids):
            return f"{len(np.setdiff1d(self.ids, other.ids)):,} of {len(self.ids):,} differ{self._only(other)}"
        moved = np.flatnonzero(self.groups != other.groups)
        if not len(moved):
            return ""
        place = moved[0]
        return f"{self.ids[place]} is of group {self.groups[place]} in the first, {other.groups[place]} in the second"

    def _only(self, other: "UnitSet") -> str:
        for here, there, which in ((self.ids, other.ids, "first"), (other.ids, self.ids, "second")):
            if len(alone := np.setdiff1d(here, there)):
                return f"; {alone[0]} is only in the {which}"
        return ""


@dataclass(frozen=True)
class UnitSums:
    """One run's results by unit of query sampling: sums of the metric's values, and how many queries each unit has."""

    sums: Mapping[str, Floats]
    sizes: Floats
    units: UnitSet


class UnitReader:
    """Reads the values by unit of a table's runs.

    Args:
        metrics: The metrics to read.
        notes: Receives a sentence for each run whose values cannot be used.
    """

    def __init__(self, metrics: Sequence[str], notes: list[str]) -> None:
        self.unit = "units"
        """The sampling unit, in the plural (identities), if runs kept values by unit."""
        self.names: dict[str, str] = {}
        """The name of the items that a metric is a mean over, in the plural, by metric."""
        self._metrics = metrics
        self._notes = notes
        self._known: dict[bytes, UnitSet] = {}

    def read(self, run: RunRecord) -> UnitSums | None:
        """A run's values by unit; None, with a note where that is a surprise, if there are none to use."""
        place = f'row "{run.row}" seed {run.seed}'
        try:
            units = run.read_units()
            return None if units is None else self._sum_up(run, units, place)
        except (OSError, ValueError, KeyError, IndexError, zipfile.BadZipFile) as error:
            self._notes.append(
                f"{place}: its values by unit cannot be read ({error}); intervals with it are over seeds alone"
            )
            return None

    def _sum_up(self, run: RunRecord, units: Units, place: str) -> UnitSums | None:
        _, group, sizes = np.unique(units.groups, return_inverse=True, return_counts=True)
        self.unit = units.group
        sums = {}
        self.names.update(dict.fromkeys(units.values, units.unit))
        for name in self._metrics:
            values = units.values.get(name)
            if values is None or name not in run.metrics or not len(values):
                continue
            if abs(values.mean() - run.metrics[name]) > _AGREE * max(1.0, abs(run.metrics[name])):
                self._notes.append(
                    f"{place}: {name} is recorded as {run.metrics[name]:.6f}, but the mean over its {units.unit} is "
                    f"{values.mean():.6f}; intervals with it are over seeds alone"
                )
                continue
            sums[name] = np.asarray(np.bincount(group, weights=values, minlength=len(sizes)), dtype=np.float64)
        return UnitSums(sums, sizes.astype(np.float64), self._set_of(units)) if sums else None

    def _set_of(self, units: Units) -> UnitSet:
        order = np.argsort(units.ids, kind="stable")
        found = UnitSet(units.ids[order], units.groups[order], units.source)
        kinds = repr((found.source, found.ids.dtype.str, found.groups.dtype.str))
        key = kinds.encode() + found.ids.tobytes() + found.groups.tobytes()
        return self._known.setdefault(key, found)
