"""Two rows, runs or versions beside each other, against a world whose truth is known."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_world import run, snapshot, table1

from harness.errors import InputError
from harness.report import Side, compare, comparison_markdown, comparison_to_json, write_comparison
from harness.report.compare import unpaired
from harness.report.compare_text import heading, sections
from harness.report.statistics import Chance, Estimate
from harness.track.snapshot import RunRecord, Snapshot
from harness.units import Units, write_units

NAMES = ("row 5", "row 8")
PRECISION = {
    # by row and seed, one value for each of four queries
    ("5", 0): [0.1, 0.2, 0.9, 1.0],
    ("5", 1): [0.3, 0.2, 0.7, 1.0],
    ("8", 0): [0.7, 0.2, 0.6, 1.0],
    ("8", 1): [0.7, 0.2, 0.8, 1.0],
}


def measured(
    folder: Path,
    row: str,
    seed: int,
    precision: list[float],
    ids: tuple[str, ...] = tuple("abcd"),
    source: str = "",
    **changes: Any,
) -> RunRecord:
    place = folder / f"{row}-{seed}-{len(list(folder.iterdir()))}"
    place.mkdir(parents=True)
    values = np.array(precision)
    write_units(place, Units({"mAP": values}, np.array(ids), np.arange(len(ids)), "queries", "identities", source))
    metrics = {"mAP": float(values.mean()), "seconds": 3600.0 if row == "5" else 5400.0}
    return run(row, seed, metrics, artifacts=place, **changes)


def declared() -> dict[str, Any]:
    """Table 1 whose rows have recipes; row 8 switches the attention constraint on."""
    table = table1()
    for row in table["rows"]:
        row["recipe"] = {"epochs": 3, "losses": {"sac": row["id"] == "8", "quadruplet": True}}
    return table


@pytest.fixture
def runs(tmp_path: Path) -> list[RunRecord]:
    (tmp_path / "runs").mkdir()
    return [measured(tmp_path / "runs", row, seed, values) for (row, seed), values in PRECISION.items()]


@pytest.fixture
def table(runs: list[RunRecord]) -> Snapshot:
    return snapshot(declared(), runs)


def of(table: Snapshot, first: str = "5", second: str = "8", **options: Any) -> Any:
    return compare([(Side.of(first, table, first), Side.of(second, table, second))], NAMES, "c", **options)


def test_a_gain_is_paired_over_seeds_and_queries(table: Snapshot) -> None:
    """Means 0.55, 0.55 of row 5 and 0.625, 0.675 of row 8: gains of 0.075 and 0.125, their mean 0.1."""
    (line,) = of(table).pairs[0].metrics
    assert (line.first.mean, line.second.mean) == pytest.approx((0.55, 0.65))
    assert line.gain.mean == pytest.approx(0.1)
    assert line.gain.sd == pytest.approx(0.05 / 2**0.5)
    assert line.basis.units == 4


def test_units_that_gained_and_lost_are_means_over_the_seeds(table: Snapshot) -> None:
    """Query a: 0.2 → 0.7; c: 0.8 → 0.7; b and d stay."""
    units = of(table).pairs[0].units
    assert units.counts() == (1, 2, 1)
    assert [(units.ids[place], units.gains[place]) for place in units.gained(5)] == [("a", pytest.approx(0.5))]
    assert [(units.ids[place], units.gains[place]) for place in units.lost(5)] == [("c", pytest.approx(-0.1))]


def test_only_settings_that_differ_are_shown_and_costs_are_side_by_side(table: Snapshot) -> None:
    found = comparison_to_json(of(table))
    assert found["pairs"][0]["settings"] == [{"key": "losses.sac", "first": False, "second": True}]
    assert found["pairs"][0]["costs"] == [{"key": "seconds", "first": 3600.0, "second": 5400.0}]
    text = comparison_markdown(of(table))
    assert "| losses.sac | false | true |" in text
    assert "| device time (h) | 1.00 | 1.50 | 1.50 × |" in text
    assert "epochs" not in text


def test_a_lower_error_is_a_gain(table: Snapshot) -> None:
    lower = {**table.declaration["measured"]["mAP"], "better": "lower"}
    changed = replace(table, declaration={**table.declaration, "measured": {"mAP": lower}})
    pair = of(changed).pairs[0]
    assert pair.metrics[0].gain.mean == pytest.approx(-0.1)
    assert pair.units.counts() == (1, 2, 1)
    assert [pair.units.ids[place] for place in pair.units.gained(1)] == ["c"]


def test_mixed_provenance_is_in_the_heading_and_never_within_a_side(table: Snapshot) -> None:
    assert heading(of(table)) == "Both have the same code version, profile and data set."
    other = tuple(
        replace(one, tags={**one.tags, "harness.code_digest": "ffff", "harness.library torch": "3.0"})
        if one.row == "8"
        else one
        for one in table.runs
    )
    found = of(replace(table, runs=other))
    assert heading(found) == "The two differ in code version."
    assert [(fact.name, fact.first, fact.second) for fact in found.facts] == [
        ("code version", "5feceb66ffc8", "ffff"),
        ("library torch", "2.13.0", "3.0"),
    ]
    half = (replace(table.runs[-1], tags={**table.runs[-1].tags, "harness.code_digest": "ffff"}),)
    with pytest.raises(InputError, match=r"runs differ and are not averaged[^$]*code version"):
        of(replace(table, runs=table.runs[:-1] + half))


def test_other_units_are_not_paired_and_the_page_says_so(table: Snapshot, tmp_path: Path) -> None:
    """The third query of row 8 is e instead of c: three are shared, and the two means are independent."""
    others = [
        measured(tmp_path / "runs", "8", seed, PRECISION["8", seed], ("a", "b", "e", "d"), run_id=f"other-{seed}")
        for seed in (0, 1)
    ]
    found = of(replace(table, runs=(*table.runs[:2], *others)))
    (line,) = found.pairs[0].metrics
    assert line.basis is None
    assert line.gain.mean == pytest.approx(0.1)
    width = line.gain.interval[1] - line.gain.mean
    assert width > of(table).pairs[0].metrics[0].gain.interval[1] - 0.1
    assert [str(unit) for unit in found.pairs[0].units.ids] == ["a", "b", "d"]
    text = comparison_markdown(found)
    assert "their difference in mAP is not paired" in text
    assert "3 of 4 queries were measured in all runs of both" in text
    assert "| unpaired |" in text


def test_queries_of_one_name_in_two_test_sets_are_not_paired(table: Snapshot, tmp_path: Path) -> None:
    runs = [
        measured(tmp_path / "runs", row, seed, PRECISION[row, seed], source=source, run_id=f"{source}-{seed}")
        for row, source in (("5", "market"), ("8", "duke"))
        for seed in (0, 1)
    ]
    found = of(replace(table, runs=tuple(runs)))
    assert (found.pairs[0].metrics[0].basis, found.pairs[0].units) == (None, None)
    text = comparison_markdown(found)
    assert "the two were measured on queries of other data, so none is shown" in text
    assert "their difference in mAP is not paired" in text


def test_an_unpaired_difference_adds_the_variances_with_the_fewer_degrees_of_freedom() -> None:
    """Two seeds a side, without units: half-width t(1; 0.975) sqrt(0.0004 + 0.0005) = 12.706 * 0.03."""
    one = Estimate(0.5, 0.028, Chance(2, 0, 0.0004, 0.0), 2)
    two = Estimate(0.6, 0.039, Chance(3, 0, 0.0005, 0.0), 3)
    gain = unpaired(one, two)
    assert gain.interval is not None
    assert gain.interval[1] - gain.mean == pytest.approx(12.7062 * 0.03, rel=1e-3)
    assert unpaired(one, two, sign=-1.0).mean == pytest.approx(-0.1)


def test_without_a_common_seed_two_rows_do_not_compare(table: Snapshot, runs: list[RunRecord]) -> None:
    with pytest.raises(InputError) as raised:
        of(replace(table, runs=(runs[0], runs[3], replace(runs[3], seed=2, run_id="another"))))
    assert str(raised.value) == (
        '"5" and "8" have no finished seed in common (found 0 and 1, 2); expected one, since runs are compared in '
        "pairs of one seed"
    )


def test_two_single_runs_of_other_seeds_compare_without_an_interval(table: Snapshot) -> None:
    sides = Side.of("run a", table, "5", "run-5-0"), Side.of("run b", table, "8", "run-8-1")
    found = compare([sides], ("run a", "run b"), "c")
    (line,) = found.pairs[0].metrics
    assert line.gain is not None
    assert line.gain.mean == pytest.approx(0.675 - 0.55)
    assert line.gain.interval is None
    assert any("single runs under different seeds (0 and 1)" in note for note in found.notes)
    assert any("has no interval" in note for note in found.notes)


def test_a_row_without_results_and_a_metric_that_is_not_measured_are_refused(table: Snapshot) -> None:
    with pytest.raises(InputError, match=r'row "1" has no numbers to compare \(not run\)'):
        Side.of("1", table, "1")
    with pytest.raises(InputError, match='--metric "map": did you mean "mAP"'):
        of(table, metric="map")


def test_versions_show_every_row_and_the_units_of_the_one_that_changed_most(table: Snapshot) -> None:
    """In the old version row 8 was what row 5 is under seed 0: 0.55 under both seeds, now 0.625 and 0.675."""
    eight: dict[str, Any] = {"artifacts": table.runs[0].artifacts, "metrics": table.runs[0].metrics}
    runs = [replace(one, **(eight if one.row == "8" else {})) for one in table.runs]
    old = replace(table, runs=tuple(replace(one, tags={**one.tags, "harness.code_digest": "old"}) for one in runs))
    pairs = [(Side.of(f"{row} at old", old, row), Side.of(f"{row} at new", table, row)) for row in ("5", "8")]
    found = compare(pairs, ("table1 at old", "table1 at new"), "c")
    metrics = sections(found)[0]
    assert [(line[0], line[4]) for line in metrics.lines] == [("5", "0.0"), ("8", "+10.0")]
    assert any(each.text and each.text[0].startswith("Row 8, which changed most") for each in sections(found))


def test_what_is_written_is_one_page_that_fetches_nothing(table: Snapshot, tmp_path: Path) -> None:
    written, lacking = write_comparison(of(table), tmp_path / "out")
    assert lacking == ""
    assert [path.name for path in written] == ["c.md", "c.html", "c-units.svg", "c-units.png"]
    page = written[1].read_text(encoding="utf-8")
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
    assert page.count("data:image/svg+xml") == 1
    assert "![mAP by unit](figures/c-units.svg)" in written[0].read_text(encoding="utf-8")
