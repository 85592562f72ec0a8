"""A comparison as Markdown and as one HTML page, with its pictures, in files."""

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.errors import InputError
from harness.report.compare import Comparison
from harness.report.compare_figure import draw_ranked, draw_units
from harness.report.compare_text import MOST_UNITS, Section, heading, pair_with_most_units, sections, title
from harness.report.marks import bullets, escaped, picture, telling_table
from harness.report.page import page_of
from harness.report.pictures import LoadImage
from harness.report.write import FIGURES, links, write_text

_UNFOLDED = ("Metrics", "Settings that differ", "Pictures", "Code, data and libraries", "Costs")


def comparison_markdown(comparison: Comparison, figures: Sequence[tuple[str, str]] = (), most: int = MOST_UNITS) -> str:
    """The whole comparison.

    Args:
        comparison: What to say.
        figures: Caption and path of each picture.
        most: Units to show of those that gained and of those that lost.
    """
    parts = [f"# {escaped(title(comparison))}", f"**{escaped(heading(comparison))}**"]
    shown = [_section(each) for each in sections(comparison, most)]
    pictures = ["## Pictures", *(picture(*each) for each in figures)] if figures else []
    return "\n\n".join([*parts, *shown[:1], *pictures, *shown[1:]]) + "\n"


def comparison_html(comparison: Comparison, pictures: Sequence[tuple[str, Path]], most: int = MOST_UNITS) -> str:
    """The page, which holds its pictures."""
    units = [each.title for each in sections(comparison, most) if each.title.endswith("gained and lost most")]
    markdown = partial(comparison_markdown, comparison, most=most)
    return page_of(title(comparison), markdown, pictures, (*_UNFOLDED, *units))


def draw_comparison(
    comparison: Comparison, folder: Path, endings: Iterable[str], load: LoadImage | None = None
) -> tuple[list[tuple[str, list[Path]]], str]:
    """Draws what there is to draw: captions and files, and a sentence where images could not be shown.

    Args:
        comparison: What to draw.
        folder: Where to.
        endings: ``svg``, ``png``.
        load: Reads images of ranked queries; None where the runs ranked none.
    """
    pair = pair_with_most_units(comparison)
    if pair is None or pair.units is None:
        return [], ""
    drawn = [(f"{pair.units.metric.title} by unit", draw_units(comparison, pair.units, folder, endings))]
    if load is None:
        return drawn, ""
    try:
        return drawn + draw_ranked(comparison, pair, pair.units, load, folder, ("png",)), ""
    except (InputError, OSError) as error:
        return drawn, f"what each ranked first is not drawn: {error}"


def write_comparison(
    comparison: Comparison, out_dir: Path, load: LoadImage | None = None, most: int = MOST_UNITS
) -> tuple[list[Path], str]:
    """Writes ``<name>.md``, ``<name>.html`` and their figures; the files, and what could not be drawn."""
    out_dir.mkdir(parents=True, exist_ok=True)
    drawn, lacking = draw_comparison(comparison, out_dir / FIGURES, ("svg", "png"), load)
    shown = [(caption, paths[0]) for caption, paths in drawn]
    markdown = comparison_markdown(comparison, links(shown, out_dir), most)
    texts = [
        write_text(out_dir / f"{comparison.name}.md", markdown),
        write_text(out_dir / f"{comparison.name}.html", comparison_html(comparison, shown, most)),
    ]
    return [*texts, *(path for _, paths in drawn for path in paths)], lacking


def comparison_page(comparison: Comparison, load: LoadImage | None = None, most: int = MOST_UNITS) -> str:
    """The page alone, its figures drawn for it."""
    with TemporaryDirectory() as folder:
        drawn, _ = draw_comparison(comparison, Path(folder), ("svg",), load)
        return comparison_html(comparison, [(caption, paths[0]) for caption, paths in drawn], most)


def _section(section: Section) -> str:
    parts = [f"## {escaped(section.title)}"]
    if len(section.text) > 1:
        parts.append(bullets([escaped(sentence) for sentence in section.text]))
    elif section.text:
        parts.append(escaped(section.text[0]))
    if section.lines:
        lines = [[escaped(cell) for cell in line] for line in section.lines]
        parts.append(telling_table([escaped(name) for name in section.header], lines))
    return "\n\n".join(parts)
