"""A table settled from Python: the same rounds and verdicts as ``run --settle``."""

from pathlib import Path
from typing import Any

import pytest
from test_table_run import declare

from harness import InputError


def test_seeds_are_added_to_open_rows_alone_and_the_plan_bounds_them(folder: Path) -> None:
    table = declare()  # "more" gains 0.2 under every seed
    assert table.plan(progress=False).settling == {}
    planned = table.plan(settle=True, max_seeds=6, progress=False).settling
    ended = table.run(executor="inprocess", settle=True, max_seeds=6, progress=False, formats=())
    assert ended.failed == []
    seeds = table.results().groupby("row").seed.nunique()
    assert seeds["plain"] == seeds["more"] > seeds["most"] == 2  # no claim names "most"
    assert ended.trained <= planned["runs_at_most"]
    assert table.claims().verdict.tolist() == ["inconclusive"]  # six equal differences: no variance to judge by


@pytest.mark.parametrize(
    ("method", "given", "message"),
    [
        ("run", {"settle": True, "rows": ["plain"]}, r"rows=\['plain'\]: settling starts with the table's own rows"),
        ("plan", {"settle": True, "seeds": [3]}, r"seeds=\[3\]: settling starts with the table's own rows and seeds"),
        ("run", {"budget_s": 60.0}, "budget_s=60.0: needs settle=True"),
        ("plan", {"max_seeds": 4}, "max_seeds=4: needs settle=True"),
    ],
)
def test_what_does_not_fit_is_refused(folder: Path, method: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        getattr(declare(), method)(**given, progress=False)
