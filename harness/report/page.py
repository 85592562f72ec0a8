"""A report as one self-contained HTML file to share: figures are inside, and nothing is loaded from elsewhere."""

import base64
import re
from collections.abc import Callable, Sequence
from functools import partial
from html import escape, unescape
from pathlib import Path

from harness.files import regular_file
from harness.report.formatting import fraction_text
from harness.report.markdown import to_markdown
from harness.report.model import TableReport

_OPEN = ("Figures", "Claims")
"""Sections that are not folded; the table of results comes before all sections."""
_KINDS = {".svg": "image/svg+xml", ".png": "image/png"}
_NUMBER_CELL = ' style="text-align:right"'

_STYLE = """
.report { font: 15px/1.5 system-ui, sans-serif; max-width: 82rem; margin: 0 auto; padding: 1rem; }
.report p, .report ul, .report blockquote { max-width: 60rem; }
.report h1 { font-size: 1.6rem; line-height: 1.2; }
.report h2, .report summary { font-size: 1.2rem; font-weight: 600; margin: 1.5rem 0 .5rem; }
.report summary { cursor: pointer; }
.report .wide { overflow-x: auto; }
.report table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.report th, .report td { padding: .3rem .7rem; border-bottom: 1px solid #8885; text-align: left; vertical-align: top; }
.report th, .report td[style*=right] { white-space: nowrap; }
.report td:first-child { position: sticky; left: 0; background: Canvas; }
.report th button { font: inherit; color: inherit; background: none; border: 0; padding: 0; cursor: pointer; }
.report th button::after { content: " ↕"; opacity: .35; }
.report th[aria-sort=ascending] button::after { content: " ↑"; opacity: 1; }
.report th[aria-sort=descending] button::after { content: " ↓"; opacity: 1; }
.report blockquote { margin: 1rem 0; padding: .1rem 1rem; border-left: 4px solid #c80; background: #cc880018; }
.report img { max-width: 100%; height: auto; background: white; border-radius: 4px; }
.report code { font-size: .9em; overflow-wrap: anywhere; }
@media screen and (max-width: 40rem) {
  .report th, .report td { padding: .3rem .4rem; }
  .report th[style*=center] { writing-mode: vertical-rl; vertical-align: bottom; }
  .report p:has(> img) { overflow-x: auto; }
  .report p > img { max-width: none; width: 42rem; }
}
@media print { .report th button::after { content: none; } .report img, .report tr { break-inside: avoid; } }
""".strip()

_SCRIPT = """
for (const table of document.querySelectorAll(".report table")) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    const key = (row) => {
      const text = row.cells[column].textContent.trim().replace("\\u2212", "-");
      const number = parseFloat(text);
      return Number.isNaN(number) ? text : number;
    };
    button.onclick = () => {
      const sign = head.ariaSort === "descending" ? 1 : -1;
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        if (typeof x === typeof y) return sign * (typeof x === "number" ? x - y : x.localeCompare(y));
        return typeof x === "number" ? -1 : 1;
      });
      table.tBodies[0].append(...rows);
    };
  });
}
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((each) => { each.open = true; }));
""".strip()


def to_html(report: TableReport, pictures: Sequence[tuple[str, Path]]) -> str:
    """Returns the whole page.

    Args:
        report: What to say.
        pictures: Captions and files of the figures, which the page holds.
    """
    return page_of(report.title, partial(to_markdown, report), pictures, _OPEN, _runs(report))


def page_of(
    title: str,
    markdown: Callable[[Sequence[tuple[str, str]]], str],
    pictures: Sequence[tuple[str, Path]],
    unfolded: Sequence[str],
    more: str = "",
) -> str:
    """Returns a whole page of a Markdown text.

    Args:
        title: The window's.
        markdown: Gives the text, from captions and names of its pictures.
        pictures: Their captions and files.
        unfolded: Titles of the sections that are shown; the others are folded.
        more: HTML below.
    """
    from markdown_it import MarkdownIt

    names = [(caption, f"picture-{index}") for index, (caption, _) in enumerate(pictures)]
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown(names))
    body = body.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")
    for (_, name), (_, path) in zip(names, pictures, strict=True):
        body = body.replace(f'src="{name}"', f'src="{_inline(path)}"')
    head, *sections = re.split(r"<h2>(.*?)</h2>", body)
    found = zip(sections[::2], sections[1::2], strict=True)
    parts = [head, *(_section(name, text, folded=unescape(name) not in unfolded) for name, text in found), more]
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escape(title)}</title>\n<style>\n{_STYLE}\n</style>\n</head>",
            f'<body>\n<main class="report">\n{"".join(parts)}</main>',
            f"<script>\n{_SCRIPT}\n</script>\n</body>\n</html>\n",
        ]
    )


def _section(title: str, body: str, *, folded: bool) -> str:
    if not folded:
        return f"<section>\n<h2>{title}</h2>{body}</section>\n"
    return f"<details>\n<summary>{title}</summary>{body}</details>\n"


def _inline(path: Path) -> str:
    content = base64.b64encode(regular_file(path).read_bytes()).decode("ascii")
    return f"data:{_KINDS[path.suffix]};base64,{content}"


def _runs(report: TableReport) -> str:
    """Every seed's numbers, each a link to its run where the tracker has an address."""
    heads = "".join(f"<th>{escape(name)}</th>" for name in ("row", "seed", *(each.title for each in report.metrics)))
    lines = []
    for row in report.ours:
        for run in row.runs:
            if run.status != "finished":
                continue
            numbers = [fraction_text(run.metrics.get(metric.key), metric) for metric in report.metrics]
            cells = [f"<td>{escape(row.name)}</td><td{_NUMBER_CELL}>{run.seed}</td>"]
            cells += [f"<td{_NUMBER_CELL}>{_linked(number, run.url)}</td>" for number in numbers]
            lines.append(f"<tr>{''.join(cells)}</tr>")
    if not lines:
        return ""
    head, body = f"<thead>\n<tr>{heads}</tr>\n</thead>", "\n".join(lines)
    table = f'\n<div class="wide"><table>\n{head}\n<tbody>\n{body}\n</tbody>\n</table></div>\n'
    return _section("Runs", table, folded=True)


def _linked(text: str, url: str | None) -> str:
    if url is None or not url.startswith(("http://", "https://")):
        return escape(text)
    return f'<a href="{escape(url, quote=True)}">{escape(text)}</a>'
