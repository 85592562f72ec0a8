"""Whatever a user calls things, it is read back as it was declared: from the tracker, the files and every format."""

import csv
import io
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

import harness.track.courier
from harness.api.tracking import run_name, table_metrics
from harness.execute import Store
from harness.execute.inprocess import InProcessExecutor
from harness.matrix import Matrix, expand, matrix_to_json, read_declaration, recipe_to_yaml
from harness.matrix.naming import unfit_name
from harness.names import file_name
from harness.plan import Stage, fingerprint
from harness.report import build_report, write_report
from harness.report.latex import latex_text
from harness.track import Tracker, read_snapshot
from harness.track.accepted import OWN_PARAMS, text_of_key
from harness.track.client import connect
from harness.trainer import Emit, Task

RECIPE: dict[str, Any] = {
    "data": {"dataset": "market1501", "height_px": 64, "width_px": 32},
    "model": {"backbone": "test_resnet", "weights": "none"},
    "losses": {},
    "stages": {
        "classify": {
            "losses": ["softmax"],
            "epochs": 1,
            "sampler": {"kind": "shuffled", "batch_size": 8},
            "optimizer": {"lr": 0.1},
        }
    },
    "evaluation": {"protocol": "market"},
}
HOSTILE = (
    *("../../x", "..", ".", "/etc/passwd", "a/b", "~", "~2F", ":2F", "::", "$x$", "$\\frac{$", "[red]x[/red]", "[x] y"),
    *(
        "a|b",
        "a\\|b",
        "`",
        "``",
        "a`b|c",
        "<b>",
        "</td>",
        "<!-- x -->",
        "<?php ?>",
        "&amp;",
        "*a*",
        "_x_",
        "__",
        "~~s~~",
    ),
    *(
        "# h",
        "h #",
        "1. x",
        "12) x",
        "- x",
        "+",
        "> q",
        "[a]: b",
        "![a](b)",
        "]",
        "[",
        "---",
        "===",
        "\\",
        "\\\\",
        "a\\",
    ),
    *("%", "50 % & more", "{", "}", "#1", "^", "--", "'", "''", '"', "?`", "a;b", "=1+1", "row", "seed", "backbone"),
    *(
        "mean",
        "metric",
        "paper",
        "mean (factor)",
        "8",
        "8 low",
        "8: low",
        "A",
        "a",
        "é",
        "É",
        "ß",
        "SS",
        "中文",
        "🙂" * 20,
    ),
    *(
        "ε₁ ≥ 2×10⁻³",
        "x²",
        "x2",
        "½",
        "ﬁ",
        "fi",
        "a" * 80,
        "€" * 80,
        "U+4E2D",
        "con",
        "NUL",
        "None",
        "null",
        "true",
        "1e3",
    ),
)
WRITTEN = st.characters(exclude_categories=("Cc", "Cs", "Cf", "Co", "Cn", "Zl", "Zp", "Zs"), include_characters=" ")
NAMES = (
    (st.sampled_from(HOSTILE) | st.text(WRITTEN, min_size=1, max_size=40))
    .map(lambda text: " ".join(text.split()))
    .filter(lambda text: unfit_name(text) is None)
)
TEXTS = (st.sampled_from(HOSTILE) | st.text(WRITTEN, min_size=1, max_size=60) | st.just("two\nlines  | `here`")).filter(
    lambda text: bool(text.split())
)


@dataclass(frozen=True)
class Words:
    """What a user may write."""

    table: str
    profile: str
    factors: list[str]
    rows: list[str]
    cited: str
    title: str
    claim: str
    note: str
    label: str


@st.composite
def words(draw: st.DrawFn) -> Words:
    table = draw(NAMES.filter(lambda text: "/" not in text and len(text.encode()) <= 200))
    factors = draw(st.lists(NAMES, min_size=2, max_size=3, unique=True))
    *rows, cited = draw(st.lists(NAMES, min_size=3, max_size=4, unique=True))
    return Words(table, draw(NAMES), factors, rows, cited, *(draw(TEXTS) for _ in range(4)))


def work(task: Task, emit: Emit) -> dict[str, Any]:
    """A toy stage, whose result says whose it is."""
    return {"row": task.settings["row"], "metrics": {"mAP": task.settings["mAP"]}}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("INTERVAL_S", "FIRST_BACKOFF_S", "HURRIED_S", "POLL_S"):
        monkeypatch.setattr(harness.track.courier, name, 0.02)


def declare(said: Words, folder: Path) -> Matrix:
    """The table as files, read and expanded."""
    factors = {name: {"patch": {"losses.softmax.weight": 1.0 + n}} for n, name in enumerate(said.factors)}
    recipe = {**RECIPE, "factors": factors, "profiles": {said.profile: {"patch": {}}}}
    table = {
        "title": said.title,
        "recipe": "the recipe.yaml.txt",
        "seeds": [0, 1],
        "metrics": ["mAP"],
        "rows": [
            {
                "id": row,
                "label": said.label,
                "note": said.note,
                "factors": said.factors[: n % len(said.factors) + 1],
                "paper": {"mAP": 50.0},
            }
            for n, row in enumerate(said.rows)
        ],
        "cited": [{"method": said.cited, "values": {"mAP": 60.0}, "note": said.note}],
        "claims": [{"text": said.claim, "better": said.rows[1], "than": said.rows[0], "metric": "mAP", "by": 1.0}],
        "notes": [said.note],
    }
    (folder / "the recipe.yaml.txt").write_text(json.dumps(recipe, ensure_ascii=False), encoding="utf-8")
    path = folder / f"{said.table}.yaml"
    path.write_text(json.dumps(table, ensure_ascii=False), encoding="utf-8")
    return expand(read_declaration(path), profile=said.profile)


def measure(matrix: Matrix, store: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """The results of a toy stage for each row and seed."""
    stages = {}
    for n, row in enumerate(matrix.rows):
        for seed in matrix.seeds:
            settings_ = {"row": row.id, "mAP": 0.5 + 0.02 * n + 0.01 * seed}
            identity = fingerprint([settings_, seed])
            stages[row.id, seed] = Stage(identity, "train", row.id, settings_, None)
    outcomes = InProcessExecutor(Store(store)).execute([*stages.values()], f"{__name__}:work", {}, lambda _: None)
    return {run: dict(outcomes[stage.fingerprint].result or {}) for run, stage in stages.items()}


def track(matrix: Matrix, results: Mapping[tuple[str, int], dict[str, Any]], uri: str, folder: Path, long: str) -> Path:
    """Everything into the tracker and, from there, into the files of every text format; their folder."""
    provenance = {"profile": matrix.profile, "dataset": long, f"study {matrix.name}": long, "synthetic": "false"}
    tracker = Tracker(uri, folder / "outbox")
    tracker.open_table("T", table=matrix.name, declaration=matrix_to_json(matrix), provenance=provenance)
    for n, row in enumerate(matrix.rows):
        for seed in matrix.seeds:
            tracker.open_run(
                f"{n}/{seed}",
                table_key="T",
                row=row.id,
                seed=seed,
                name=run_name(row, seed),
                factors=row.factors,
                params={"backbone": long},
                recipe_yaml=recipe_to_yaml(row.recipe),
                provenance=provenance,
            )
            if (n, seed) == (0, 1):
                tracker.fail_run(f"{n}/{seed}", long)
            else:
                tracker.finish_run(f"{n}/{seed}", results[row.id, seed]["metrics"], provenance={"device": long})
    assert not tracker.flush().undelivered
    report = build_report(read_snapshot(uri, matrix.name))
    out = folder / "out"
    written = write_report(report, out, ("md", "tex", "csv", "json"))
    tracker.finish_table(
        "T",
        succeeded=True,
        report=written[0].read_text(encoding="utf-8"),
        row_metrics=table_metrics(report),
        files=written,
        within=out,
    )
    assert not tracker.close().undelivered
    return out


@example(
    Words("..", "../p", ["row", "seed"], ["../../x", "8 low", "8"], "HAN", "$x$", "a|b", "[a]: b", "`"), "x" * 7000
)
@example(Words("a|b", "mean", ["mean", "mean (factor)"], ["A", "a"], "🙂", "1. x", "<b>", "- x", "~~s~~"), "é\n" * 7000)
@example(Words("h #", "&amp;", ["🙂" * 80, "€" * 80], ["€" * 80, "🙂" * 80], "x²", "h #", "--", "12) x", "_x_"), "d")
@given(words(), st.sampled_from(["short", "ü" * 9000]))
@settings(max_examples=max(1, settings().max_examples // 3))  # a second each; each has eleven names and texts
def test_whatever_things_are_called_is_read_back_from_everywhere(empty_tracker: Path, said: Words, long: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        uri = f"sqlite:///{shutil.copy(empty_tracker / 'mlflow.db', folder)}"
        matrix = declare(said, folder)
        assert (matrix.name, matrix.profile) == (said.table, said.profile)
        results = measure(matrix, folder / "store")
        assert all(result["row"] == row for (row, _), result in results.items())
        out = track(matrix, results, uri, folder, long)
        check_tracker(said, long, matrix, uri)
        files = {path.suffix[1:]: path.read_text(encoding="utf-8") for path in out.iterdir() if path.is_file()}
        assert {path.stem for path in out.iterdir()} == {file_name(said.table)}
        check_csv(said, files["csv"])
        check_json(said, files["json"])
        check_markdown(said, files["md"])
        check_latex(said, files["tex"])


def check_tracker(said: Words, long: str, matrix: Matrix, uri: str) -> None:
    snapshot = read_snapshot(uri, said.table, profile=said.profile)
    assert snapshot.declaration == json.loads(json.dumps(matrix_to_json(matrix)))
    assert [run.row for run in snapshot.runs] == [row for row in said.rows for _ in range(2)]
    for run in snapshot.runs:
        row = next(row for row in matrix.rows if row.id == run.row)
        factors = {text_of_key(key, said.factors): on for key, on in run.params.items() if key not in OWN_PARAMS}
        assert factors == {name: "on" if on else "off" for name, on in row.factors.items()}
        assert run.params["backbone"] == run.tags["harness.dataset"] == long
        assert run.reason == ("" if run.status == "finished" else long)
    names = connect(uri).get_run(snapshot.parent_id).data.metrics
    found = [re.fullmatch(r"mAP/row (.*?)(: low|: high)?", name) for name in names]
    assert {text_of_key(match[1], said.rows) for match in found if match} == set(said.rows)
    assert None not in found


def check_csv(said: Words, text: str) -> None:
    lines = list(csv.reader(io.StringIO(text, newline="")))
    table = [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]
    assert len(set(lines[0])) == len(lines[0])
    for factor, column in zip(shown_factors(said), lines[0][5:], strict=False):
        assert column.startswith(factor)
        assert not column.removeprefix(factor).replace(" (factor)", "")
    assert {line["row"] for line in table} == {*said.rows, said.cited}
    assert {line["table"] for line in table} == {said.table}
    assert {line["profile"] for line in table} == {said.profile}
    assert {line["label"] for line in table if line["cited"] == "0"} == {said.label}


def check_json(said: Words, text: str) -> None:
    data = json.loads(text)
    assert (data["table"], data["title"], data["notes"][0]) == (said.table, said.title, said.note)
    assert {row["id"] for row in data["rows"]} == {*said.rows, said.cited}
    assert data["claims"][0]["text"] == said.claim
    assert data["factors"] == shown_factors(said)


def shown_factors(said: Words) -> list[str]:
    """The factors that a row turns on."""
    return said.factors[: min(len(said.rows), len(said.factors))]


def row_names(said: Words) -> list[str]:
    return [f"{row} ({said.label})" if said.label != row else row for row in said.rows]


def plain(text: str) -> str:
    return " ".join(text.split())


def visible(token: Token) -> str:
    """What a reader sees of a piece of Markdown."""
    parts = []
    for child in token.children or ():
        assert child.type in {
            "text",
            "code_inline",
            "strong_open",
            "strong_close",
            "em_open",
            "em_close",
            "text_special",
        }
        parts.append(child.content)
    return "".join(parts)


def markdown_of(text: str) -> Iterator[tuple[str, str]]:
    """Each block's kind and what a reader sees of it: heading, th, td, li, p."""
    open_: list[str] = []
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text):
        if token.type == "inline":
            yield next((tag for tag in reversed(open_) if tag != "p"), "p"), visible(token)
        elif token.nesting == 1:
            open_.append(token.tag)
        elif token.nesting == -1:
            open_.pop()
        else:
            pytest.fail(f"{token.type}: {token.content!r}")


def check_markdown(said: Words, text: str) -> None:
    blocks = list(markdown_of(text))
    assert blocks[0] == ("h1", plain(said.title))
    cells = [shown for kind, shown in blocks if kind == "td"]
    for name in (*row_names(said), said.cited, said.claim, f"{said.rows[1]} vs {said.rows[0]}"):
        assert plain(name) in cells
    for factor in shown_factors(said):
        assert factor in [shown for kind, shown in blocks if kind == "th"]
    listed = [shown for kind, shown in blocks if kind == "li"]
    assert plain(said.note) in listed
    assert f"{said.cited}: {plain(said.note)}." in listed


def check_latex(said: Words, text: str) -> None:
    """The words are in the table in LaTeX's own writing; that two texts never share it is tested with the report."""
    assert text.isascii()
    for name in (*row_names(said), said.cited, said.claim, *shown_factors(said)):
        assert latex_text(name) in text
    assert all(text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") for name in ("tabular", "table*"))
