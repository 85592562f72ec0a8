"""The page to send: whole in one file, every text as it was written, sorted by a click in a real browser."""

import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from report_world import snapshot, table1, table1_runs

from harness.report import build_report, write_report
from harness.report.page import to_html

NASTY = '<script>alert("x")</script> & "quoted" </style> | *stars*'


class Page(HTMLParser):
    """Collects a page's tags, its addresses, and its texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href", "action", "data", "srcset"}]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture
def runs(tmp_path: Path) -> list[Any]:
    return table1_runs(tmp_path / "runs", seeds=(0, 1), identities=8)


def test_the_page_fetches_nothing(runs: list[Any], tmp_path: Path) -> None:
    (written,) = write_report(build_report(snapshot(table1(), runs)), tmp_path, ("html",))
    page = Page(written.read_text(encoding="utf-8"))
    assert page.tags.count("img") >= 4
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert "link" not in page.tags
    assert not (tmp_path / "figures").exists()  # its figures are inside


def test_the_page_says_what_the_markdown_says_and_folds_the_details(runs: list[Any], tmp_path: Path) -> None:
    report = build_report(snapshot(table1(), runs))
    html, markdown = write_report(report, tmp_path, ("html", "md"))[::-1]
    page = Page(html.read_text(encoding="utf-8"))
    headings = re.findall(r"^## (.*)$", markdown.read_text(encoding="utf-8"), flags=re.M)
    texts = [text.strip() for text in page.texts]
    assert all(heading in texts for heading in headings if heading != "Figures")
    assert page.tags.count("details") >= 3
    assert texts.index("Claims") < texts.index("Provenance")


def test_a_text_of_the_users_is_never_markup(runs: list[Any]) -> None:
    declared = table1(title=NASTY, notes=[NASTY])
    page = Page(to_html(build_report(snapshot(declared, runs)), ()))
    assert page.tags.count("script") == 1  # the page's own
    assert "".join(page.texts).count('<script>alert("x")</script>') >= 2


def test_every_seeds_numbers_link_to_its_run_where_the_tracker_has_an_address(runs: list[Any]) -> None:
    served = [replace(run, url=f"https://tracker.example/run?a=1&b={run.run_id}") for run in runs]
    page = Page(to_html(build_report(snapshot(table1(), served)), ()))
    for run in served:
        assert page.addresses.count(run.url) >= 2  # mAP and Rank-1, beside what the Markdown links
    linked = replace(runs[0], url='javascript:alert("x")')
    assert Page(to_html(build_report(snapshot(table1(), [linked, *runs[1:]])), ())).addresses == []


@pytest.mark.skipif(shutil.which("chromium") is None, reason="Chromium is not installed")
def test_a_click_on_a_head_sorts_the_rows_by_its_numbers(runs: list[Any], tmp_path: Path) -> None:
    report = build_report(snapshot(table1(), runs))
    text = to_html(report, ())
    heads = [each.title for each in report.metrics]
    click = (
        "<script>[...document.querySelectorAll('.report th button')]"
        f".find((each) => each.textContent.includes('{heads[0]} ours')).click()</script></body>"
    )
    (tmp_path / "page.html").write_text(text.replace("</body>", click), encoding="utf-8")
    words = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", str(tmp_path / "page.html")]
    dom = subprocess.run(words, capture_output=True, text=True, check=True, timeout=900).stdout
    first_table = dom[dom.index("<tbody>") : dom.index("</tbody>")]
    shown = re.findall(r"<tr>\s*<td[^>]*>([^<]*)</td>", first_table)
    means = {row.name: row.cells[report.metrics[0].key].measured for row in report.ours}
    assert shown == sorted(shown, key=lambda name: -round(means[name].mean, 3))  # as printed: 0.1 %
    assert 'aria-sort="descending"' in dom
