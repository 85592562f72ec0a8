"""A table from Python: planned, run, read back. The toy's values: gain + 0.1 unit + 0.01 seed for units 0 to 3."""

from pathlib import Path
from typing import Any

import pytest
from conftest import working_in

import harness
from harness import Claim, Factor, InputError, Recipe, Row, Table

TOY = Recipe(
    "toy:train",
    settings={"gain": 0.5, "steps": 3, "wide": False},
    metrics={"score": {"title": "Score"}, "loss": {"title": "Loss", "better": "lower"}},
    factors={"Gain": Factor(levels={"more": {"gain": 0.7}, "most": {"gain": 0.9}}), "Wide": Factor({"wide": True})},
)
ROWS = [Row("plain", []), Row("more", ["Gain=more"]), Row("most", {"Gain": "most", "Wide": False})]


def declare(**changes: Any) -> Table:
    declared: dict[str, Any] = {
        "title": "A toy",
        "recipe": TOY,
        "seeds": [0, 1],
        "metrics": ["score", "loss"],
        "rows": ROWS,
        "claims": [Claim("more is more", better="more", than="plain", metric="score")],
        **changes,
    }
    return Table.declare("toy", **declared)


@pytest.fixture(scope="module")
def filled(common_place: Path) -> None:
    with working_in(common_place):
        ended = declare().run(executor="inprocess", progress=False, formats=())
    assert (ended.trained, ended.failed, ended.undelivered) == (6, [], "")


@pytest.fixture
def table(filled: None, in_common_place: Path) -> Table:
    """The table that was filled once for all tests that only read it."""
    return declare()


def test_results_have_a_line_for_each_row_seed_and_metric_with_the_factors_as_columns(table: Table) -> None:
    results = table.results()
    assert list(results.columns) == ["row", "seed", "Gain", "metric", "value"]
    assert len(results) == 3 * 2 * 2
    (line,) = results[(results.row == "more") & (results.seed == 1) & (results.metric == "score")].to_dict("records")
    assert line["Gain"] == "more"
    assert line["value"] == pytest.approx(0.7 + 0.15 + 0.01)  # gain, the mean of 0, 0.1, 0.2 and 0.3, the seed


def test_units_have_their_ids_and_groups(table: Table) -> None:
    units = table.units("score")
    of_one = units[(units.row == "plain") & (units.seed == 0)]
    assert of_one.unit.tolist() == ["a", "b", "c", "d"]
    assert of_one.group.tolist() == [0, 0, 1, 1]
    assert of_one.value.tolist() == pytest.approx([0.5, 0.6, 0.7, 0.8])
    with pytest.raises(InputError, match=r'"scor" is not measured here; did you mean "score"'):
        table.units("scor")


def test_effects_and_claims_are_frames(table: Table) -> None:
    effects = table.effects()
    pairs = effects[(effects.kind == "pair") & (effects.metric == "score")]
    assert dict(zip(pairs.effect, pairs.gain.round(6), strict=True)) == {
        "Gain=more": 0.2,
        "Gain=most": 0.4,
        "Gain=most vs more": 0.2,
    }
    (claim,) = table.claims().to_dict("records")
    assert (claim["text"], claim["gain"]) == ("more is more", pytest.approx(0.2))


def test_a_row_gives_its_settings_its_folder_and_what_the_trainer_loads(table: Table) -> None:
    row = table["most"]
    assert row.settings.model_dump() == {"gain": 0.9, "steps": 3, "wide": False}
    assert row.factors == {"Gain": "most", "Wide": False}
    assert (row.load(seed=1) / "began_at").read_text() == "0"
    assert row.load() == row.folders(seed=0)[-1] / "files"
    with pytest.raises(InputError, match=r'row "most" has no result under seed 7; run it first'):
        row.load(seed=7)
    with pytest.raises(InputError, match=r'"mots" is not a row of toy; did you mean "most"\?'):
        table["mots"]


def test_a_second_run_trains_nothing_and_the_plan_knows_it(table: Table) -> None:
    assert repr(table.plan(progress=False)) == "PlanView(toy: 3 rows, 0 of 6 stages to run)"
    plan = table.plan(rows=["more"], seeds=[5], progress=False)
    assert (plan.to_run, plan.rows.id.tolist(), plan.stages.seeds.tolist()) == (1, ["more"], [[5]])
    assert "toy: 1 rows" in plan._repr_html_()
    assert table.run(executor="inprocess", progress=False, formats=()).trained == 0


def test_the_report_shows_itself_with_its_figures_inside(table: Table) -> None:
    report = table.report()
    assert "| more | more |" in report.markdown
    page = report._repr_html_()
    assert "<table>" in page
    assert 'src="data:image/svg+xml;base64,' in page
    assert 'src="figures' not in page
    written = report.write("out", ("md", "csv"))
    assert [path.name for path in written] == ["toy.md", "toy.csv"]
    with pytest.raises(InputError, match='--format "pdf"'):
        report.write("out", ("pdf",))


def test_rows_without_a_common_seed_are_reported_without_a_gain(folder: Path) -> None:
    table = declare(rows=ROWS[:2], claims=[])
    for row, seeds in (("plain", [0, 1]), ("more", [2])):
        ended = table.run(rows=[row], seeds=seeds, executor="inprocess", progress=False, formats=(), out=folder / "out")
        assert ended.failed == []
    assert table.results().groupby("row").size().to_dict() == {"plain": 4, "more": 2}  # two metrics a seed
    assert "| Gain=more" in (folder / "out" / "toy.md").read_text()


def test_events_reach_the_callback(folder: Path) -> None:
    seen: list[str] = []
    declare().run(executor="inprocess", progress=False, formats=(), on_event=lambda event: seen.append(event.kind))
    assert seen.count("succeeded") == 6
    assert "progress" in seen


def test_two_tables_are_open_at_once(folder: Path) -> None:
    first, second = declare(), Table.declare("other", title="T", recipe=TOY, seeds=[3], metrics=["loss"], rows=ROWS[:1])
    for table in (first, second):
        table.run(executor="inprocess", progress=False, formats=())
    assert (len(first.results()), len(second.results())) == (12, 2)


def test_an_interrupted_run_leaves_a_table_that_goes_on(folder: Path) -> None:
    (folder / "die").touch()  # the toy raises KeyboardInterrupt behind its second step, as Ctrl-C in a notebook does
    table = declare()
    with pytest.raises(KeyboardInterrupt):
        table.run(executor="inprocess", progress=False, formats=())
    (folder / "die").unlink()
    assert table.run(executor="inprocess", progress=False, formats=()).failed == []
    assert (table["plain"].load(seed=0) / "began_at").read_text() == "2"


def test_nothing_has_run_is_a_sentence(folder: Path) -> None:
    with pytest.raises(InputError):
        declare().results()


def test_the_public_names_are_those_of_the_package() -> None:
    assert set(dir(harness)) == set(harness.__all__)
    for name in harness.__all__:
        assert getattr(harness, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Tabel'"):
        harness.Tabel  # noqa: B018
