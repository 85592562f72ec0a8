"""Claims against a cited method's published number: a row's interval against a constant."""

from pathlib import Path
from typing import Any

import pytest
from report_world import run, snapshot, table1, table1_runs

from harness.report import build_report, report_to_json
from harness.report.latex import to_latex
from harness.report.markdown import to_markdown
from harness.report.model import TableReport
from harness.report.write import write_report

CLAIM = {"text": "It beats HAN", "better": "8", "than": "HAN", "metric": "mAP", "by": 1.6}


def reported(values: list[float], claim: dict[str, Any], **changes: Any) -> TableReport:
    declared = table1(
        rows=[row for row in table1()["rows"] if row["id"] == "8"],
        metrics=["mAP"],
        claims=[claim],
        refused=[],
        cited=[{"method": "HAN", "values": {"mAP": 63.8}, "note": ""}],
        **changes,
    )
    return build_report(snapshot(declared, [run("8", seed, {"mAP": value}) for seed, value in enumerate(values)]))


def test_the_interval_is_the_rows_own_against_the_constant() -> None:
    # 0.648, 0.658, 0.668 minus 0.638: mean 0.02, sd 0.01, half-width 4.30265 * 0.01 / sqrt(3) = 0.024841
    (claim,) = reported([0.648, 0.658, 0.668], CLAIM).claims
    assert claim.measured is not None
    assert claim.measured.mean == pytest.approx(0.02)
    assert claim.measured.interval == pytest.approx((0.02 - 0.024841, 0.02 + 0.024841), abs=1e-6)
    assert claim.measured.p_value == pytest.approx(0.0742, abs=1e-4)  # t = 0.02 / (0.01 / sqrt(3)) = 3.4641, 2 degrees
    assert (claim.verdict, claim.size, claim.cited, claim.published) == ("inconclusive", "within", "HAN", 0.638)
    assert claim.also == ""


def test_values_by_query_do_not_widen_it_since_the_constant_is_one_of_this_test_set(tmp_path: Path) -> None:
    declared = table1(
        cited=[{"method": "HAN", "values": {"mAP": 75.7}, "note": ""}],
        claims=[CLAIM, {**CLAIM, "text": "8 beats 5", "than": "5"}],
    )
    runs = table1_runs(tmp_path)
    of_cited, of_rows = build_report(snapshot(declared, runs)).claims
    assert of_cited.basis is not None
    assert of_rows.basis is not None
    assert (of_cited.basis.units, of_rows.basis.units) == (0, 60)
    assert of_cited.measured is not None
    assert of_cited.measured.chance is not None
    assert of_cited.measured.chance.from_units == 0.0
    values = [one.metrics["mAP"] for one in runs if one.row == "8"]
    assert of_cited.measured.mean == pytest.approx(sum(values) / len(values) - 0.757)


def test_either_side_may_be_the_cited_one_and_a_lower_error_is_better() -> None:
    backwards = {**CLAIM, "better": "HAN", "than": "8"}
    (claim,) = reported([0.648, 0.658, 0.668], backwards).claims
    assert claim.measured is not None
    assert claim.measured.mean == pytest.approx(-0.02)
    assert claim.measured.interval == pytest.approx((-0.02 - 0.024841, -0.02 + 0.024841), abs=1e-6)
    declared = table1(
        rows=[row for row in table1()["rows"] if row["id"] == "8"],
        metrics=["error"],
        claims=[{**CLAIM, "metric": "error"}],
        refused=[],
        cited=[{"method": "HAN", "values": {"error": 22.0}, "note": ""}],
    )
    runs = [run("8", seed, {"error": value}) for seed, value in enumerate([0.20, 0.205, 0.21])]
    (claim,) = build_report(snapshot(declared, runs)).claims
    assert claim.measured is not None
    assert claim.measured.mean == pytest.approx(0.015)


def test_every_form_of_the_report_names_the_constant_and_the_note(tmp_path: Path) -> None:
    report = reported([0.648, 0.658, 0.668], {**CLAIM, "note": "the scan is damaged here"})
    page = to_markdown(report)
    assert "8 vs HAN (published: 63.8)" in page
    assert "the scan is damaged here; " in page
    assert "the published number is one of this test set, taken as it is" in page
    assert "8 vs HAN (published: 63.8)" in to_latex(report)
    (claim,) = report_to_json(report)["claims"]
    assert (claim["cited"], claim["published"], claim["note"]) == ("HAN", 0.638, "the scan is damaged here")
    (html,) = [path for path in write_report(report, tmp_path, ("html",)) if path.suffix == ".html"]
    assert "8 vs HAN (published: 63.8)" in html.read_text()


def test_without_results_the_row_is_named_alone() -> None:
    (claim,) = reported([], CLAIM).claims
    assert (claim.verdict, claim.reason) == ("inconclusive", 'no mAP of row "8"')
