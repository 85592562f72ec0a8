"""Two sides unit by unit (query, example, user): which gained and which lost.

Owns aligning the units that every run of both sides measured, each unit's mean over the seeds. Refuses intervals:
those of the whole difference are ``measurements``', and a unit that was picked for its size has none.
"""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.report.statistics import Floats
from harness.track.snapshot import RunRecord
from harness.trainer import Metric
from harness.units import Units, one_source


@dataclass(frozen=True)
class UnitValues:
    """A metric's values of both sides by unit, in the order of the units' ids."""

    metric: Metric
    ids: NDArray[Any]
    groups: NDArray[Any]
    first: Floats
    """(U,) means over the seeds."""
    second: Floats
    seeds: tuple[int, ...]
    unit: str
    """The name of the units, in the plural."""
    group: str

    @property
    def gains(self) -> Floats:
        """(U,) what the second side has beyond the first, positive where it is better."""
        return np.asarray(self.metric.gain(1.0) * (self.second - self.first), dtype=np.float64)

    def gained(self, most: int) -> list[int]:
        """The places of the units that gained most, the largest gain first; ties by id."""
        order = np.argsort(-self.gains, kind="stable")[:most]
        return [int(place) for place in order if self.gains[place] > 0]

    def lost(self, most: int) -> list[int]:
        """The places of the units that lost most, the largest loss first; ties by id."""
        order = np.argsort(self.gains, kind="stable")[:most]
        return [int(place) for place in order if self.gains[place] < 0]

    def counts(self) -> tuple[int, int, int]:
        """Counts the units that gained, stayed as they were, and lost."""
        better, worse = int((self.gains > 0).sum()), int((self.gains < 0).sum())
        return better, len(self.gains) - better - worse, worse


def compare_units(
    first: Mapping[int, RunRecord], second: Mapping[int, RunRecord], metric: Metric, notes: list[str]
) -> UnitValues | None:
    """The values by unit over the shared seeds; None, with a note where that is a surprise, if there are none.

    Args:
        first: Runs by seed.
        second: The same of the other side.
        metric: The metric.
        notes: Gets a sentence where units are left out.
    """
    seeds = sorted(first.keys() & second.keys())
    read = [[_units(side[seed], metric.key) for seed in seeds] for side in (first, second)]
    every = [units for side in read for units in side]
    known = [units for units in every if units is not None]
    if not known or len(known) < len(every):
        if known:
            notes.append(f"not every run kept {metric.title} by {known[0].unit}, so none is shown")
        return None
    if not all(one_source(known[0].source, units.source) for units in known):
        notes.append(f"the two were measured on {known[0].unit} of other data, so none is shown")
        return None
    ids = known[0].ids
    for units in known[1:]:
        ids = np.intersect1d(ids, units.ids)
    ids, unit = np.unique(ids), known[0].unit
    if not len(ids):
        notes.append(f"the two share no {unit}, so none is shown")
        return None
    most = max(len(units.ids) for units in known)
    if len(ids) < most:
        notes.append(f"{len(ids):,} of {most:,} {unit} were measured in all runs of both; the others are not shown")
    means = [np.mean([_values(units, metric.key, ids) for units in side if units], axis=0) for side in read]
    groups = known[0].groups[_places(known[0], ids)]
    return UnitValues(metric, ids, groups, means[0], means[1], tuple(seeds), unit, known[0].group)


def _units(run: RunRecord, key: str) -> Units | None:
    """A run's units, if it kept the metric by unit; ``Measurements`` notes what cannot be read."""
    try:
        units = run.read_units()
    except (OSError, ValueError, KeyError, IndexError, zipfile.BadZipFile):
        return None
    return units if units is not None and key in units.values else None


def _places(units: Units, ids: NDArray[Any]) -> NDArray[Any]:
    order = np.argsort(units.ids, kind="stable")
    return np.asarray(order[np.searchsorted(units.ids, ids, sorter=order)])


def _values(units: Units, key: str, ids: NDArray[Any]) -> Floats:
    return np.asarray(units.values[key][_places(units, ids)], dtype=np.float64)
