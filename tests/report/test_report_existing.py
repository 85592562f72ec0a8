"""Runs that the harness did not make: the numbers of a table, mistakes by file and line, and what is unknown said."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from report_world import FACTORS, TABLE1, snapshot, table1, table1_runs
from typer.testing import CliRunner

import harness
from harness.api.existing import Columns, snapshot_of_experiment, snapshot_of_file, write_existing
from harness.cli.app import app
from harness.report import build_report
from harness.units import read_units

LAB = """optimiser,augment,seed,acc,loss
sgd,no,0,0.80,0.20
sgd,no,1,0.82,0.18
sgd,no,2,0.84,0.16
adam,yes,0,0.90,0.11
adam,yes,1,0.93,0.09
adam,yes,2,0.96,0.07
"""
LAB_COLUMNS = Columns(["optimiser", "augment"], "seed", ["acc:percent", "loss:lower"])


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    path = tmp_path / "lab.csv"
    path.write_text(LAB)
    return path


def test_the_rows_seeds_and_means_are_those_of_the_file(lab: Path) -> None:
    claims = [{"text": "Adam helps", "better": "optimiser=adam + augment", "than": "optimiser=sgd", "metric": "loss"}]
    report = build_report(snapshot_of_file(lab, LAB_COLUMNS, claims))
    plain, full = report.rows
    assert (plain.id, dict(plain.factors)) == ("optimiser=sgd", {"optimiser": "sgd", "augment": False})
    assert dict(full.factors) == {"optimiser": "adam", "augment": True}
    measured = plain.cells["acc"].measured
    assert measured is not None
    assert measured.mean == pytest.approx(0.82)
    assert measured.sd == pytest.approx(0.02)  # of 0.80, 0.82, 0.84
    # Student's: 4.3027 x 0.02 / sqrt(3) = 0.04968
    assert measured.interval == pytest.approx((0.82 - 0.04968, 0.82 + 0.04968), abs=1e-5)
    (claim,) = report.claims
    assert claim.measured is not None
    # Pairs by seed: 0.20 - 0.11, 0.18 - 0.09, 0.16 - 0.07: three times 0.09, a gain since lower is better.
    assert claim.measured.mean == pytest.approx(0.09)
    assert report.metric_of("loss").decimals == 4  # 0.2000: four significant digits


def test_what_is_unknown_is_said_to_be_unknown(lab: Path) -> None:
    report = build_report(snapshot_of_file(lab, LAB_COLUMNS))
    assert report.heading == "runs from lab.csv; their code and data are unknown"
    assert report.provenance == {"origin": "lab.csv", "dataset": "unknown", "code_digest": "unknown"}
    assert report.not_comparable == ""


def as_frame(runs: list[Any]) -> pd.DataFrame:
    """The runs of a table as a lab might keep them: a line for each run and query."""
    parts = []
    for run in runs:
        units = read_units(run.artifacts / "units.npz")
        on = {factor: factor in TABLE1[run.row][0] for factor in FACTORS}
        parts.append(
            pd.DataFrame({**on, "seed": run.seed, "query": units.ids, "identity": units.groups, **units.values})
        )
    return pd.concat(parts, ignore_index=True)


def test_a_frame_gives_the_estimates_and_effects_of_the_same_runs_in_the_tracker(tmp_path: Path) -> None:
    runs = table1_runs(tmp_path, seeds=(0, 1), identities=12)
    tracked = build_report(snapshot(table1(), runs))
    claimed = {"better": "Softmax + Quadruplet + DIL + SAC + Multi", "than": "Softmax + Quadruplet + DIL + Multi"}
    report = harness.Report.from_frame(
        as_frame(runs),
        factors=FACTORS,
        seed="seed",
        metrics={"mAP": {"unit": "percent"}, "rank1": {"unit": "percent"}},
        units=["query", "identity"],
        claims=[harness.Claim("SAC helps", metric="mAP", **claimed)],
    )
    rows = {" + ".join(on): row for row, (on, *_) in TABLE1.items()}
    assert {row.id for row in report.model.rows} == set(rows)
    theirs = {row.id: row for row in tracked.rows}
    for row in report.model.rows:
        for metric in ("mAP", "rank1"):
            mine, other = row.cells[metric].measured, theirs[rows[row.id]].cells[metric].measured
            assert mine is not None
            assert other is not None
            assert (mine.mean, mine.sd) == pytest.approx((other.mean, other.sd))
            assert mine.interval == pytest.approx(other.interval)
    pairs = {(rows[pair.pair.on], rows[pair.pair.off]): pair.gains["mAP"] for pair in report.model.insight.pairs}
    for pair in tracked.insight.pairs:
        mine_gain = pairs[pair.pair.on, pair.pair.off]
        assert mine_gain.estimate.mean == pytest.approx(pair.gains["mAP"].estimate.mean)
        assert mine_gain.p_holm == pytest.approx(pair.gains["mAP"].p_holm)
    (claim,), other_claim = report.model.claims, tracked.claims[0]
    assert claim.measured is not None
    assert other_claim.measured is not None
    assert claim.measured.interval == pytest.approx(other_claim.measured.interval)
    assert claim.basis is not None
    assert (claim.basis.units, claim.basis.unit) == (12, "identities")
    assert len(report.units("mAP")) == len(runs) * 48
    assert set(report.effects().metric) == {"mAP", "rank1"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("0.84,0.16", "x,0.16"), 'lab.csv:4: acc: found "x", expected a number'),
        (
            ("sgd,no,2", "sgd,no,1"),
            "lab.csv:3 and {folder}/lab.csv:4 are both row optimiser=sgd under seed 1: name the",
        ),
        (("sgd,no,2", "sgd,,2"), "lab.csv:4: augment: found nothing, expected a level (or true or false)"),
        (("sgd,no,2", "sgd,no,two"), 'lab.csv:4: seed: found "two", expected a seed, a whole number from 0'),
        (("sgd,no,2,0.84,", "sgd,no,2,"), "lab.csv:4: found 4 cells, expected the header's 5"),
        (("augment,seed", "augmented,seed"), 'lab.csv: "augment" (factor) is not a column; did you mean "augmented"?'),
        (("acc,loss", "acc,acc"), 'lab.csv:1: two columns are called "acc"'),
    ],
)
def test_a_mistake_is_named_by_file_and_line(lab: Path, change: tuple[str, str], message: str) -> None:
    lab.write_text(LAB.replace(*change))
    with pytest.raises(harness.InputError) as error:
        snapshot_of_file(lab, LAB_COLUMNS)
    assert message.format(folder=lab.parent) in str(error.value)


def test_a_run_without_a_finite_number_counts_in_no_mean_and_is_named(lab: Path) -> None:
    lab.write_text(LAB.replace("0.84,0.16", "nan,0.16").replace("0.82,0.18", ","))
    report = build_report(snapshot_of_file(lab, LAB_COLUMNS))
    plain = report.rows[0]
    assert plain.cells["acc"].by_seed == {0: 0.80}
    assert plain.problems == ("seed 1 failed: it has no acc or loss",)
    assert "acc has no finite number in row optimiser=sgd seed 2, which count in no mean of it." in report.notes


def test_numbers_are_levels_from_the_least_and_one_number_is_one_level(tmp_path: Path) -> None:
    frame = pd.DataFrame({"lr": ["0.1", "0.01", "0.10"], "seed": [0, 0, 1], "acc": [1.0, 2.0, 3.0]})
    report = harness.Report.from_frame(frame, factors=["lr"], seed="seed", metrics=["acc"]).model
    assert [(row.id, row.seeds_done) for row in report.rows] == [("lr=0.01", 1), ("lr=0.1", 2)]


def test_the_command_writes_every_format_and_leaves_the_report_of_other_runs_alone(
    lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(lab.parent)
    Path("reports").mkdir()
    Path("reports/lab.md").write_text("# the lab's table, of the tracker\n")
    Path("claims.yaml").write_text(
        json.dumps(
            {
                "title": "What helped?",
                "metrics": {"acc": {"title": "Accuracy", "unit": "percent", "decimals": 2}},
                "claims": [
                    {
                        "text": "it helps",
                        "better": "optimiser=sgd",
                        "than": "optimiser=adam + augment",
                        "metric": "acc",
                    }
                ],
            }
        )
    )
    words = ["report", "lab.csv", "--factors", "optimiser,augment", "--seed", "seed", "--metric", "acc"]
    ended = CliRunner().invoke(
        app, [*words, "--claims", "claims.yaml", "--format", "md,html,tex,csv,json,svg", "--strict"]
    )
    assert ended.exit_code == 1, ended.output  # the claim is contradicted
    assert "What helped? · runs from lab.csv; their code and data are unknown" in ended.output
    assert "82.00 ± 2.00" in ended.output
    assert Path("reports/lab.md").read_text() == "# the lab's table, of the tracker\n"
    aside = Path(".harness/reports")
    assert {path.name for path in aside.iterdir()} == {
        "figures",
        *(f"lab.{each}" for each in ("md", "html", "tex", "csv", "json")),
    }
    assert json.loads((aside / "lab.json").read_text())["claims"][0]["verdict"] == "contradicted"
    again = CliRunner().invoke(app, [*words, "--out", "elsewhere", "--format", "md"])
    assert again.exit_code == 0
    assert Path("elsewhere/lab.md").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lab.csv", "--seed", "seed", "--metric", "acc"], "lab.csv: expected --factors"),
        (["table1", "--factors", "a"], "--factors a: needs a CSV file or --from-mlflow EXPERIMENT"),
        (["lab.csv", "--from-mlflow", "x"], "--from-mlflow x: found lab.csv as well, expected one of the two"),
    ],
)
def test_options_that_do_not_go_together_are_refused(lab: Path, words: list[str], message: str) -> None:
    ended = CliRunner().invoke(app, ["report", *words])
    assert isinstance(ended.exception, harness.InputError)
    assert message in str(ended.exception)


def test_an_experiment_gives_its_last_runs_and_says_in_what_else_they_differ(
    empty_tracker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    from mlflow import MlflowClient

    shutil.copy(empty_tracker / "mlflow.db", tmp_path)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    client = MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment("spring/lr", artifact_location=(tmp_path / "files").as_uri())
    client.create_run(experiment, start_time=1)  # a parent, with no parameters
    planned = [("0.1", 0, 0.70), ("0.1", 1, 0.72), ("0.01", 0, 0.80), ("0.01", 1, 0.84), ("0.1", 0, 0.74)]
    for place, (rate, seed, value) in enumerate(planned):
        run = client.create_run(experiment, start_time=place + 2, tags={"mlflow.source.git.commit": f"{seed}a" * 20})
        for name, given in {"lr": rate, "seed": seed, "batch": 64 - 32 * seed}.items():
            client.log_param(run.info.run_id, name, given)
        client.log_metric(run.info.run_id, "acc", 0.1, step=0)
        client.log_metric(run.info.run_id, "acc", value, step=1)
        client.set_terminated(run.info.run_id)
    columns = Columns(["params.lr"], "params.seed", ["acc"])
    report, written = write_existing(
        snapshot_of_experiment("spring/lr", columns), tmp_path / "out", ("md",), str(tmp_path / "store")
    )
    found = {row.id: row.cells["acc"].by_seed for row in report.rows}
    assert found == {"lr=0.01": {0: 0.80, 1: 0.84}, "lr=0.1": {0: 0.74, 1: 0.72}}
    notes = "\n".join(report.notes)
    assert "Left out: 1 run without params.lr or params.seed." in notes
    assert "batch (64, 32)" in notes
    assert "The runs name 2 commits (0a0a0a0a0a, 1a1a1a1a1a): their code may differ." in notes
    assert 'row "lr=0.1" seed 0 finished more than once' in notes
    assert "MLflow parent run" not in written[0].read_text()
    with pytest.raises(harness.InputError, match='holds no experiment "spring"; did you mean "spring/lr"'):
        snapshot_of_experiment("spring", columns)


def test_units_of_different_runs_are_paired_by_their_names(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = [
        {"deep": deep, "seed": seed, "user": f"u{user}", "score": float(rng.normal(0.5 + 0.1 * deep, 0.1))}
        for deep in (True, False)
        for seed in range(3)
        for user in range(9)
    ]
    shuffled = pd.DataFrame(lines).sample(frac=1, random_state=0)
    kinds = {"factors": ["deep"], "seed": "seed", "metrics": ["score"], "units": ["user"]}
    first = harness.Report.from_frame(pd.DataFrame(lines), **kinds).model.insight.pairs[0].gains["score"]
    second = harness.Report.from_frame(shuffled, **kinds).model.insight.pairs[0].gains["score"]
    assert first.estimate.interval == pytest.approx(second.estimate.interval)
    assert first.basis.unit == "users"
