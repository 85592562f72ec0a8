"""Where the variance comes from: components by hand, from a known truth, and in every form of a report."""

import json
from pathlib import Path

import numpy as np
import pytest
from report_world import run, snapshot, table1, table1_runs

from harness.report import build_report, report_to_json
from harness.report.markdown import to_markdown
from harness.report.sources import Components, components
from harness.report.statistics import estimate
from harness.report.write import write_report


def test_components_by_hand() -> None:
    # [[1, 2, 6], [3, 4, 2]]: grand mean 3, seeds' means 3 and 3, units' means 2, 3, 4.
    # A = 0; B = 2 (1 + 0 + 1) / 2 = 2; the rest is (-1, -1, 2) and (1, 1, -2), so E = 12 / 2 = 6.
    # [[0, 2, 4], [6, 8, 10]]: seeds' means 2 and 8, units' 3, 5, 7.
    # A = 3 (9 + 9) / 1 = 54; B = 2 (4 + 0 + 4) / 2 = 8; E = 0.
    # Averages: A = 27, B = 5, E = 3. Seed (27 - 3) / 3 = 8, unit (5 - 3) / 2 = 1, both 3.
    first, second = np.array([[1.0, 2, 6], [3, 4, 2]]), np.array([[0.0, 2, 4], [6, 8, 10]])
    found = components([first, second])
    assert found == Components(pytest.approx(8.0), pytest.approx(1.0), pytest.approx(3.0), 2, 3)
    # Of the mean: 8 / 2 = 4, 1 / 3, 3 / 6 = 0.5: shares of 4.8333.
    assert found is not None
    assert found.shares == pytest.approx((4 / (29 / 6), (1 / 3) / (29 / 6), 0.5 / (29 / 6)))
    alone = components([first])
    assert alone is not None
    assert (alone.seed, alone.unit, alone.both) == (0.0, 0.0, 6.0)  # negative estimates are 0


def test_nothing_varies_and_seeds_that_agree_to_rounding_have_no_share() -> None:
    assert components([np.full((3, 4), 0.1 + 0.2)]) is None
    answers = np.random.default_rng(0).random(50)
    found = components([np.stack([answers, answers * (1 + 1e-16), answers])])
    assert found is not None
    assert found.shares == (0.0, 1.0, 0.0)


@pytest.mark.parametrize("truth", [(1.0, 4.0, 9.0), (4.0, 0.0, 1.0), (0.0, 2.0, 3.0)])
def test_components_of_a_known_truth_are_found(truth: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(7)
    rows, seeds, units = 400, 3, 60
    seed, unit, both = (np.sqrt(part) for part in truth)
    tables = [
        seed * rng.standard_normal((seeds, 1))
        + unit * rng.standard_normal(units)
        + both * rng.standard_normal((seeds, units))
        for _ in range(rows)
    ]
    found = components(tables)
    assert found is not None
    # 800 degrees of freedom for seeds: a standard error of sqrt(2 / 800) = 5 % of var(a) + var(e) / 60.
    assert found.seed == pytest.approx(truth[0], abs=0.2 * truth[0] + 0.01)
    assert found.unit == pytest.approx(truth[1], abs=0.05 * truth[1] + 0.01)
    assert found.both == pytest.approx(truth[2], rel=0.02)


def test_the_half_width_is_that_of_the_intervals_and_more_of_the_larger_part_narrows_it() -> None:
    table = np.array([[0.50, 0.61, 0.72, 0.55], [0.52, 0.66, 0.70, 0.61], [0.57, 0.60, 0.79, 0.60]])
    found, whole = components([table]), estimate(table.mean(axis=1), table)
    assert found is not None
    assert whole.interval is not None
    assert found.half_width() == pytest.approx((whole.interval[1] - whole.interval[0]) / 2)
    of_seeds = Components(seed=1.0, unit=1.0, both=1.0, seeds=10, units=1000)
    assert of_seeds.half_width(seeds=2) < of_seeds.half_width(units=2) < of_seeds.half_width()
    of_units = Components(seed=0.01, unit=100.0, both=1.0, seeds=10, units=50)
    assert of_units.half_width(units=2) < of_units.half_width(seeds=2) < of_units.half_width()


def test_reports_show_it_for_rows_and_for_paired_differences(tmp_path: Path) -> None:
    runs = table1_runs(tmp_path / "runs")
    report = build_report(snapshot(table1(), runs))
    found = {(one.metric, one.subject): one for one in report.sources}
    assert set(found) == {(metric, of) for metric in ("mAP", "rank1") for of in ("rows", "comparisons")}
    rows, compared = found["mAP", "rows"], found["mAP", "comparisons"]
    assert (rows.among, rows.components.seeds, rows.components.units, rows.unit) == (9, 3, 60, "identities")
    assert rows.components.shares[1] > compared.components.shares[1]  # what is asked cancels in pairs
    assert rows.next == "units"
    page = to_markdown(report)
    assert "## Where the variance comes from" in page
    assert "9 rows (3 seeds, 60 identities)" in page
    entry = report_to_json(report)["variance"][0]
    assert sum(entry["shares"].values()) == pytest.approx(1.0)
    assert entry["half_width_with_twice_the_units"] < entry["half_width"]
    json.dumps(entry, allow_nan=False)
    (html,) = [path for path in write_report(report, tmp_path / "out", ("html",)) if path.suffix == ".html"]
    assert "<summary>Where the variance comes from</summary>" in html.read_text()


def test_without_values_by_unit_there_is_no_such_section() -> None:
    runs = [run(row, seed, {"mAP": 0.6 + seed / 100, "rank1": 0.7}) for row in "18" for seed in range(3)]
    report = build_report(snapshot(table1(), runs))
    assert report.sources == ()
    assert "Where the variance" not in to_markdown(report)
