"""Arguments that take several values: one text is refused, never read letter by letter."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness import Recipe, Report, Row, Table
from harness.errors import InputError

FRAME = pd.DataFrame({"lr": [1, 2] * 2, "seed": [0, 0, 1, 1], "acc": [0.1, 0.2, 0.3, 0.4]})


def declare(**changes: Any) -> Table:
    declared: dict[str, Any] = {
        "title": "A toy",
        "recipe": Recipe("toy:train", settings={"gain": 0.5}, metrics={"score": {}}),
        "seeds": [0, 1],
        "metrics": ["score"],
        "rows": [Row("plain", []), Row("more", [], set={"gain": 0.7})],
        **changes,
    }
    return Table.declare("toy", **declared)


def of_frame(**changes: Any) -> Report:
    columns: dict[str, Any] = {"factors": ["lr"], "seed": "seed", "metrics": ["acc"], **changes}
    return Report.from_frame(FRAME, **columns)


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("rows", lambda one: declare().plan(rows=one, progress=False)),
        ("rows", lambda one: declare().run(rows=one, progress=False)),
        ("formats", lambda one: declare().run(formats=one, executor="inprocess", progress=False)),
        ("assumptions", lambda one: declare().sensitivity(assumptions=one, progress=False)),
        ("claims", lambda one: declare().sensitivity(claims=one, progress=False)),
        ("factors", lambda one: of_frame(factors=one)),
        ("metrics", lambda one: of_frame(metrics=one)),
        ("units", lambda one: of_frame(units=one)),
        ("formats", lambda one: of_frame().write("out", one)),
    ],
)
def test_one_text_in_the_place_of_several_is_refused(
    argument: str, call: Callable[[str], object], folder: Path
) -> None:
    with pytest.raises(InputError) as raised:
        call("md")
    assert str(raised.value) == f"{argument}: found 'md', expected a list, ['md']"
    assert not list(folder.rglob("*.md"))


@pytest.mark.parametrize("method", ["run", "sensitivity"])
def test_an_unknown_format_is_refused_before_anything_is_prepared(
    method: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.api.prepare.choose", lambda *_args, **_options: pytest.fail("it was prepared"))
    with pytest.raises(InputError, match=r'^--format "htm": did you mean "html"'):
        getattr(declare(), method)(formats=["htm"], progress=False)


@pytest.mark.parametrize("argument", ["metrics", "seeds", "rows", "claims"])
def test_a_declaration_in_python_refuses_it_as_a_file_does(argument: str, folder: Path) -> None:
    with pytest.raises(InputError, match=rf'^table toy: {argument}: found the text "md", expected a list'):
        declare(**{argument: "md"})


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        (3, "seeds: found 3, expected a list, [3]"),
        ("01", "seeds: found '01', expected a list, ['01']"),
        (["0"], "seeds: found ['0'], expected whole numbers, [0, 1, 2]"),
        ([0.5], "seeds: found [0.5], expected whole numbers, [0, 1, 2]"),
    ],
)
def test_seeds_are_a_list_of_whole_numbers(seeds: Any, message: str, folder: Path) -> None:
    with pytest.raises(InputError) as raised:
        declare().plan(seeds=seeds, progress=False)
    assert str(raised.value) == message


def test_rows_are_texts_even_where_they_look_like_numbers(folder: Path) -> None:
    numbered = declare(rows=[Row("1", []), Row("2", [], set={"gain": 0.7})])
    with pytest.raises(InputError, match=r"^rows: found 1, expected texts$"):
        numbered.plan(rows=[1], progress=False)  # type: ignore[list-item]
    with pytest.raises(InputError, match=r'^1 is not a row of toy; did you mean "1"'):
        numbered[1]  # type: ignore[index]


def test_seeds_may_come_as_a_range_or_from_numpy_and_identify_the_same_stages(folder: Path) -> None:
    named = [stage["fingerprint"] for stage in declare().plan(progress=False).answer["stages"]]
    for seeds in (range(2), np.arange(2), (seed for seed in (0, 1))):
        planned = declare().plan(seeds=seeds, progress=False)
        assert [stage["fingerprint"] for stage in planned.answer["stages"]] == named
    for seeds in (range(2), np.arange(2)):
        declared = declare(seeds=seeds).plan(progress=False)
        assert [stage["fingerprint"] for stage in declared.answer["stages"]] == named


def test_claims_beside_a_frame_may_be_a_file_named_by_a_text(folder: Path) -> None:
    (folder / "beside.yaml").write_text('{"title": "Named in the file"}')
    assert of_frame(claims="beside.yaml").model.title == "Named in the file"
    with pytest.raises(InputError, match=r"^none\.yaml: no such file"):
        of_frame(claims="none.yaml")
