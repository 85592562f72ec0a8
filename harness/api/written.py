"""A table's report with everything from its runs: learning curves, Figure 3. For ``run`` and ``report`` alike."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.report import TableReport
    from harness.track import Snapshot


def write_table(
    uri: str | None, snapshot: "Snapshot", report: "TableReport", out: Path, formats: Sequence[str]
) -> list[Path]:
    """Writes the report and its figures, a function of the runs alone; the files, the first text first.

    Args:
        uri: The tracker that the snapshot was taken from; None as for ``Tracker``.
        snapshot: The table's runs.
        report: Their report.
        out: Folder of the reports.
        formats: What to write.
    """
    from harness.errors import InputError
    from harness.report import (
        FIGURES,
        HISTORIES,
        PAGE,
        PICTURES,
        runs_to_draw,
        stage_curves,
        write_attention,
        write_report,
    )
    from harness.track import read_histories

    if not set(formats) & {PAGE, *PICTURES} or not snapshot.parent_id:
        return write_report(report, out, formats)
    drawn = [run.run_id for run in runs_to_draw(report).values()]
    curves = stage_curves(report, snapshot.declaration, read_histories(uri, drawn, HISTORIES))
    pictures: list[tuple[str, Path]] = []
    for claim in report.claims:
        if claim.metric == "attention_overlap" and claim.measured is not None and not claim.cited:
            with suppress(InputError):  # the metric is there, and the maps behind it are not
                maps = write_attention(snapshot, claim.than, claim.better, out / FIGURES, ("png",))
                pictures.append((f"Attention maps of rows {claim.than} and {claim.better}: {claim.text}", maps[0]))
    return write_report(report, out, formats, curves=curves, pictures=pictures) + [path for _, path in pictures]
