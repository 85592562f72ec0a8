"""Tables as papers print them: columns that were asked for, bold, daggers, and a page on which they fit."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_world import run, snapshot, table1, table1_runs
from test_report_latex import NASTY

from harness.errors import InputError
from harness.report import TableReport, build_report
from harness.report.latex_paper import surviving, to_paper, to_paper_pair

PAGE = r"""\documentclass[twocolumn]{article}
\usepackage{booktabs,graphicx}
\begin{document}
%s
\end{document}
"""


def report_of(values: dict[str, list[float]], **changes: Any) -> TableReport:
    """Rows 1, 2, ... with a metric's values by seed."""
    rows = [
        {"id": row, "label": "", "note": "", "factors": {"SAC": index % 2 == 1}, "paper": {"mAP": 70.0 + index}}
        for index, row in enumerate(values)
    ]
    runs = [run(row, seed, {"mAP": value}) for row, each in values.items() for seed, value in enumerate(each)]
    return build_report(snapshot(table1(rows=rows, metrics=["mAP"], claims=[], **changes), runs))


VALUES = {"1": [0.50, 0.51, 0.52], "2": [0.60, 0.61, 0.62], "3": [0.51, 0.53, 0.50]}
"""Row 2 gains 0.1 over row 1 under every seed but for rounding; row 3 gains 0.01, 0.02, -0.02."""


def lines(text: str) -> list[str]:
    body = re.findall(r"\\midrule\n(.*?)\s*\\bottomrule", text, flags=re.S)
    return [line.strip().removeprefix("{}").removesuffix(r"\\").strip() for part in body for line in part.splitlines()]


def test_means_have_their_deviation_the_best_is_bold_and_points_are_aligned() -> None:
    """Standard deviations over three seeds: 0.01, 0.01, and that of 51, 53, 50, which is 1.5."""
    assert lines(to_paper(report_of(VALUES), ["metrics"])) == [
        r"1 & 51 & .0\,\ensuremath{\pm}\,1.0",
        r"2 & \textbf{61} & \textbf{.0}\,\ensuremath{\pm}\,1.0",
        r"3 & 51 & .3\,\ensuremath{\pm}\,1.5",
    ]


def test_a_dagger_is_a_difference_that_survives_holm_and_the_legend_names_the_row() -> None:
    """Against row 1, row 2's gains are 10.1, 10.0, 9.9 points; Holm doubles its p-value, which is far below 0.05."""
    values = {**VALUES, "2": [0.601, 0.61, 0.619]}
    report = report_of(values)
    assert surviving(report, report.metrics, "1") == {("2", "mAP")}
    text = to_paper(report)
    assert [r"^\dagger" in line for line in lines(text)] == [False, True, False]
    assert "differs from row 1 (Holm, p" in text
    against = to_paper(report, against="2")
    assert [r"^\dagger" in line for line in lines(against)][1] is False
    assert "differs from row 2" in against


def test_without_a_surviving_difference_no_dagger_is_explained() -> None:
    assert "dagger" not in to_paper(report_of({"1": [0.5, 0.6, 0.4], "2": [0.55, 0.5, 0.6]}))


def test_columns_are_those_that_were_asked_for() -> None:
    report = report_of(VALUES)
    shown = {
        name: to_paper(report, [name]).partition(r"\toprule")[2].partition(r"\midrule")[0]
        for name in ("SAC", "paper", "seeds", "mAP")
    }
    assert "SAC" in shown["SAC"]
    assert r"{mAP} \\" in shown["paper"]
    assert r"{paper} & \multicolumn{2}{c}{ours}" in shown["paper"]
    assert "Seeds" in shown["seeds"]
    assert not any(word in shown["mAP"] for word in ("SAC", "{paper}", "Seeds"))
    assert lines(to_paper(report, ["seeds"]))[0].endswith("& 3")
    with pytest.raises(InputError, match='--columns "maP": did you mean "mAP"'):
        to_paper(report, ["maP"])
    with pytest.raises(InputError, match='--against "4": expected one of: 1, 2, 3'):
        to_paper(report, against="4")


def test_numbers_that_do_not_compare_stand_beside_none_of_the_papers_unless_asked() -> None:
    report = build_report(snapshot(table1(metrics=["mAP"]), [run("1", 0, {"mAP": 0.5})], synthetic="true"))
    assert report.not_comparable == "synthetic data"
    text = to_paper(report)
    assert "{paper}" not in text
    assert "{paper}" in to_paper(report, ["paper"])
    caption = re.search(r"\\caption\{(.*)\}", text)
    assert caption is not None
    assert caption[1] == "Ablation experiments on Market-1501"
    assert text.splitlines()[1].startswith("% table1: profile paper")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_tables_compile_alone_in_pairs_and_with_any_text(tmp_path: Path) -> None:
    report = build_report(snapshot(table1(), table1_runs(tmp_path / "runs", identities=12)))
    nasty = report_of({word[:40]: [0.5, 0.6] for word in NASTY[:6]}, title=NASTY[0])
    one = to_paper(report, ["factors", "mAP"])
    pair = to_paper_pair([report_of(VALUES), report_of(VALUES, name="other")])
    wide = to_paper_pair([report, report_of(VALUES)])  # with the paper's numbers beside ours, too wide for half a page
    text = "\n\n".join([one, to_paper(report), pair, wide, to_paper(nasty)])
    (tmp_path / "paper.tex").write_text(PAGE.replace("%s", text), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"]
    for _ in range(2):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120, check=False)
    log = (tmp_path / "paper.log").read_text(encoding="latin-1")
    assert done.returncode == 0, log[-3000:]
    assert "Overfull" not in log
    assert "Missing character" not in log
    aux = (tmp_path / "paper.aux").read_text(encoding="latin-1")
    assert aux.count(r"\newlabel{tab:") == 7


def test_a_table_of_six_factors_and_a_metric_fits_one_column(tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    report = build_report(snapshot(table1(), table1_runs(tmp_path / "runs", identities=12)))
    text = to_paper(report, ["factors", "metrics"]) + r"\typeout{FLOAT \harnessfloat}"
    (tmp_path / "paper.tex").write_text(PAGE.replace("%s", text), encoding="utf-8")
    done = subprocess.run(["pdflatex", "-interaction=nonstopmode", "paper.tex"], cwd=tmp_path, capture_output=True)
    assert b"FLOAT table\n" in done.stdout


def test_the_example_of_the_docstring_holds() -> None:
    import doctest

    from harness.report import latex_paper

    found = doctest.testmod(latex_paper)
    assert (found.attempted > 0, found.failed) == (True, 0)


def test_the_means_in_the_file_are_those_of_the_runs() -> None:
    whole, rest = lines(to_paper(report_of(VALUES), ["mAP"]))[2].split(" & ")[1:]
    assert float(whole + rest[:2]) == pytest.approx(100 * np.mean(VALUES["3"]), abs=0.05)
