"""The model of a report and its verdicts, checked on small tables computed by hand."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_world import run, snapshot, table1, table1_runs

from harness.errors import InputError
from harness.report import build_report, write_report
from harness.report.markdown import to_markdown
from harness.report.model import TableReport
from harness.report.power import Needed, seeds_needed
from harness.report.statistics import Chance
from harness.report.write import TEXTS
from harness.track.snapshot import RunRecord
from harness.units import UNITS, Units, write_units


def small_table(rows: dict[str, list[str]], **changes: Any) -> dict[str, Any]:
    factors = sorted({factor for on in rows.values() for factor in on})
    declared = [
        {"id": row, "label": "", "note": "", "factors": {f: f in on for f in factors}, "paper": {"mAP": 70.0}}
        for row, on in rows.items()
    ]
    return table1(rows=declared, metrics=["mAP"], claims=[], refused=[], **changes)


def runs_of(row: str, values: Sequence[float], metric: str = "mAP") -> list:
    return [run(row, seed, {metric: value}) for seed, value in enumerate(values)]


CLAIM = {"text": "B helps", "better": "b", "than": "a", "metric": "mAP", "by": 3.0}
AB = {"a": ["A"], "b": ["A", "B"]}


def judged(a: Sequence[float], b: Sequence[float], **changes: Any) -> TableReport:
    declaration = {**small_table(AB), "claims": [CLAIM], **changes}
    return build_report(snapshot(declaration, [*runs_of("a", a), *runs_of("b", b)]))


def test_a_rows_mean_spread_interval_and_difference_by_hand() -> None:
    report = build_report(snapshot(small_table({"a": ["A"]}), runs_of("a", [0.71, 0.72, 0.73])))
    cell = report.rows[0].cells["mAP"]
    assert cell.measured is not None
    # mean 0.72, sd 0.01, half-width 4.30265 * 0.01 / sqrt(3) = 0.024841; difference 72 - 70 = 2 points
    assert cell.measured.mean == pytest.approx(0.72)
    assert cell.measured.sd == pytest.approx(0.01)
    assert cell.measured.interval == pytest.approx((0.72 - 0.024841, 0.72 + 0.024841), abs=1e-6)
    assert cell.difference == pytest.approx(0.02)


def test_a_claim_is_reproduced_when_the_paired_interval_lies_above_0() -> None:
    # Differences 0.03, 0.031, 0.032: mean 0.031, sd 0.001, t = 0.031 / (0.001 / sqrt(3)) = 53.7; p(2) = 0.00035
    (claim,) = judged([0.60, 0.70, 0.65], [0.63, 0.731, 0.682]).claims
    assert (claim.verdict, claim.reason, claim.size) == ("reproduced", "", "within")
    assert claim.p_holm == pytest.approx(0.000347, abs=2e-6)
    assert claim.effect_size == pytest.approx(31 / math.sqrt(math.pi))  # J(2) = 1 / Gamma(1/2)


def test_a_claim_is_contradicted_when_the_interval_lies_below_0() -> None:
    report = judged([0.63, 0.731, 0.682], [0.60, 0.70, 0.65])
    assert report.claims[0].verdict == "contradicted"
    assert report.has_contradiction()


def test_a_claim_that_is_wrong_at_95_but_not_at_98_percent_is_not_contradicted() -> None:
    # Differences -0.007, -0.01, -0.013: t = 0.01 / (0.003 / sqrt(3)) = 5.77 and p(2) = 0.0287; 98 % asks for 6.96.
    against = [0.593, 0.59, 0.587]
    report = judged([0.6, 0.6, 0.6], against)
    assert report.claims[0].p_holm == pytest.approx(0.0287, abs=1e-4)
    assert (report.claims[0].verdict, report.claims[0].reason) == ("inconclusive", "against the claim, but not at 98 %")
    assert not report.has_contradiction()
    assert judged(against, [0.6, 0.6, 0.6]).claims[0].verdict == "reproduced"


def test_a_claim_is_inconclusive_when_0_lies_within_the_interval_and_the_needed_seeds_are_given() -> None:
    # Differences 0.01, 0.03, -0.01: mean 0.01, sd 0.02: an effect of half a deviation takes 34 seeds (textbook).
    (claim,) = judged([0.6, 0.6, 0.6], [0.61, 0.63, 0.59]).claims
    assert claim.verdict == "inconclusive"
    # t = 0.866: the noncentral t(2) of 2.15 lies below it with 10 %, which are 1.24 deviations and 8 seeds. At the
    # other end there may be no difference at all.
    assert (claim.needed.least, claim.needed.most) == (8, None)
    # The claimed 0.03 is known; the variance 0.02^2 may be 2 / 4.605 to 2 / 0.211 times that (chi2 of 2).
    assert claim.needed_as_claimed == Needed(
        seeds_needed(Chance(3, 0, 0.02**2 / 3 * 2 / 4.605, 0.0), 0.03),
        seeds_needed(Chance(3, 0, 0.02**2 / 3 * 2 / 0.2107, 0.0), 0.03),
    )


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        ([0.6], [0.7], "one seed: the seed's variance is unknown"),
        ([0.6, 0.6], [0.7, 0.7], "all seeds agree exactly, so there is no interval"),
        ([], [0.7, 0.8], 'no mAP of row "a"'),
    ],
)
def test_a_claim_without_an_interval_is_inconclusive_and_says_why(a: list, b: list, reason: str) -> None:
    (claim,) = judged(a, b).claims
    assert (claim.verdict, claim.reason) == ("inconclusive", reason)


def test_rows_are_paired_over_the_seeds_that_both_have() -> None:
    runs = [run("a", 0, {"mAP": 0.6}), run("a", 1, {"mAP": 0.9}), run("b", 1, {"mAP": 0.8}), run("b", 2, {"mAP": 0.7})]
    report = build_report(snapshot({**small_table(AB), "claims": [CLAIM]}, runs))
    measured = report.claims[0].measured
    assert measured is not None
    assert (measured.seeds, measured.mean) == (1, pytest.approx(-0.1))
    alone = [run("a", 0, {"mAP": 0.6}), run("b", 1, {"mAP": 0.8})]
    report = build_report(snapshot({**small_table(AB), "claims": [CLAIM]}, alone))
    assert report.claims[0].reason == "rows b and a have no seed in common"


def test_a_lower_error_is_better_in_marks_claims_and_effects() -> None:
    rows = {"a": [], "b": ["B"], "c": ["C"]}
    declaration = {**small_table(rows), "metrics": ["error"], "claims": [{**CLAIM, "metric": "error", "by": 0.27}]}
    values = {"a": [0.22, 0.221], "b": [0.21, 0.2112], "c": [0.25, 0.25]}
    runs = [one for row, numbers in values.items() for one in runs_of(row, numbers, "error")]
    report = build_report(snapshot(declaration, runs))
    assert [row.cells["error"].place for row in report.rows] == [2, 1, None]
    assert report.claims[0].measured is not None
    assert report.claims[0].measured.mean == pytest.approx(0.0099)
    assert {line.pair.factor: line.gains["error"].estimate.mean for line in report.insight.pairs} == pytest.approx(
        {"B": 0.0099, "C": -0.0295}
    )


def test_claims_on_synthetic_data_are_not_comparable_yet_measured_and_the_paper_is_not_compared() -> None:
    declaration = {**small_table(AB), "claims": [CLAIM]}
    runs = [*runs_of("a", [0.63, 0.731, 0.682]), *runs_of("b", [0.60, 0.70, 0.65])]
    report = build_report(snapshot(declaration, runs, synthetic="true"))
    (claim,) = report.claims
    assert (claim.verdict, claim.reason) == ("not comparable", "synthetic data")
    assert claim.measured is not None
    assert claim.measured.mean == pytest.approx(-0.031)
    assert not report.has_contradiction()
    assert all(row.cells["mAP"].difference is None for row in report.rows)


def test_another_profile_does_not_compare_with_the_paper() -> None:
    report = judged([0.6, 0.7], [0.7, 0.8], profile="demo")
    assert report.claims[0].reason == "profile demo, not paper"


def test_a_true_claim_is_rarely_contradicted_in_a_table_of_many_claims() -> None:
    """Eight claims, each barely true (by 0.05 of the deviation between seeds)."""
    tables = 200
    rng = np.random.default_rng(0)
    rows = {str(index): [f"F{index}"] for index in range(9)}
    claims = [{**CLAIM, "better": str(index), "than": "0"} for index in range(1, 9)]
    declaration = {**small_table(rows), "claims": claims}
    contradicted = 0
    for _ in range(tables):
        runs = [
            run(row, seed, {"mAP": 0.7 + 0.001 * (row != "0") + rng.normal(0, 0.02)})
            for row in rows
            for seed in range(3)
        ]
        contradicted += build_report(snapshot(declaration, runs)).has_contradiction()
    # 2.5 % of 200 is 5; 3 standard errors of such a count are 6.6.
    assert contradicted <= 11


def test_failed_missing_and_running_cells_show_their_reason() -> None:
    rows = {"a": ["A"], "b": ["B"], "c": ["C"]}
    runs = [
        *runs_of("a", [0.7]),
        run("a", 1, {}, status="failed", reason="out of memory\nat batch 128"),
        run("b", 0, {}, status="failed", reason="loss is not finite"),
        run("b", 1, {}, status="failed", reason="loss is not finite"),
        run("c", 0, {}, status="running"),
    ]
    report = build_report(snapshot(small_table(rows, seeds=[0, 1]), runs))
    found = [(row.seeds_done, row.seeds_planned, row.state, row.problems) for row in report.rows]
    assert found == [
        (1, 2, "", ("seed 1 failed: out of memory at batch 128",)),
        (0, 2, "failed", ("seeds 0, 1 failed: loss is not finite",)),
        (0, 2, "running", ("seed 0 running", "seed 1 not run")),
    ]


def test_cited_methods_are_ranked_with_ours_where_they_are_comparable() -> None:
    cited = [
        {"method": "HAN", "values": {"mAP": 75.7}, "note": ""},
        {"method": "DML", "values": {"mAP": 68.8}, "note": ""},
    ]
    declaration = {**small_table({"Ours": ["A"]}), "cited": cited}
    report = build_report(snapshot(declaration, runs_of("Ours", [0.72, 0.73])))
    assert [(row.id, row.rank, row.cells["mAP"].place) for row in report.rows] == [
        ("DML", 3, None),
        ("Ours", 2, 2),
        ("HAN", 1, 1),
    ]
    apart = build_report(snapshot(declaration, runs_of("Ours", [0.72, 0.73]), synthetic="true"))
    assert [(row.id, row.rank, row.cells["mAP"].place) for row in apart.rows] == [
        ("HAN", None, None),
        ("DML", None, None),
        ("Ours", None, None),
    ]


@pytest.mark.parametrize(
    ("key", "name"),
    [("code_digest", "code version"), ("dataset_fingerprint", "fingerprint of the data"), ("profile", "profile")],
)
def test_runs_that_differ_are_never_averaged_and_the_error_says_which_differ_in_what(key: str, name: str) -> None:
    runs = runs_of("a", [0.7, 0.8])
    runs[1] = replace(runs[1], tags={**runs[1].tags, f"harness.{key}": "other"})
    with pytest.raises(InputError) as refused:
        build_report(snapshot(small_table({"a": ["A"]}), runs))
    assert f"{name} ({key})" in str(refused.value)
    assert 'other: rows "a" seed 1' in str(refused.value)


def test_failed_runs_of_other_code_do_not_prevent_a_report() -> None:
    runs = [*runs_of("a", [0.7]), run("a", 1, {}, status="failed", tags={"harness.code_digest": "other"})]
    assert build_report(snapshot(small_table({"a": ["A"]}), runs)).rows[0].seeds_done == 1


def test_intervals_use_results_by_query_grouped_by_identity_where_runs_kept_them(tmp_path: Path) -> None:
    runs = table1_runs(tmp_path)
    measured = build_report(snapshot(table1(), runs)).rows[0].cells["mAP"].measured
    assert measured is not None
    assert measured.chance is not None
    assert measured.chance.units == 60
    assert measured.interval is not None
    assert measured.interval_this_test_set is not None
    wide, narrow = (high - low for low, high in (measured.interval, measured.interval_this_test_set))
    assert wide > narrow


def test_pairing_over_queries_cancels_what_makes_queries_hard(tmp_path: Path) -> None:
    report = build_report(snapshot(table1(), table1_runs(tmp_path)))
    claim = next(claim for claim in report.claims if claim.than == "2")
    better, than = (next(row for row in report.rows if row.id == id_) for id_ in ("1", "2"))

    def width(interval: tuple[float, float] | None) -> float:
        assert interval is not None
        return interval[1] - interval[0]

    assert claim.measured is not None
    for row in (better, than):
        measured = row.cells["mAP"].measured
        assert measured is not None
        assert width(claim.measured.interval) < width(measured.interval) / 2


def queries(
    folder: Path,
    precision: Sequence[float],
    groups: Sequence[int] | None = None,
    ids: Sequence[int] | None = None,
    source: str = "",
) -> Path:
    folder.mkdir()
    numbers = np.arange(len(precision))
    known, drawn = (numbers if given is None else np.array(given) for given in (ids, groups))
    write_units(folder, Units({"mAP": np.array(precision)}, known, drawn, "queries", "identities", source))
    return folder


def test_identities_are_weighted_by_their_queries(tmp_path: Path) -> None:
    ids = [7, 7, 7, 9]
    runs = [
        run("a", 0, {"mAP": 0.5}, artifacts=queries(tmp_path / "0", [0.2, 0.4, 0.6, 0.8], ids)),
        run("a", 1, {"mAP": 0.6}, artifacts=queries(tmp_path / "1", [0.4, 0.4, 0.8, 0.8], ids)),
    ]
    measured = build_report(snapshot(small_table({"a": ["A"]}), runs)).rows[0].cells["mAP"].measured
    assert measured is not None
    assert measured.chance is not None
    # Identities of 3 and 1 queries, sums 1.2, 0.8 and 1.6, 0.8, grand mean m = 0.55:
    # z = 2/4 (sum - n m) + m: seed 0: 0.5 (1.2 - 1.65) + 0.55 = 0.325, 0.5 (0.8 - 0.55) + 0.55 = 0.675; mean 0.5.
    # seed 1: 0.525, 0.675; mean 0.6. Units' means 0.425, 0.675.
    # A = 2 (0.05^2 + 0.05^2) = 0.01; B = 2 (0.125^2 + 0.125^2) = 0.0625; rest: 0.05^2 * 4 = 0.01; SU = 4.
    assert measured.chance.units == 2
    assert measured.chance.from_seeds == pytest.approx(0.01 / 4)
    assert measured.chance.from_units == pytest.approx((0.0625 - 0.01) / 4)


def test_queries_that_contradict_the_recorded_metric_are_noted_and_not_used(tmp_path: Path) -> None:
    runs = [
        run("a", seed, {"mAP": 0.9 + 0.01 * seed}, artifacts=queries(tmp_path / str(seed), [0.1, 0.2]))
        for seed in range(2)
    ]
    report = build_report(snapshot(small_table({"a": ["A"]}), runs))
    measured = report.rows[0].cells["mAP"].measured
    assert measured is not None
    assert measured.chance is not None
    assert measured.chance.units == 0
    assert any("recorded as 0.900000, but the mean over its queries is 0.150000" in note for note in report.notes)


def test_an_unreadable_file_of_queries_is_noted_and_not_used(tmp_path: Path) -> None:
    (tmp_path / UNITS).write_bytes(b"PK\x03\x04 cut off")
    report = build_report(snapshot(small_table({"a": ["A"]}), [run("a", 0, {"mAP": 0.5}, artifacts=tmp_path)]))
    assert any("cannot be read" in note for note in report.notes)


def of_queries(folder: Path, ids: Mapping[tuple[str, int], Sequence[int]]) -> list[RunRecord]:
    """Runs by row and seed, measured on these queries."""
    return [
        run(row, seed, {"mAP": 0.5 + 0.1 * seed}, artifacts=queries(folder / f"{row}{seed}", values, asked, asked))
        for (row, seed), asked in ids.items()
        for values in ([0.4 + 0.1 * seed, 0.6 + 0.1 * seed],)
    ]


@pytest.mark.parametrize(
    ("of_b", "groups", "difference"),
    [
        ([1, 3], {}, "1 of 2 differ; 2 is only in the first"),
        ([3, 4], {}, "2 of 2 differ; 1 is only in the first"),
        ([1, 2], {"b": [3, 4]}, "1 is of group 1 in the first, 3 in the second"),
        ([1, 2, 5], {}, "2 and 3 of them; 5 is only in the second"),
    ],
)
def test_rows_evaluated_on_different_queries_are_not_compared(
    tmp_path: Path, of_b: list[int], groups: dict[str, list[int]], difference: str
) -> None:
    runs = of_queries(tmp_path, {("a", 0): [1, 2], ("a", 1): [1, 2]})
    for seed in (0, 1):
        place = queries(tmp_path / f"b{seed}", [0.5 + 0.1 * seed] * len(of_b), groups.get("b"), of_b)
        runs.append(run("b", seed, {"mAP": 0.5 + 0.1 * seed}, artifacts=place))
    report = build_report(snapshot({**small_table(AB), "claims": [CLAIM]}, runs))
    assert report.rows[0].cells["mAP"].measured.chance.units == 2
    (claim,) = report.claims
    assert (claim.measured, claim.verdict) == (None, "inconclusive")
    assert claim.reason.startswith('rows "b" and "a" have values of other queries under seed 0 (')
    note = f'rows "a" and "b" have values of other queries under seed 0 ({difference}); they are not compared'
    assert note in report.notes
    assert report.insight.pairs == () or not report.insight.pairs[0].gains


@pytest.mark.parametrize(
    ("sources", "paired"), [(("x", "x"), True), (("x", "y"), False), (("", "y"), True), (("", ""), True)]
)
def test_queries_with_the_same_name_in_two_test_sets_are_different_queries(
    tmp_path: Path, sources: tuple[str, str], paired: bool
) -> None:
    runs = [
        run(row, seed, {"mAP": 0.5}, artifacts=queries(tmp_path / f"{row}{seed}", [0.4, 0.6], None, None, source))
        for row, source in zip("ab", sources, strict=True)
        for seed in (0, 1)
    ]
    report = build_report(snapshot({**small_table(AB), "claims": [CLAIM]}, runs))
    assert (report.claims[0].measured is not None) == paired
    message = (
        'rows "a" and "b" have values of other queries under seed 0 (they are of other data); they are not compared'
    )
    assert (message in report.notes) == (not paired)


def test_no_row_is_the_best_of_two_test_sets_and_their_factorial_has_no_effects(tmp_path: Path) -> None:
    settings = {"a": [], "b": ["A"], "c": ["B"], "d": ["A", "B"]}

    def report_of(name: str, sources: Sequence[str]) -> TableReport:
        runs = [
            run(row, 0, {"mAP": value}, artifacts=queries(tmp_path / f"{name}{row}", [value] * 2, source=source))
            for row, value, source in zip(settings, (0.4, 0.6, 0.5, 0.7), sources, strict=True)
        ]
        return build_report(snapshot(small_table(settings), runs))

    alike, apart = report_of("alike", ["x"] * 4), report_of("apart", ["x", "x", "y", "y"])
    assert [row.cells["mAP"].place for row in alike.rows] == [None, 2, None, 1]
    assert [row.cells["mAP"].place for row in apart.rows] == [None] * 4
    assert "Shapley value" in to_markdown(alike)
    assert "Shapley value" not in to_markdown(apart)


def test_all_rows_of_another_test_set_share_one_note(tmp_path: Path) -> None:
    sources = {"a": "market", "b": "market", "c": "duke", "d": "duke"}
    runs = [
        run(row, 0, {"mAP": 0.5}, artifacts=queries(tmp_path / row, [0.4, 0.6], source=source))
        for row, source in sources.items()
    ]
    report = build_report(snapshot(small_table({row: ["A"] for row in sources}), runs))
    assert [note for note in report.notes if "not compared" in note] == [
        'row "a" and rows "c", "d" have values of other queries under seed 0 (they are of other data); '
        "they are not compared"
    ]


def test_the_order_of_queries_does_not_matter_and_they_may_differ_between_seeds(tmp_path: Path) -> None:
    ids = {("a", 0): [1, 2], ("b", 0): [2, 1], ("a", 1): [3, 4], ("b", 1): [3, 4]}
    report = build_report(snapshot({**small_table(AB), "claims": [CLAIM]}, of_queries(tmp_path, ids)))
    assert not any("not compared" in note for note in report.notes)
    assert report.claims[0].measured.seeds == 2
    assert report.rows[0].cells["mAP"].measured.chance.units == 0  # over seeds alone


def test_notes_of_the_runs_and_about_a_single_seed_are_shown(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("3 of 60 queries have no match and are left out\n")
    runs = [run("a", 0, {"mAP": 0.5}, artifacts=tmp_path)]
    notes = build_report(snapshot(small_table({"a": ["A"]}), runs, dirty="true")).notes
    assert notes == (
        "Rows of one seed: the seed's variance is unknown, so they have no ± and no interval.",
        "The code differed from the commit when these runs were made.",
        "3 of 60 queries have no match and are left out (1 of 1 runs)",
    )


def test_factors_that_cannot_be_distinguished_are_named_with_the_row_to_add() -> None:
    rows = {"a": [], "b": ["DIL", "Multi"]}
    runs = [*runs_of("a", [0.5, 0.6]), *runs_of("b", [0.6, 0.7])]
    report = build_report(snapshot(small_table(rows, rows_to_add=[["DIL"]]), runs))
    assert report.insight.open == ("DIL and Multi cannot be separated: they are on together in every row",)
    assert report.insight.suggestions == (("DIL",),)


def test_a_factor_that_no_row_turns_on_has_no_column(tmp_path: Path) -> None:
    rows = {"a": ["A"], "b": ["A", "B"]}
    declaration = small_table(rows)
    for row in declaration["rows"]:
        row["factors"] = {"Never": False, **row["factors"]}
    taken = snapshot(declaration, runs_of("a", [0.5, 0.6]))
    assert build_report(taken).factors == ("A", "B")
    for path in write_report(build_report(taken), tmp_path, tuple(TEXTS)):
        assert "Never" not in path.read_text() or path.suffix == ".json"


def test_a_table_without_any_finished_run_is_reported_as_such() -> None:
    report = build_report(snapshot(table1(), []))
    assert {row.state for row in report.rows} == {"not run"}
    assert {claim.verdict for claim in report.claims} == {"inconclusive"}
    assert report.insight.pairs == ()


def test_a_claim_and_its_effect_say_how_the_training_of_the_rows_differs() -> None:
    classify = {"name": "classify", "epochs": 150, "budget": {"sampler": {"kind": "shuffled"}}}
    metric = {"name": "metric", "epochs": 150, "budget": {"sampler": {"kind": "identities"}}}
    declaration = {**small_table(AB), "claims": [CLAIM]}
    for row, stages in zip(declaration["rows"], ([classify], [classify, metric]), strict=True):
        row["training"] = stages
    runs = [*runs_of("a", [0.6, 0.7, 0.65]), *runs_of("b", [0.63, 0.731, 0.682])]
    report = build_report(snapshot(declaration, runs))
    also = "also 150 more epochs, stage metric and another sampler"
    assert report.claims[0].also == also
    assert [line.also for line in report.insight.pairs] == [also]
    text = to_markdown(report)
    assert f"the paper's size lies in the interval; {also} |" in text
    assert "| not the factor alone |" in text
    # In a factorial the note is about the factor as a player: here B, with and without C.
    rows = {"-": [], "B": ["B"], "C": ["C"], "BC": ["B", "C"]}
    game = small_table(rows)
    for row in game["rows"]:
        row["training"] = [classify, *[metric] * ("B" in row["id"])]
    runs = [one for index, row in enumerate(rows) for one in runs_of(row, [0.6 + 0.1 * index, 0.61, 0.7])]
    text = to_markdown(build_report(snapshot(game, runs)))
    assert f"- B does not change alone: {also}." in text
    assert "C does not change alone" not in text


@pytest.mark.parametrize("count", [10, 11])
def test_the_report_says_that_each_of_many_levels_is_compared_with_the_first(count: int) -> None:
    levels = [f"v{number}" for number in range(count)]
    rows = [{"id": level, "label": "", "note": "", "factors": {"Value": level}, "paper": {}} for level in levels]
    declared = {**small_table({}), "rows": rows, "levels": {"Value": levels, "Unused": [*levels, "w"]}}
    report = build_report(snapshot(declared, [record for level in levels for record in runs_of(level, [0.7, 0.71])]))
    assert len(report.insight.pairs) == (45 if count == 10 else 10)  # 10 x 9 / 2, and each of ten with the first
    assert report.insight.against_first == (() if count == 10 else ("Value",))
    assert ("levels of Value, each is compared only with the first" in to_markdown(report)) is (count == 11)
