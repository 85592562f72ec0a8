"""Whatever a user's code and its declaration may do wrong: one sentence for the row, and the other rows continue."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from toy_tables import Declare

from harness.api.engine import Engine
from harness.api.listener import Listener
from harness.api.prepare import prepare
from harness.errors import InputError
from harness.execute.protocol import Outcome

FUNCTIONS = """
import sys
import numpy as np

GOOD = {"score": 1.0, "loss": 1.0}

def row(settings, run):
    how = BEHAVIOUR[settings.how]
    return how(run)

def nothing(run): pass
def ends(run): sys.exit("no corpus")
def long_story(run): raise ValueError("line one\\n line two")
def silent(run): raise ValueError
def unprintable(run):
    class Odd(Exception):
        def __str__(self): raise RuntimeError
    raise Odd
def logs(run): run.log(1, loss="high"); return GOOD
def steps(run): run.log("first"); return GOOD
def cost(run): run.cost(parameters=float("nan")); return GOOD
def ids(run): run.units(["a"]); return {"score": [1.0, 2.0], "loss": 1.0}
def groups(run): run.units(groups=[1]); return {"score": [1.0, 2.0], "loss": 1.0}

def gives(value):
    return lambda run: {"score": value, "loss": 1.0}

BEHAVIOUR = {
    "good": lambda run: GOOD,
    **{f.__name__: f for f in (nothing, ends, long_story, silent, unprintable, logs, steps, cost, ids, groups)},
    "none": gives(None), "text": gives("high"), "texts": gives(["1", "2"]), "huge": gives(10 ** 400),
    "complex": gives(1j), "matrix": gives([[1.0], [2.0]]), "ragged": gives([[1.0], [2.0, 3.0]]), "empty": gives([]),
    "hole": gives([1.0, None]), "masked": gives(np.ma.masked_array([1.0, 2.0], [False, True])),
    "nested": gives({"a": 1.0}), "array": lambda run: [1.0, 2.0],
}
"""

Outcomes = Callable[[Path], dict[str, Outcome]]


@pytest.fixture
def outcomes(folder: Path) -> Outcomes:
    """Carries a table out without a tracker; its outcomes by row."""

    def go(table: Path) -> dict[str, Outcome]:
        prepared = prepare(table, store=str(folder / "store"))
        with Engine("inprocess").start(prepared.store, Listener()) as executor:
            ended = executor.execute(
                prepared.plan.to_execute, prepared.matrix.trainer.work, prepared.context, lambda _: None
            )
        return {run.row: ended[run.evaluation] for run in prepared.plan.runs}

    return go


def one_row(**more: Any) -> dict[str, Any]:
    return {"rows": [{"id": "one", "factors": []}], "claims": [], "seeds": [0], **more}


REASONS = {
    "nothing": "returned nothing, expected the metrics by name: score, loss",
    "ends": "functions:row ended its process: sys.exit('no corpus') (functions.py:",
    "long_story": "functions:row raised ValueError: line one line two (functions.py:",
    "silent": "functions:row raised ValueError (functions.py:",
    "unprintable": "functions:row raised Odd (functions.py:",
    "logs": "run.log: loss is str, expected a number",
    "steps": "run.log: step is str, expected a whole number",
    "cost": "run.cost: parameters is nan, expected a finite number",
    "ids": "run.units: ids has shape (1,) for 2 values, expected (2,)",
    "groups": "run.units: groups has shape (1,) for 2 values, expected (2,)",
    "none": "score is None, expected a number or one number for each unit",
    "text": "score is str, expected a number or one number for each unit",
    "texts": "score is list, expected a number or one number for each unit",
    "huge": "score is 1000000",
    "complex": "score is complex, expected a number or one number for each unit",
    "matrix": "score has shape (2, 1), expected a number or (units,)",
    "ragged": "score is list, expected a number or one number for each unit",
    "empty": "score has shape (0,), expected a number or (units,)",
    "hole": "score is nan at unit 1, expected finite numbers",
    "masked": "score has masked values, expected a number for each unit",
    "nested": "score is dict, expected a number or one number for each unit",
    "array": "returned list, expected the metrics by name: score, loss",
}


def test_rows_whose_code_misbehaves_fail_with_a_sentence_each_and_the_others_go_on(
    declare: Declare, outcomes: Outcomes, folder: Path
) -> None:
    (folder / "functions.py").write_text(FUNCTIONS)
    levels = {name: {"how": name} for name in REASONS}
    recipe = {
        "trainer": "functions:row",
        "settings": {"how": "good"},
        "factors": {"How": {"levels": {"good": {}, **levels}}},
    }
    rows = [{"id": "good", "factors": []}, *({"id": name, "factors": [f"How={name}"]} for name in REASONS)]
    ended = outcomes(declare(recipe, **one_row(rows=rows)))
    assert ended.pop("good").status == "succeeded"
    for name, outcome in ended.items():
        assert outcome.status == "failed", name
        assert outcome.reason.startswith(REASONS[name])
        assert "\n" not in outcome.reason
    assert set(ended) == set(REASONS)


def test_a_function_that_changes_its_folder_leaves_the_next_row_where_it_was(
    declare: Declare, outcomes: Outcomes, folder: Path
) -> None:
    (folder / "moves.py").write_text(
        "import os\ndef train(settings, run):\n    here = os.getcwd()\n    os.chdir('/')\n"
        f"    return {{'score': float(here == {str(folder)!r}), 'loss': 0.0}}\n"
    )
    ended = outcomes(declare({"trainer": "moves:train"}))
    assert [outcome.result and outcome.result["metrics"]["score"] for outcome in ended.values()] == [1.0, 1.0]


TYPED = """
from __future__ import annotations
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from decimal import Decimal
    from harness.trainers.run import Run

class Colour(Enum):
    red = "red"
    blue = "blue"

@dataclass(frozen=True)
class Settings:
    sizes: tuple[int, ...] = (1, 2)
    file: Path = Path("x")
    colour: Colour = Colour.red
    kind: Literal["a", "b"] = "a"
    tags: frozenset[str] = frozenset()
    nested: dict[str, list[float]] = field(default_factory=dict)
    rate: float | None = 1

    def __post_init__(self):
        if self.rate is not None and self.rate > 5:
            raise ValueError("the rate is above 5")

def train(settings: Settings, run: Run):
    assert isinstance(settings.sizes, tuple) and isinstance(settings.file, Path), settings
    assert isinstance(settings.colour, Colour) and isinstance(settings.tags, frozenset), settings
    return {"score": sum(settings.sizes), "loss": len(settings.tags) + (settings.rate or 0)}

@dataclass
class Required:
    depth: int

def needs(settings: Required, run): pass

def unknown(settings: Decimal, run): pass
"""


def test_settings_have_the_types_that_the_code_annotates(declare: Declare, outcomes: Outcomes, folder: Path) -> None:
    (folder / "typed.py").write_text(TYPED)
    factors = {
        "Sizes": {"patch": {"sizes": [3, 4, 5], "colour": "blue", "file": "y"}},
        "Tags": {"patch": {"tags": ["b", "a"], "nested": {"x": [1, 2.5]}, "rate": None}},
        "Fast": {"patch": {"rate": 6}},
    }
    rows = [{"id": "plain", "factors": []}, *({"id": name, "factors": [name]} for name in factors)]
    table = declare({"trainer": "typed:train", "settings": {}, "factors": factors}, **one_row(rows=rows))
    ended = outcomes(table)  # without any value in YAML: the code has all
    metrics = {row: outcome.result and outcome.result["metrics"] for row, outcome in ended.items()}
    assert metrics == {
        "plain": {"score": 3, "loss": 1},
        "Sizes": {"score": 12, "loss": 1},
        "Tags": {"score": 3, "loss": 2},
    }
    (refused,) = prepare(table, store=str(folder / "store")).plan.refused
    assert refused.id == "Fast"
    assert refused.constraint.endswith("settings: the rate is above 5")


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"settings": {"sizes": 3}}, "settings.sizes: found 3, expected a list"),
        ({"settings": {"sizes": ["a"]}}, 'settings.sizes: found the text "a", expected a whole number'),
        ({"settings": {"kind": "c"}}, 'settings.kind: found the text "c", expected "a" or "b"'),
        ({"settings": {"colour": "green"}}, 'settings.colour: found the text "green", expected'),
        ({"settings": {"file": 3}}, "settings.file: found 3, expected"),
        ({"settings": {"nested": {"x": ["a"]}}}, 'settings.nested.x.0: found the text "a", expected a number'),
        ({"trainer": "typed:needs", "settings": {}}, "settings.depth: missing; a value is required here"),
        ({"trainer": "typed:unknown"}, "annotation names Decimal, which is not there when the code runs"),
        ({"trainer": "typed:fit"}, 'has no "fit"'),
        ({"trainer": "script:train"}, "it ended the process: sys.exit(2); put its code under `if __name__"),
        ({"trainer": "broken:train"}, "broken.py:1: '(' was never closed; expected a Python module"),
        ({"trainer": "toy:train", "settings": {"_gain": 1}}, 'settings: "_gain": expected a name as Python has them'),
        ({"trainer": "toy:nothing", "settings": {"model_dump": 1}}, 'settings: "model_dump": expected another name'),
        ({"trainer": "toy:METRIC"}, 'has no "METRIC"'),
        ({"trainer": "toy:math"}, '"toy:math" is module, expected a function of (settings, run)'),
        (
            {"trainer": "toy:nothing", "settings": {"layers": [1]}, "factors": {"L": {"patch": {"layers": 5}}}},
            "factors.L.patch.layers: found 5, expected a list",
        ),
        (
            {"trainer": "toy:nothing", "settings": {"net": {"depth": 1}}, "factors": {"L": {"patch": {"net.dept": 5}}}},
            'factors.L.patch.net.dept: "dept" is not a key of net; did you mean "depth"?',
        ),
        (
            {"trainer": "toy:nothing", "settings": {"net": {"depth": 1}}, "factors": {"L": {"patch": {"net": 5}}}},
            "factors.L.patch.net: found 5, expected a mapping (key: value)",
        ),
    ],
)
def test_a_wrong_setting_or_function_is_named_before_anything_runs(
    declare: Declare, folder: Path, recipe: dict[str, Any], message: str
) -> None:
    (folder / "typed.py").write_text(TYPED)
    (folder / "script.py").write_text("import argparse\nargparse.ArgumentParser().error('expected a file')\n")
    (folder / "broken.py").write_text("def train(settings, run:\n")
    factors = recipe.get("factors", {})
    rows = [{"id": "one", "factors": list(factors)}]
    with pytest.raises(InputError) as refusal:
        prepare(
            declare({"trainer": "typed:train", "factors": {}, **recipe}, **one_row(rows=rows)),
            store=str(folder / "store"),
        )
    assert message in str(refusal.value)


def test_settings_may_be_lists_and_nested_and_called_as_a_dicts_methods_are(
    declare: Declare, outcomes: Outcomes, folder: Path
) -> None:
    (folder / "nested.py").write_text(
        "def train(settings, run):\n"
        "    return {'score': settings.items + settings.net.layers[1].width, 'loss': len(settings.keys)}\n"
    )
    settings = {"items": 1, "keys": [1, 2], "copy": 0, "net": {"layers": [3, {"width": 4}]}}
    factors = {"Wide": {"patch": {"net.layers": [0, {"width": 40}]}}}
    rows = [{"id": "plain", "factors": []}, {"id": "wide", "factors": ["Wide"]}]
    ended = outcomes(
        declare({"trainer": "nested:train", "settings": settings, "factors": factors}, **one_row(rows=rows))
    )
    assert [outcome.result and outcome.result["metrics"] for outcome in ended.values()] == [
        {"score": 5, "loss": 2},
        {"score": 41, "loss": 2},
    ]


WRITES = "import json, os, sys\njson.dump({'score': 1.0, 'loss': 1.0}, open(os.environ['HARNESS_METRICS'], 'w'))\n"


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (WRITES + "sys.exit(3)", "ended with exit status 3: it wrote nothing to its standard error"),
        ("open(__import__('os').environ['HARNESS_METRICS'], 'w').write('[' * 100000)", "the metrics file is not JSON"),
        (
            "open(__import__('os').environ['HARNESS_METRICS'], 'w').write('[1.0]')",
            "returned list, expected the metrics",
        ),
        (
            "open(__import__('os').environ['HARNESS_METRICS'], 'w').truncate(2 ** 40)",
            "the metrics file has 1099511627776",
        ),
        ("open(__import__('os').environ['HARNESS_LOG'], 'w').truncate(2 ** 40)", "the command's log has 1099511627776"),
        (
            "open(__import__('os').environ['HARNESS_LOG'], 'w').write('x' * 2 ** 21)",
            "a line of the command's log has more",
        ),
        ("import sys; sys.stderr.write('x' * 10 ** 7 + 'the end'); sys.exit(1)", "ended with exit status 1: xxx"),
    ],
)
def test_a_command_that_misbehaves_fails_its_row(
    declare: Declare, outcomes: Outcomes, folder: Path, program: str, reason: str
) -> None:
    (folder / "script.py").write_text(program)
    command = {"command": [sys.executable, "script.py"], "code": ["script.py"]}
    (outcome,) = outcomes(declare({"trainer": command}, **one_row())).values()
    assert outcome.status == "failed"
    assert reason in outcome.reason
    assert len(outcome.reason) < 30_000


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("{text}", "no-such-program: cannot be started (No such file or directory)"),
        ("./script.py", "Permission denied"),
    ],
)
def test_a_command_that_cannot_be_started_fails_its_row(
    declare: Declare, outcomes: Outcomes, folder: Path, program: str, reason: str
) -> None:
    (folder / "script.py").write_text(WRITES)
    (folder / "script.py").chmod(0o755)
    command = {"command": [program], "code": ["script.py"]}
    table = declare({"trainer": command, "settings": {"text": "no-such-program"}, "factors": {}}, **one_row())
    if program.startswith("."):
        prepare(table, store=str(folder / "store"))
        (folder / "script.py").write_bytes(b"\x00\x01")  # no format that a system runs
        reason = "Exec format error"
    (outcome,) = outcomes(table).values()
    assert reason in outcome.reason


def test_a_log_of_text_is_left_out_and_noted(declare: Declare, outcomes: Outcomes, folder: Path) -> None:
    lines = [
        "no JSON",
        "[1]",
        '{"step": "one"}',
        '{"step": 1, "loss": "low"}',
        '{"step": 1, "loss": 0.5}',
        "[" * 90_000,
    ]
    (folder / "script.py").write_text(
        WRITES + f"open(os.environ['HARNESS_LOG'], 'w').write({chr(10).join(lines) + chr(10)!r})\n"
    )
    command = {"command": [sys.executable, "script.py"], "code": ["script.py"]}
    (outcome,) = outcomes(declare({"trainer": command}, **one_row())).values()
    assert outcome.result is not None
    assert outcome.result["steps"] == 1
    assert outcome.result["notes"] == ["a line of the command's log is not a JSON object of numbers, and was ignored"]


def test_placeholders_of_lists_and_nested_settings(declare: Declare, outcomes: Outcomes, folder: Path) -> None:
    (folder / "script.py").write_text(
        WRITES.replace("1.0", "json.loads(sys.argv[1])[1]", 1).replace("1.0", "float(sys.argv[2])")
    )
    words = [sys.executable, "script.py", "{sizes}", "{net.depth}"]
    settings = {"sizes": [1, 2], "net": {"depth": 3}}
    recipe = {"trainer": {"command": words, "code": ["script.py"]}, "settings": settings, "factors": {}}
    (outcome,) = outcomes(declare(recipe, **one_row())).values()
    assert outcome.result is not None
    assert outcome.result["metrics"] == {"score": 2, "loss": 3}
    recipe["trainer"] = {"command": [*words, "{net.dept}"], "code": ["script.py"]}
    with pytest.raises(InputError, match=r'"\{net.dept\}" is not a placeholder; did you mean "depth"\?'):
        prepare(declare(recipe, **one_row()), store=str(folder / "store"))


FLOOD = """
import os, sys, time
def train(settings, run):
    for _ in range(40):
        print("x" * 2 ** 20)
    sys.stdout.flush()
    written, ends = os.fstat(1).st_size, time.monotonic() + 20
    while os.fstat(1).st_size > 2 ** 24 and time.monotonic() < ends:
        time.sleep(0.05)
    return {"score": written, "loss": os.fstat(1).st_size}
"""


def test_what_a_function_prints_takes_no_disk(declare: Declare, folder: Path) -> None:
    (folder / "flood.py").write_text(FLOOD)
    prepared = prepare(declare({"trainer": "flood:train"}, **one_row()), store=str(folder / "store"))
    with Engine("local", workers=1).start(prepared.store, Listener()) as executor:
        (outcome,) = executor.execute(
            prepared.plan.to_execute, prepared.matrix.trainer.work, prepared.context, lambda _: None
        ).values()
    assert outcome.result is not None, outcome.reason
    assert outcome.result["metrics"]["loss"] < 2**24, json.dumps(outcome.result)


@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        ({"net.dept": 1}, 'held_out: "net.dept" is not a setting'),
        ({"net.depth": "a"}, "held_out: net.depth: "),
        ({"choose": {"net.dept": 1}, "confirm": {}}, 'held_out: "net.dept" is not a setting'),
        ({"choose": {"net.depth": 2}}, 'held_out: "choose" is not a setting'),
    ],
)
def test_a_wrong_held_out_setting_is_named(
    declare: Declare, folder: Path, held_out: dict[str, Any], message: str
) -> None:
    recipe = {"trainer": "toy:nothing", "settings": {"net": {"depth": 1}}, "factors": {}, "held_out": held_out}
    prepared = prepare(declare(recipe, **one_row()), store=str(folder / "store"))
    with pytest.raises(InputError, match=message):
        prepared.trainer.hold_out(prepared.matrix.rows[0].recipe, {}, "choose")
