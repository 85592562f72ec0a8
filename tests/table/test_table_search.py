"""A search from Python, on a toy whose held-out score is its gain."""

import json
from pathlib import Path

import pytest

from harness import InputError, Search

RECIPE = {
    "trainer": "toy:train",
    "settings": {"gain": 0.5, "steps": 3, "wide": False},
    "held_out": {"wide": True},
    "metrics": {"score": {}, "loss": {"better": "lower"}},
    "factors": {},
}
TABLE = {"title": "T", "recipe": RECIPE, "seeds": [0], "metrics": ["score"], "rows": [{"id": "a", "factors": []}]}
SEARCH = {
    "title": "S",
    "table": "table.yaml",
    "tune": "once",
    "rows": ["a"],
    "space": {"gain": {"low": 0.1, "high": 0.3, "step": 0.1}},
    "sampler": "grid",
    "budget": {"trials": 3},
    "metric": "score",
    "seeds": [0],
    "confirm": [7],
    "held_out": {"share": 0.2, "seed": 0},
}


def test_a_search_runs_and_gives_its_trials_and_its_best_point(folder: Path) -> None:
    (folder / "table.yaml").write_text(json.dumps(TABLE))
    (folder / "search.yaml").write_text(json.dumps(SEARCH))
    search = Search("search.yaml")
    with pytest.raises(InputError, match="search has no outcome yet; run it first"):
        _ = search.best
    search.run(executor="inprocess", progress=False)
    trials = search.trials()
    assert sorted(trials.gain.round(6)) == [0.1, 0.2, 0.3]
    assert search.best["a"] == pytest.approx({"gain": 0.3})
    best = trials.loc[trials.value.idxmax()]
    assert best.value == pytest.approx(0.3 + 0.15)  # the gain, and the mean of 0, 0.1, 0.2 and 0.3
    assert search.written[0].is_file()
