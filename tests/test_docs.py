"""The pages: they build into a site without a warning, and the README stays short."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_pages_build_into_a_site_without_a_broken_link_or_an_unknown_name(tmp_path: Path) -> None:
    shutil.copy(ROOT / ".docs.yml", tmp_path)
    shutil.copytree(ROOT / "harness", tmp_path / "harness", ignore=shutil.ignore_patterns("__pycache__"))
    words = [sys.executable, "-m", "zensical", "build", "--strict", "-f", ".docs.yml"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    site = tmp_path / ".harness" / "site"
    reference = (site / "reference" / "index.html").read_text(encoding="utf-8")
    assert "harness.Table" in reference
    assert "Trainer" in reference
    assert {path.stem for path in (ROOT / "harness" / "docs").glob("*.md")} - {"index"} == {
        path.parent.name for path in site.glob("*/index.html")
    }


def test_every_file_that_the_readme_links_to_exists() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "harness" / "docs").glob("*.md")):
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_readme_is_read_in_a_few_minutes() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200


def test_the_readmes_sample_shows_the_numbers_of_the_committed_report() -> None:
    """Row, mAP and Rank-1 of Table 1's demo; the report has an interval and the paper's number beside each."""
    shown = re.findall(r"^  (\S+) .*? (\d+\.\d ± \d+\.\d) +(\d+\.\d ± \d+\.\d)$", _text("README.md"), re.MULTILINE)
    ours = r"([0-9.*]+ ± [0-9.]+) \[[^|]*"
    report = re.findall(
        rf"^\| (\S+) \|.*?\| {ours}\| [0-9.]+ \| {ours}\| 3 \|$", _text("reports/table1.md"), re.MULTILINE
    )
    assert len(shown) == 9
    assert shown == [(row, mean_ap.replace("*", ""), rank1.replace("*", "")) for row, mean_ap, rank1 in report]


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")
