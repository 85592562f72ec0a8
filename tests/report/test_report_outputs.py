"""What is written: Markdown, LaTeX, CSV, JSON and pictures.

To renew the golden files after a deliberate change: python tests/report/test_report_outputs.py
"""

import csv
import doctest
import importlib
import io
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image
from report_world import run, snapshot, table1, table1_runs

from harness.errors import InputError
from harness.report import build_report, write_attention, write_rank_lists, write_report
from harness.report.curves import StageCurves
from harness.report.drawing import new_figure, save, style
from harness.report.figures import draw_cost, draw_learning_curves
from harness.report.pictures import read_rank_lists
from harness.report.surface import Spot, draw_surface
from harness.report.write import FORMATS
from harness.track.snapshot import RunRecord, Snapshot
from harness.trainer import Metric

MADE = {"made": "synthetic, 30 identities, seed 0"}
HERE = Path(__file__).parent


def small(**changes: Any) -> Snapshot:
    """Three rows of two seeds, one of them failed, with everything that a report can say."""
    rows = [
        {"id": "1", "label": "", "note": "", "factors": {"Softmax": True, "SAC": False}, "paper": {"mAP": 68.5}},
        {
            "id": "2",
            "label": "full",
            "note": "ticks | inferred",
            "factors": {"Softmax": True, "SAC": True},
            "paper": {},
        },
        {"id": "3", "label": "", "note": "", "factors": {"Softmax": False, "SAC": True}, "paper": {"mAP": 60.6}},
    ]
    declaration = table1(
        name="small",
        title="A small table",
        rows=rows,
        metrics=["mAP"],
        seeds=[0, 1],
        cited=[{"method": "HAN", "values": {"mAP": 75.7}, "note": "as its authors report"}],
        claims=[{"text": "SAC helps", "better": "2", "than": "1", "metric": "mAP", "by": 3.0}],
        overrides={"stages.classify.epochs": 10},
        **changes,
    )
    url = "http://localhost:5000/#/experiments/1/runs/run-1-0"
    runs = [
        run("1", 0, {"mAP": 0.68, "mINP": 0.31, "seconds": 360.0, "multiply_adds": 4.1e9}, url=url),
        run("1", 1, {"mAP": 0.70, "mINP": 0.33, "seconds": 396.0, "multiply_adds": 4.1e9}),
        run("2", 0, {"mAP": 0.72, "mINP": 0.35, "seconds": 720.0, "multiply_adds": 16.4e9}),
        run("2", 1, {"mAP": 0.742, "mINP": 0.36, "seconds": 750.0, "multiply_adds": 16.4e9}),
        run("3", 0, {}, status="failed", reason="the loss is not finite at step 12"),
    ]
    return snapshot(declaration, runs)


def goldens() -> Mapping[str, str]:
    from harness.report.latex import to_latex
    from harness.report.markdown import to_markdown

    report = build_report(small())
    synthetic = small(profile="demo", synthetic={"layout": "market1501", "identities": 30, "seed": 0})
    demo = build_report(
        Snapshot(**{**vars(synthetic), "provenance": {**synthetic.provenance, "synthetic": "true", **MADE}})
    )
    return {
        "golden_report.md": to_markdown(report, [("Results by row", "figures/small-results.svg")]),
        "golden_demo.md": to_markdown(demo),
        "golden_report.tex": to_latex(report),
    }


@pytest.mark.parametrize("name", ["golden_report.md", "golden_demo.md", "golden_report.tex"])
def test_a_report_reads_as_it_was_approved(name: str) -> None:
    assert goldens()[name] == (HERE / name).read_text(encoding="utf-8")


def test_every_format_is_byte_identical_when_written_twice(tmp_path: Path) -> None:
    taken = small()
    first = write_report(build_report(taken), tmp_path / "a", FORMATS)
    second = write_report(build_report(taken), tmp_path / "b", FORMATS)
    assert [path.name for path in first] == [path.name for path in second]
    assert {path.suffix for path in first} == {f".{name}" for name in FORMATS}
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_a_layout_that_differs_in_its_last_bits_is_written_as_the_same_bytes(tmp_path: Path) -> None:
    written = []
    for nudge in (0.0, 1e-12):  # what a layout's solver leaves open from process to process
        with style():
            figure = new_figure(3.0, 2.0)
            axes = figure.subplots()
            axes.plot([0, 1], [0, 1], "o-")
            figure.set_layout_engine("none")
            axes.set_position((0.2 + nudge, 0.2, 0.7, 0.7))
            (path,) = save(figure, tmp_path / f"{nudge}", ("svg",))
        written.append(path.read_text(encoding="utf-8"))
    assert 'clip-path="url(#clip1)"' in written[0]
    assert written[0] == written[1]


def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    """Hash seeds differ between processes; sets must not show."""
    formats = ("md", "json", "svg")
    write_report(build_report(small()), tmp_path / "here", formats)
    code = (
        f"import sys; sys.path.insert(0, {str(HERE)!r}); from pathlib import Path; import test_report_outputs as t; "
        "from harness.report import build_report, write_report; "
        f"write_report(build_report(t.small()), Path(sys.argv[1]), {formats})"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "there")]
    subprocess.run(words, check=True, env={"PYTHONHASHSEED": "1", "PATH": ""})
    files = sorted(path.relative_to(tmp_path / "here") for path in (tmp_path / "here").rglob("*") if path.is_file())
    assert len(files) > 3
    for name in files:
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes(), name


def test_the_markdown_is_whole_and_its_tables_are_square(tmp_path: Path) -> None:
    taken = snapshot(table1(), table1_runs(tmp_path / "runs"))
    markdown, *_ = write_report(build_report(taken), tmp_path, ("md", "svg"))
    text = markdown.read_text(encoding="utf-8")
    for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.M):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, table
        rule = table.splitlines()[1]  # MLflow's description shows a table only if every rule has two dashes or more
        assert all(re.fullmatch(r":?-{2,}:?", cell) for cell in rule.strip("| ").split(" | ")), table
    for record in taken.runs:
        assert record.run_id in text
    for address in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert (tmp_path / address).is_file()


def test_latex_is_balanced_and_its_rows_have_as_many_cells_as_columns(tmp_path: Path) -> None:
    from harness.report.latex import to_latex

    text = to_latex(build_report(snapshot(table1(title="50 % & more_of {it}"), table1_runs(tmp_path))))
    assert r"50 \% \& more\_of \{it\}" in text
    for columns, body in re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", text, flags=re.S):
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert {len(re.findall(r"(?<!\\)&", line)) + 1 for line in rows} == {len(columns)}
        assert [rule for rule in ("top", "mid", "bottom") if rf"\{rule}rule" in body] == ["top", "mid", "bottom"]
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")
    assert text.isascii()
    assert len(re.findall(r"\\begin\{table\*\}", text)) == len(re.findall(r"\\end\{table\*\}", text)) == 2


def test_csv_and_json_say_the_same_in_fractions() -> None:
    from harness.report.csv_text import to_csv
    from harness.report.json_text import report_to_json

    report = build_report(small())
    lines = list(csv.DictReader(io.StringIO(to_csv(report))))
    data = json.loads(json.dumps(report_to_json(report)))
    ours = next(line for line in lines if line["row"] == "2")
    cell = next(row for row in data["rows"] if row["id"] == "2")["metrics"]["mAP"]
    assert float(ours["mean"]) == cell["measured"]["mean"] == pytest.approx(0.731)
    assert [float(ours["low"]), float(ours["high"])] == cell["measured"]["interval"]
    assert ours["run_ids"] == "run-2-0 run-2-1"
    cited = next(line for line in lines if line["cited"] == "1")
    assert (cited["row"], cited["paper"], cited["mean"]) == ("HAN", "0.757", "")
    failed = next(line for line in lines if line["row"] == "3")
    assert failed["problems"] == "seed 0 failed: the loss is not finite at step 12; seed 1 not run"
    assert data["claims"][0]["verdict"] == "reproduced"


def test_provenance_has_no_line_for_what_there_is_not() -> None:
    from harness.report.markdown import to_markdown

    taken = small()
    lines = {}
    for data in ("market1501", ""):  # a function that reads no data set
        shown = Snapshot(**{**vars(taken), "provenance": {**taken.provenance, "dataset": data}})
        lines[data] = [line for line in to_markdown(build_report(shown)).splitlines() if "| data set |" in line]
    assert lines == {"market1501": ["| data set | market1501 |"], "": []}


def test_an_unknown_format_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match='--format "jsn": did you mean "json"'):
        write_report(build_report(small()), tmp_path, ("jsn",))


def test_pictures_are_written_and_the_papers_marks_are_hidden_on_synthetic_data(tmp_path: Path) -> None:
    taken = small()
    demo = Snapshot(**{**vars(taken), "provenance": {**taken.provenance, "synthetic": "true"}})
    sizes = {}
    for name, shown in (("real", taken), ("demo", demo)):
        paths = write_report(build_report(shown), tmp_path / name, ("svg", "png"))
        assert sorted(path.name for path in paths) == sorted(
            f"small-{chart}.{ending}" for chart in ("results", "claims", "effects", "cost") for ending in ("svg", "png")
        )
        for path in paths:
            if path.suffix == ".png":
                with Image.open(path) as image:
                    assert min(image.size) > 200
            else:
                ElementTree.parse(path)
                assert not re.search(r"<dc:date>", path.read_text(encoding="utf-8"))
        sizes[name] = (tmp_path / name / "figures" / "small-results.svg").read_text(encoding="utf-8").count("#e69f00")
    assert sizes["real"] > 0 == sizes["demo"]


def test_names_that_pictures_and_file_systems_would_take_for_more_than_text_are_drawn_and_kept_apart(
    tmp_path: Path,
) -> None:
    names = ("_a", r"$\frac{$", "A", "a", "../../x", "é")
    rows = [
        {"id": name, "label": "", "note": "", "factors": {"$x^$": n > 0, "_f": n > 1}, "paper": {"mAP": 60.0}}
        for n, name in enumerate(names)
    ]
    claim = {"text": "$\\bad{$ claims", "better": "a", "than": "A", "metric": "mAP", "by": 1.0}
    declaration = table1(name="a/b (c)", title="$\\x{$", rows=rows, claims=[claim], metrics=["mAP"], seeds=[0, 1])
    ranked = ranked_run(tmp_path / "run").artifacts
    costs = {"mAP": 0.5, "seconds": 3.0}
    runs = [
        run(name, seed, {**costs, "seconds": 1.0 + n, "mAP": 0.5 + 0.1 * seed + 0.01 * n}, artifacts=ranked)
        for n, name in enumerate(names)
        for seed in (0, 1)
    ]
    taken = snapshot(declaration, runs)
    curve = ((0.0, 1.0), (2.0, 1.0))
    stages = [StageCurves("$s$", dict.fromkeys(names, curve), {"_a": curve})]
    written = write_report(build_report(taken), tmp_path / "out", ("md", "svg", "png"), curves=stages)
    assert [path.name for path in written if path.suffix == ".svg"] == [
        f"a~2Fb~20~28c~29-{chart}.svg" for chart in ("results", "claims", "effects", "cost", "curves")
    ]
    text = written[0].read_text(encoding="utf-8")
    for address in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert (tmp_path / "out" / unquote(address)).is_file()
    with style():
        figure = draw_learning_curves(build_report(taken), stages)
        assert figure is not None
        assert [text.get_text() for text in figure.legends[0].get_texts()] == list(names)
    lists = [write_rank_lists(taken, name, 1, blank, tmp_path, ("png",))[0] for name in names]
    assert len({path.name.casefold() for path in lists}) == len(names)
    assert {path.parent for path in lists} == {tmp_path}


def test_rows_of_about_the_same_cost_are_not_drawn_against_it() -> None:
    report = build_report(small())
    for first, second, drawn in ((100.0, 101.0, False), (100.0, 120.0, True)):
        costs = iter([{"seconds": first}, {"seconds": second}, {}])
        rows = tuple(replace(row, costs=next(costs)) for row in report.ours)
        assert (draw_cost(replace(report, rows=rows)) is not None) is drawn


def ranked_run(folder: Path) -> RunRecord:
    folder.mkdir()
    np.savez(
        folder / "per_query.npz",
        average_precision=np.array([0.9, 0.1, np.nan, 0.1]),
        valid=np.array([True, True, False, True]),
        top_indices=np.array([[0, 1], [2, 0], [1, 2], [2, -1]]),
        query_files=np.array(["q0.jpg", "q1.jpg", "q2.jpg", "q3.jpg"]),
        query_ids=np.array([5, 6, 7, 6]),
        query_cameras=np.array([1, 2, 3, 4]),
        gallery_files=np.array(["g0.jpg", "g1.jpg", "g2.jpg"]),
        gallery_ids=np.array([5, 0, 6]),
        gallery_cameras=np.array([2, 3, 1]),
    )
    return run("1", 0, {"mAP": 0.3}, artifacts=folder)


def blank(split: str, name: str) -> np.ndarray:
    return np.full((8, 4, 3), 100 if split == "query" else 200, np.uint8)


def test_rank_lists_show_the_worst_queries_first_and_only_those_that_count(tmp_path: Path) -> None:
    lists = read_rank_lists(ranked_run(tmp_path / "run"), 3, blank)
    assert [(entry.query.identity, entry.query.camera, entry.average_precision) for entry in lists] == [
        (6, 2, 0.1),
        (6, 4, 0.1),
        (5, 1, 0.9),
    ]
    assert [[(box.identity, box.camera) for box in entry.nearest] for entry in lists] == [
        [(6, 1), (5, 2)],
        [(6, 1)],
        [(5, 2), (0, 3)],
    ]


def test_rank_lists_are_written_and_a_run_without_them_is_refused(tmp_path: Path) -> None:
    taken = small()
    with_lists = Snapshot(**{**vars(taken), "runs": (ranked_run(tmp_path / "run"),)})
    paths = write_rank_lists(with_lists, "1", 2, blank, tmp_path)
    assert [path.name for path in paths] == ["small-rank-lists-1.svg", "small-rank-lists-1.png"]
    with pytest.raises(InputError, match=r'row "1" seed 0 \(run run-1-0\): found no per_query.npz'):
        write_rank_lists(taken, "1", 2, blank, tmp_path)
    with pytest.raises(InputError, match='no row "4"; expected one of: 1, 2, 3'):
        write_rank_lists(taken, "4", 2, blank, tmp_path)
    with pytest.raises(InputError, match='row "3" has no finished run'):
        write_rank_lists(taken, "3", 2, blank, tmp_path)


def test_attention_of_two_rows_is_drawn_side_by_side_with_its_overlap(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    runs = []
    for row in ("1", "2"):
        (tmp_path / row).mkdir()
        images = np.full((2, 16, 8, 3), 90, np.uint8)
        np.savez(tmp_path / row / "attention.npz", images=images, maps=rng.random((2, 3, 4, 2)))
        runs.append(run(row, 0, {"mAP": 0.7}, artifacts=tmp_path / row))
    taken = Snapshot(**{**vars(small()), "runs": tuple(runs)})
    paths = write_attention(taken, "1", "2", tmp_path, ("png",))
    assert [path.name for path in paths] == ["small-attention.png"]
    with pytest.raises(InputError, match='rows "1" and "3" have no finished seed in common'):
        write_attention(taken, "1", "3", tmp_path)


@pytest.mark.parametrize("scattered", [False, True])
def test_margin_surfaces_are_drawn_the_same_every_time(tmp_path: Path, scattered: bool) -> None:
    spots = [Spot(0.5, 0.2, 0.8, "complete"), Spot(0.1, 0.2, 0.7, "complete"), Spot(0.1, 0.4, None, "infeasible")]
    spots += [
        Spot(0.5, 0.4, None, "pruned"),
        *([Spot(0.33, 0.11, 0.6, "complete"), Spot(0.2, 0.3, 0.5, "complete")] if scattered else []),
    ]
    for name in ("a", "b"):
        surface = draw_surface(spots, xlabel="ε1", ylabel="ε2", metric=Metric("mAP", "mAP"), reference=(0.1, 0.2))
        with style():
            save(surface, tmp_path / f"surface-{name}", ("svg",))
    assert (tmp_path / "surface-a.svg").read_bytes() == (tmp_path / "surface-b.svg").read_bytes()
    (axes, _) = surface.axes
    assert [text.get_text() for text in axes.texts] == ([] if scattered else ["80.0", "70.0", "infeasible", "pruned"])
    assert {"best", "reference"} <= set(axes.get_legend_handles_labels()[1])


def test_the_room_loads_neither_torch_nor_the_tracker_nor_matplotlib() -> None:
    heavy = ("torch", "mlflow", "matplotlib", "pandas")
    code = f"import sys, harness.report; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "module", ["formatting", "metrics", "costs", "statistics", "effects", "basis", "pictures", "marks", "csv_text"]
)
def test_the_examples_in_the_docstrings_hold(module: str) -> None:
    found = doctest.testmod(importlib.import_module(f"harness.report.{module}"))
    assert found.attempted > 0
    assert found.failed == 0


def renew() -> None:
    for name, text in goldens().items():
        (HERE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    renew()
