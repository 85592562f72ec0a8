"""Values by unit, the values that a metric is the mean of (queries, test examples, users): a file with a run's result.

The file holds the units' ids, the groups they are sampled in (the queries of one identity are one draw), and one value
per metric and unit. Owns the file's format. Computes no statistics.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.files import regular_file, replacing

UNITS = "units.npz"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Units:
    """The values of a run by unit."""

    values: Mapping[str, Floats]
    """(U,) by metric; the metric is their mean."""
    ids: NDArray[Any]
    """(U,) integers or text: equal ids in two runs are the same unit, where they are of one source."""
    groups: NDArray[Any]
    """(U,) integers or text: units of one group are sampled together."""
    unit: str = "units"
    """The name of the units, in the plural ("queries")."""
    group: str = "units"
    """The name of the groups, in the plural ("identities")."""
    source: str = ""
    """The identity of the units' data; empty if a trainer does not say."""


def one_source(first: str, second: str) -> bool:
    """Whether equal ids of two sources are equal units: unless both sources are known, and differ."""
    return not first or not second or first == second


def write_units(folder: Path, units: Units) -> None:
    """Writes ``units.npz`` into a stage's folder, whole or not at all.

    Raises:
        ValueError: If a metric's number of values is not the number of units.
    """
    for key, values in units.values.items():
        if values.shape != units.ids.shape:
            raise ValueError(f"{key} has values of shape {values.shape} for ids of shape {units.ids.shape}")
    with replacing(folder / UNITS) as aside, aside.open("wb") as file:
        np.savez_compressed(
            file,
            keys=np.array(list(units.values), dtype=str),
            values=np.array(list(units.values.values()), dtype=np.float64).reshape(len(units.values), -1),
            ids=units.ids,
            groups=units.groups,
            names=np.array([units.unit, units.group], dtype=str),
            source=np.array(units.source, dtype=str),
        )


def read_units(path: Path) -> Units:
    """Reads a file that ``write_units`` wrote.

    Raises:
        OSError, ValueError, KeyError, zipfile.BadZipFile: If it cannot be read.
    """
    with np.load(regular_file(path), allow_pickle=False) as file:
        keys: Sequence[str] = [str(key) for key in file["keys"]]
        unit, group = (str(name) for name in file["names"])
        rows = np.asarray(file["values"], dtype=np.float64)
        source = str(file["source"]) if "source" in file else ""  # files of older versions have none
        return Units(dict(zip(keys, rows, strict=True)), file["ids"], file["groups"], unit, group, source)
