"""Reports that judge: tables with intervals, effects of factors, verdicts on claims, figures.

Owns statistics over recorded runs and their written forms; reads a ``Snapshot`` and nothing else. Refuses torch, the
tracker and training; loads matplotlib only to draw.
"""

from harness.report.build import build_report
from harness.report.compare import Comparison, Side, compare
from harness.report.compare_page import comparison_markdown, comparison_page, write_comparison
from harness.report.compare_text import comparison_to_json
from harness.report.curves import HISTORIES, runs_to_draw, stage_curves
from harness.report.existing import Source, decimals_for, existing_snapshot, find_columns
from harness.report.json_text import report_to_json
from harness.report.latex_paper import write_paper
from harness.report.model import TableReport
from harness.report.pictures import write_attention, write_rank_lists
from harness.report.write import FIGURES, PAGE, PICTURES, check_formats, write_pictures_page, write_report

__all__ = [
    "FIGURES",
    "HISTORIES",
    "PAGE",
    "PICTURES",
    "Comparison",
    "Side",
    "Source",
    "TableReport",
    "build_report",
    "check_formats",
    "compare",
    "comparison_markdown",
    "comparison_page",
    "comparison_to_json",
    "decimals_for",
    "existing_snapshot",
    "find_columns",
    "report_to_json",
    "runs_to_draw",
    "stage_curves",
    "write_attention",
    "write_comparison",
    "write_paper",
    "write_pictures_page",
    "write_rank_lists",
    "write_report",
]
