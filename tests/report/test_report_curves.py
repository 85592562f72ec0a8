"""Learning curves of the stages, and the page of requested pictures."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb
from report_world import run, snapshot, table1

from harness.report import build_report, runs_to_draw, stage_curves, write_pictures_page, write_report
from harness.report.curves import MOST_CURVES, StageCurves
from harness.report.drawing import save, style
from harness.report.figures import draw_learning_curves
from harness.report.model import TableReport

NAN = math.nan


def report_of(*rows: str, seeds: int = 1) -> TableReport:
    declared = [{"id": row, "label": "", "note": "", "factors": {"A": True}, "paper": {}} for row in rows]
    runs = [run(row, seed, {"mAP": 0.5 + 0.01 * index}) for index, row in enumerate(rows) for seed in range(seeds)]
    return build_report(snapshot(table1(rows=declared, metrics=["mAP"], claims=[], refused=[]), runs))


def history(*stages: list[float]) -> dict[str, tuple[tuple[int, float], ...]]:
    """The history of consecutive stages with these losses, two readings per epoch."""
    epochs = [(index + 1) / 2 for losses in stages for index in range(len(losses))]
    losses = [loss for stage in stages for loss in stage]
    steps = [10 * (index + 1) for index in range(len(losses))]
    return {
        "train/epoch": tuple(zip(steps, epochs, strict=True)),
        "train/loss": tuple(zip(steps, losses, strict=True)),
        "train/learning_rate": tuple((step, 0.1) for step in steps),
    }


def test_a_history_is_split_where_the_epoch_restarts_and_equal_curves_are_drawn_once() -> None:
    report = report_of("1", "3", "2")
    histories = {
        "run-1-0": history([5.0, 4.0, 3.0]),
        "run-3-0": history([5.0, 4.0, 3.0], [2.0, 1.0]),
        "run-2-0": history([9.0, 8.0]),
    }
    first, second = stage_curves(report, {"rows": []}, histories)
    assert list(first.loss) == ["1, 3", "2"]
    assert first.loss["1, 3"] == ((0.5, 1.0, 1.5), (5.0, 4.0, 3.0))
    assert second.loss == {"3": ((0.5, 1.0), (2.0, 1.0))}
    assert second.rate == {"3": ((0.5, 1.0), (0.1, 0.1))}


def test_stages_have_the_names_and_the_order_of_the_recipe() -> None:
    declaration = table1()
    for row in declaration["rows"]:
        on = row["factors"]
        metric = ["metric"] * (on["Quadruplet"] or on["Triplet"])
        row["stages"] = [*["classify"] * on["Softmax"], *metric, "evaluate"]
    runs = [run(row, 0, {"mAP": 0.5}) for row in ("2", "8")]
    report = build_report(snapshot(declaration, runs))
    histories = {"run-2-0": history([9.0, 8.0]), "run-8-0": history([5.0, 4.0], [2.0, 1.0])}
    assert [(stage.name, list(stage.loss)) for stage in stage_curves(report, declaration, histories)] == [
        ("classify", ["8"]),
        ("metric", ["2", "8"]),
    ]


def test_the_first_finished_seed_represents_a_row_and_the_best_rows_represent_many() -> None:
    drawn = runs_to_draw(report_of(*map(str, range(20)), seeds=2))
    assert list(drawn) == [str(row) for row in range(20 - MOST_CURVES, 20)]
    assert {chosen.seed for chosen in drawn.values()} == {0}


def test_runs_without_a_history_give_no_chart() -> None:
    report = report_of("1")
    assert draw_learning_curves(report, stage_curves(report, {"rows": []}, {})) is None


def test_curves_are_reproducible_distinct_in_grey_and_have_gaps_where_a_loss_is_not_finite(tmp_path: Path) -> None:
    epochs = (0.5, 1.0, 1.5, 2.0)
    curves = [
        StageCurves(
            "classify",
            {"1, 3": (epochs, (50.0, NAN, 2.0, 1.0)), "2": (epochs, (4.0, 3.0, 2.0, 1.0))},
            {"1, 3": (epochs, (0.1,) * 4), "2": (epochs, (0.1,) * 4)},
        )
    ]
    for name in ("a", "b"):
        with style():
            figure = draw_learning_curves(report_of("1", "2", "3"), curves)
            assert figure is not None
            save(figure, tmp_path / name)
    for ending in ("svg", "png"):
        assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()
    loss, rate = figure.axes
    first, second = loss.lines
    assert math.isnan(first.get_ydata()[1])
    # Rec. 709 luminance: neighbouring curves must differ when printed without colour.
    weights = np.array([0.2126, 0.7152, 0.0722])
    grey = [float(weights @ np.array(to_rgb(line.get_color()))) for line in (first, second)]
    assert abs(grey[0] - grey[1]) > 0.2
    assert (loss.get_yscale(), rate.get_yscale()) == ("log", "linear")


def test_requested_pictures_stay_linked_until_the_report_covers_other_runs(tmp_path: Path) -> None:
    report = report_of("1")
    (before, *_) = write_report(report, tmp_path)
    assert "pictures" not in before.read_text()
    picture = tmp_path / "figures" / "worst.png"
    page = write_pictures_page(report, tmp_path, [("The worst | queries", picture)])
    assert "![The worst | queries](figures/worst.png)" in page.read_text()
    for _ in range(2):  # writing the report of the same runs again keeps the link
        write_report(report, tmp_path)
        assert "[table1-pictures.md](table1-pictures.md)" in before.read_text()
    write_report(replace(report, parent_id="parent-2"), tmp_path)
    assert "pictures" not in before.read_text()
