"""The runs that confirm a search's points, as the statistics know them: a row for each point, a run for each seed."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.report.measurements import Measurements
from harness.track.snapshot import RunRecord, Snapshot

BEST, REFERENCE = "best", "reference"
"""The points that are confirmed: the best one of a search, and the values to beat."""


def measurements_of(record: Mapping[str, Any], confirmed: Mapping[str, Iterable[Mapping[str, Any]]]) -> Measurements:
    """Confirming runs as measurements.

    Args:
        record: A search's outcome; see ``harness.search.result``. ``folders`` are those of its confirming stages on
            this machine; without them intervals are over seeds alone.
        confirmed: The results by seed of each point, by the name of its row.
    """
    folders = record.get("folders", {})
    runs = tuple(
        RunRecord(
            run_id=result["evaluation"],
            row=name,
            seed=result["seed"],
            status="finished",
            reason="",
            metrics={record["metric"]: result["value"]},
            params={},
            tags={},
            artifacts=Path(folder) if (folder := folders.get(result["evaluation"])) else None,
            url=None,
        )
        for name, results in confirmed.items()
        for result in results
        if result["value"] is not None
    )
    return Measurements(Snapshot("", record["name"], {"measured": record["measured"]}, {}, runs), [record["metric"]])
