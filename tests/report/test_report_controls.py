"""Claims under equal training: the split of a difference by its control, by hand, and how reports show it."""

from pathlib import Path
from typing import Any

import pytest
from report_world import run, snapshot, table1

from harness.report import build_report, report_to_json
from harness.report.markdown import to_markdown
from harness.report.model import TableReport
from harness.report.write import write_report

CLAIM = {"text": "Quadruplet adds", "better": "3", "than": "1", "metric": "mAP", "by": 5.0}
VALUES = {"1": [0.60, 0.61, 0.62], "3": [0.66, 0.68, 0.67], "1 trained as 3": [0.64, 0.65, 0.66]}


def reported(control: dict[str, str], **changes: Any) -> TableReport:
    rows = {row["id"]: row for row in table1()["rows"]}
    added = {**rows["1"], "id": "1 trained as 3", "paper": {}, "control": True}
    declared = table1(
        rows=[rows["1"], rows["3"], added],
        metrics=["mAP"],
        claims=[CLAIM],
        refused=[],
        controls=[{"better": "3", "than": "1", "of": "", "row": "", "reason": "", **control}],
        **changes,
    )
    runs = [run(row, seed, {"mAP": value}) for row, values in VALUES.items() for seed, value in enumerate(values)]
    return build_report(snapshot(declared, runs))


def test_the_difference_is_split_into_equal_training_and_training_alone() -> None:
    # 3 - 1: 6, 7, 5 points. 3 - control: 2, 3, 1. Control - 1: 4, 4, 4.
    (one,) = reported({"of": "1", "row": "1 trained as 3"}).controls
    assert one.whole is not None
    assert one.equal is not None
    assert one.training is not None
    assert [part.mean for part in (one.whole, one.equal, one.training)] == pytest.approx([0.06, 0.02, 0.04])
    # 0.02 with a deviation of 0.01: half-width 4.30265 * 0.01 / sqrt(3) = 0.024841, t = 3.4641, p = 0.0742
    assert one.equal.interval == pytest.approx((0.02 - 0.024841, 0.02 + 0.024841), abs=1e-6)
    assert one.p_holm == pytest.approx(0.0742, abs=1e-4)


def test_a_control_of_the_better_side_is_split_the_other_way() -> None:
    # As if the better row trained less: control - than is what equal training leaves, better - control the rest.
    (one,) = reported({"of": "3", "row": "1 trained as 3"}).controls
    assert one.equal is not None
    assert one.training is not None
    assert (one.equal.mean, one.training.mean) == (pytest.approx(0.04), pytest.approx(0.02))


def test_a_control_is_part_of_no_effect_of_a_factor() -> None:
    report = reported({"of": "1", "row": "1 trained as 3"})
    assert [(line.pair.on, line.pair.off) for line in report.insight.pairs] == [("3", "1")]


def test_every_form_shows_it_and_a_claim_without_a_control_says_why(tmp_path: Path) -> None:
    report = reported({"of": "1", "row": "1 trained as 3"})
    page = to_markdown(report)
    assert "## With equal training" in page
    assert (
        "| Quadruplet adds | 3 vs 1 | mAP | +6.0 [+3.5, +8.5] | +2.0 [−0.5, +4.5] | 0.074 | +4.0 | 1 trained as 3 |"
        in page
    )
    (entry,) = report_to_json(report)["controls"]
    assert (entry["control"], entry["equal_training"]["mean"]) == ("1 trained as 3", pytest.approx(0.02))
    (html,) = [path for path in write_report(report, tmp_path, ("html",)) if path.suffix == ".html"]
    assert "With equal training" in html.read_text()
    without = to_markdown(reported({"reason": "row 1 cannot be trained as 3 is: it trains more"}))
    assert "- Quadruplet adds: row 1 cannot be trained as 3 is: it trains more." in without
