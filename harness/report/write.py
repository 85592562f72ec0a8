"""Writes reports into a folder: one file for each format, figures beside them, linked from the Markdown."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.errors import InputError, did_you_mean
from harness.files import regular_file, replace_text
from harness.names import file_name
from harness.report.csv_text import to_csv
from harness.report.curves import StageCurves
from harness.report.json_text import to_json_text
from harness.report.latex import to_latex
from harness.report.markdown import to_markdown, to_pictures_page
from harness.report.model import TableReport
from harness.report.page import to_html

TEXTS: Mapping[str, Callable[[TableReport], str]] = {"tex": to_latex, "csv": to_csv, "json": to_json_text}
PICTURES = ("svg", "png")
PAGE = "html"
FORMATS = ("md", PAGE, *TEXTS, *PICTURES)
FIGURES = "figures"
"""The folder of pictures beside the reports."""


def check_formats(formats: Sequence[str], known: Sequence[str] = FORMATS) -> None:
    """Raises an InputError unless every format is ``known``."""
    for name in formats:
        if name not in known:
            raise InputError(f'--format "{name}": {did_you_mean(name, known)}')


def write_report(
    report: TableReport,
    out_dir: Path,
    formats: Sequence[str] = ("md",),
    *,
    curves: Sequence[StageCurves] = (),
    pictures: Sequence[tuple[str, Path]] = (),
) -> list[Path]:
    """Writes ``<out_dir>/<table>.<format>`` for each text format; pictures go to ``<out_dir>/figures``.

    The same report always gives the same bytes. Each file is renamed into place, so a reader never sees half of one.
    The page of pictures that ``write_pictures_page`` left there is linked as long as it shows these runs.

    Args:
        report: What to write.
        out_dir: Made if need be.
        formats: Of ``FORMATS``: md, html (figures inside), tex, csv, json, and svg or png for the figures.
        curves: The learning curves to draw.
        pictures: Captions and files of more pictures for the Markdown to show.

    Raises:
        InputError: For an unknown format.
    """
    check_formats(formats)
    out_dir.mkdir(parents=True, exist_ok=True)
    endings = [name for name in PICTURES if name in formats]
    shown = [*pictures]
    drawn: list[Path] = []
    if endings:
        from harness.report.figures import draw_report

        charts = draw_report(report, out_dir / FIGURES, endings, curves)
        drawn = [path for _, paths in charts for path in paths]
        shown = [*((caption, paths[0]) for caption, paths in charts), *shown]
    written = []
    for name in (name for name in FORMATS if name in formats and name not in PICTURES):
        if name == "md":
            text = to_markdown(report, links(shown, out_dir), _page(report, out_dir))
        elif name == PAGE:
            text = _html(report, shown, curves) if endings else _html(report, pictures, curves, draw=True)
        else:
            text = TEXTS[name](report)
        written.append(write_text(out_dir / f"{file_name(report.name)}.{name}", text))
    return written + drawn


def _html(
    report: TableReport, pictures: Sequence[tuple[str, Path]], curves: Sequence[StageCurves], *, draw: bool = False
) -> str:
    """The page; its figures are drawn for it where none were written."""
    if not draw:
        return to_html(report, pictures)
    from harness.report.figures import draw_report

    with TemporaryDirectory() as folder:
        charts = [(caption, paths[0]) for caption, paths in draw_report(report, Path(folder), ("svg",), curves)]
        return to_html(report, [*charts, *pictures])


def write_pictures_page(report: TableReport, out_dir: Path, pictures: Sequence[tuple[str, Path]]) -> Path:
    """Writes ``<out_dir>/<table>-pictures.md``: pictures that somebody asked for, apart from what every report shows.

    A report of the same parent run links to it, whoever writes that report; one of other runs does not.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    return write_text(_page_path(report, out_dir), to_pictures_page(report, links(pictures, out_dir)))


def _page_path(report: TableReport, out_dir: Path) -> Path:
    return out_dir / f"{file_name(report.name)}-pictures.md"


def _page(report: TableReport, out_dir: Path) -> str:
    """The name of the page of pictures if there is one of these runs, else nothing."""
    path = _page_path(report, out_dir)
    if not report.parent_id or not path.is_file():
        return ""
    return path.name if report.parent_id in regular_file(path).read_text("utf-8", "replace") else ""


def links(pictures: Sequence[tuple[str, Path]], out_dir: Path) -> list[tuple[str, str]]:
    """Captions and paths relative to the reports."""
    return [(caption, os.path.relpath(path, out_dir).replace(os.sep, "/")) for caption, path in pictures]


def write_text(path: Path, text: str) -> Path:
    """Writes a file, aside first."""
    replace_text(path, text)
    return path
