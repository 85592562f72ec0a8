"""What intervals rest on, and what makes them less sure than they look."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_world import run, snapshot, table1, table1_runs

from harness.report import build_report
from harness.report.basis import Basis
from harness.report.cautions import far_out, grubbs_p
from harness.report.markdown import to_markdown
from harness.report.statistics import estimate, half_widths, variances
from harness.track.snapshot import RunRecord
from harness.units import UNITS, Units, write_units


def rows_table(rows: dict[str, list[str]], **changes: Any) -> dict[str, Any]:
    declared = [
        {"id": row, "label": "", "note": "", "factors": {"A": "A" in on, "B": "B" in on}, "paper": {}}
        for row, on in rows.items()
    ]
    return table1(rows=declared, metrics=["mAP"], refused=[], **{"claims": [], **changes})


def made_runs(
    folder: Path, rows: dict[str, list[float]], identities: int = 30, *, noise: float = 0.01
) -> list[RunRecord]:
    """Runs whose mAP is the mean over one query of each identity."""
    difficulty = np.random.default_rng(0).normal(0, 0.1, identities)
    runs = []
    for index, (row, values) in enumerate(rows.items()):
        for seed, value in enumerate(values):
            own = difficulty + noise * np.random.default_rng([index, seed]).normal(size=identities)
            found = value + own - own.mean()
            place = folder / f"{row}-{seed}"
            place.mkdir(parents=True)
            ids = np.arange(identities)
            write_units(place, Units({"mAP": found}, ids, ids, "queries", "identities"))
            runs.append(run(row, seed, {"mAP": float(found.mean()), "attention_overlap": value}, artifacts=place))
    return runs


AB = {"a": ["A"], "b": ["A", "B"]}
CLAIM = {"text": "B helps", "better": "b", "than": "a", "metric": "mAP", "by": 3.0}
VALUES = {"a": [0.5, 0.51, 0.52], "b": [0.55, 0.56, 0.555]}


def test_a_lost_file_of_values_by_unit_is_named_beside_every_number_that_falls_back_to_seeds(tmp_path: Path) -> None:
    runs = table1_runs(tmp_path)
    (tmp_path / "5-1" / UNITS).unlink()
    report = build_report(snapshot(table1(), runs))
    claim = next(claim for claim in report.claims if claim.better == "8")
    assert claim.basis == Basis((0, 1, 2), lacking='row "5" seed 1 has no values by identities', unit="units")
    text = to_markdown(report)
    assert '- Row 5, mAP and Rank-1: seeds alone, since row "5" seed 1 has no values by identities.' in text
    (line,) = (line for line in text.splitlines() if line.startswith("| SAC helps the full method"))
    assert "| 3 seeds |" in line
    assert 'row "5" seed 1 has no values by identities' in line
    # The pairs 5 vs 4 and 8 vs 5, and all effects of both factorials, which hold row 5.
    assert '- 8 vs 5, mAP and Rank-1: 3 seeds alone, since row "5" seed 1 has no values by identities.' in text
    whole = to_markdown(build_report(snapshot(table1(), table1_runs(tmp_path / "again"))))
    assert "no values" not in whole
    assert "| 3 seeds, 60 identities |" in whole


def test_a_metric_that_no_run_keeps_by_unit_is_said_to_rest_on_seeds_alone_beside_others_that_do_not(
    tmp_path: Path,
) -> None:
    claims = [CLAIM, {**CLAIM, "text": "B looks", "metric": "attention_overlap", "by": None}]
    report = build_report(snapshot(rows_table(AB, claims=claims), made_runs(tmp_path, VALUES)))
    assert [claim.basis for claim in report.claims] == [
        Basis((0, 1, 2), 30, "identities"),
        Basis((0, 1, 2)),
    ]
    text = to_markdown(report)
    assert "the same queries for both rows" not in text
    assert [line.split(" | ")[5] for line in text.splitlines() if line.startswith("| B ")][:2] == [
        "3 seeds, 30 identities",
        "3 seeds",
    ]


def test_seeds_that_are_equal_but_for_rounding_have_no_interval_on_this_test_set(
    tmp_path: Path,
) -> None:
    # 0.1 + 0.2 is 0.30000000000000004: a seed's standard deviation of 2e-17 is rounding.
    found = estimate(np.array([0.1 + 0.2, 0.3]), np.array([[0.1 + 0.2 - 0.1, 0.4], [0.2, 0.4]]))
    assert found.sd == 0.0
    assert found.interval_this_test_set is None
    assert found.interval is not None
    assert found.interval[1] - found.interval[0] > 0.1
    report = build_report(snapshot(rows_table(AB), made_runs(tmp_path, {**VALUES, "a": [0.5] * 3}, noise=0.0)))
    assert report.rows[0].cells["mAP"].measured.interval_this_test_set is None
    assert "mAP of row a is the same under every seed, so its interval is over identities alone." in report.cautions


def test_a_difference_of_equal_results_has_no_variance_whatever_the_size_of_the_results() -> None:
    assert estimate(np.array([2e-17, -1e-17, 0.0]), scale=0.8).interval is None
    assert estimate(np.array([2e-9, -1e-9, 0.0]), scale=0.8).interval is not None


def test_few_identities_are_cautioned_of(tmp_path: Path) -> None:
    few = build_report(snapshot(rows_table(AB), made_runs(tmp_path / "few", VALUES, identities=6)))
    assert few.cautions == (
        "only 6 identities were measured, and intervals over so few cover less than the 95 % that they claim: 88 to 94 "
        "% at 5, 90 to 96 % at 10.",
    )
    assert "- **Caution**: only 6 identities" in to_markdown(few)
    assert build_report(snapshot(rows_table(AB), made_runs(tmp_path / "more", VALUES, identities=20))).cautions == ()


@pytest.mark.parametrize(("units", "least", "most"), [(5, 0.88, 0.94), (10, 0.90, 0.96)])
def test_intervals_over_few_identities_cover_what_the_caution_says(units: int, least: float, most: float) -> None:
    tables = 2000
    x, w = np.polynomial.hermite_e.hermegauss(80)
    for seeds in (3, 10):
        for level in (1.2, 2.5):
            rng = np.random.default_rng([seeds, units, int(10 * level)])
            logit = (
                level + 0.15 * rng.standard_normal((tables, seeds, 1, 1)) + rng.standard_normal((tables, 1, units, 1))
            )
            logit = logit + 0.6 * rng.standard_normal((tables, 1, units, 4))
            precision = 1 / (1 + np.exp(-logit - 0.5 * rng.standard_normal((tables, seeds, units, 4))))
            sd = np.sqrt(0.15**2 + 1 + 0.6**2 + 0.5**2)
            truth = float((w / w.sum()) @ (1 / (1 + np.exp(-(level + sd * x)))))
            for table in (precision.mean(axis=3), (rng.random(precision.shape) < precision).mean(axis=3)):
                from_seeds, from_units = variances(table)
                known = from_seeds + from_units > 0
                half = half_widths(from_seeds[known], from_units[known], seeds, units)
                covered = np.mean(np.abs(table.mean(axis=(1, 2))[known] - truth) <= half)
                assert least - 0.02 < covered < most + 0.02


def test_grubbs_p_value_is_the_probability_of_so_large_a_distance() -> None:
    """Grubbs' published critical values, two-sided at 5 %: 1.1543 for 3, 1.7150 for 5, 2.2900 for 10."""
    for count, critical in ((3, 1.1543), (5, 1.7150), (10, 2.2900)):
        # One value at G standard deviations, the others spread so that the sample's deviation is 1.
        rest = np.random.default_rng(count).normal(size=count - 1)
        rest -= rest.mean()
        left = (count - 1) - critical**2 - critical**2 / (count - 1)
        rest *= np.sqrt(left / np.square(rest).sum())
        values = np.concatenate([rest - critical / (count - 1), [critical]])
        assert values.std(ddof=1) == pytest.approx(1.0)
        assert grubbs_p(values) == pytest.approx(0.05, abs=0.002)


def test_a_seed_that_fails_is_named_with_its_share_of_the_variance() -> None:
    rows = {"a": [0.50, 0.51, 0.52], "b": [0.55, 0.56, 0.05], "c": [0.60, 0.62, 0.61]}
    runs = [run(row, seed, {"mAP": value}) for row, values in rows.items() for seed, value in enumerate(values)]
    report = build_report(snapshot(rows_table({row: [] for row in rows}), runs))
    # b: mean 0.3867; squares 0.0267, 0.0300, 0.1133, of 0.1701 in all: 67 %.
    assert report.cautions == (
        "row b, seed 2 is an outlier: mAP 5.0, the others 55.0 to 56.0. It makes up 67 % of the variance between "
        "seeds, which the interval rests on.",
    )


def test_seeds_that_only_chance_spreads_are_rarely_named() -> None:
    rng = np.random.default_rng(0)
    named = sum(
        far_out(dict(enumerate(rng.normal(0.7, 0.01, seeds))), 0.01) is not None
        for seeds in (3, 5, 10)
        for _ in range(1000)
    )
    assert named / 3000 < 0.002
    failing = sum(
        far_out(dict(enumerate([*rng.normal(0.7, 0.01, seeds - 1), 0.2])), 0.01) is not None
        for seeds in (3, 5, 10)
        for _ in range(200)
    )
    assert failing / 600 > 0.9


def test_failed_runs_are_cautioned_of() -> None:
    runs = [run("a", 0, {"mAP": 0.5}), run("a", 1, {"mAP": 0.52}), run("b", 0, {}, status="failed", reason="nan")]
    report = build_report(snapshot(rows_table(AB, seeds=[0, 1]), runs))
    assert report.cautions == (
        "1 of 4 runs failed. Means and intervals cover those that finished, and say nothing about how often one fails.",
    )


def test_shapley_values_and_interactions_are_corrected_for_all_of_them_together(tmp_path: Path) -> None:
    report = build_report(snapshot(table1(), table1_runs(tmp_path)))
    gains = [gains["mAP"] for game in report.insight.games for _, gains in (*game.values, *game.interactions)]
    assert len(gains) == 6
    raw = sorted(gain.estimate.p_value for gain in gains)
    assert min(gain.p_holm for gain in gains) == pytest.approx(min(1.0, 6 * raw[0]))
    assert all(gain.p_holm >= gain.estimate.p_value for gain in gains)
    assert "corrected for all the effects of all these tables" in to_markdown(report)
