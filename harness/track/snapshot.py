"""Snapshots: a consistent picture of a table's runs in the tracker, as plain frozen data for reports."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.units import Units

History = tuple[tuple[int, float], ...]
"""A step-wise metric: (step, value), by step."""


@dataclass(frozen=True)
class RunRecord:
    """One tracked run (row x seed)."""

    run_id: str
    row: str
    seed: int
    status: str
    """finished, failed, killed or running."""
    reason: str
    """Why it has no numbers, for a run that is not finished."""
    metrics: Mapping[str, float]
    """Final metrics as fractions (mAP, rank1, rank5, rank10, mINP, error ...) and costs (seconds, images_per_s ...)."""
    params: Mapping[str, str]
    tags: Mapping[str, str]
    artifacts: Path | None
    """Local folder with the run's artifacts (``per_query.npz``, ``recipe.yaml``), when the tracker holds them."""
    url: str | None
    by_unit: "Units | None" = None
    """Values by unit that lie in no file, of a run that the harness did not make."""

    def read_units(self) -> "Units | None":
        """The run's values by unit; None if it kept none.

        Raises:
            OSError, ValueError, KeyError, zipfile.BadZipFile: If their file cannot be read.
        """
        from harness.units import UNITS, read_units

        path = self.artifacts / UNITS if self.artifacts else None
        return self.by_unit if path is None or not path.exists() else read_units(path)


@dataclass(frozen=True)
class Snapshot:
    """A table's parent run and all its children as they were at one moment."""

    parent_id: str
    """The parent run; empty for runs that the harness did not make."""
    table: str
    declaration: Mapping[str, Any]
    """The matrix as JSON: title, profile, rows (id, label, factors, paper), claims, cited, metrics, assumptions.

    ``origin``, where it is there, says where runs come from that the harness did not make."""
    provenance: Mapping[str, str]
    """profile, dataset, dataset_fingerprint, synthetic, code_digest, commit, dirty, device, versions, started."""
    runs: tuple[RunRecord, ...]
    parent_url: str | None = None
    """The parent run's page, where the tracker has pages."""
