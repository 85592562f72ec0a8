"""A metric of the user's own, computed from what the paper's trainer scored."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import DEMO, PLAIN, TINY, Command, answer

from harness.units import UNITS, read_units

FUNCTIONS = '''
import numpy as np


def misses(scored, *, rank):
    """By query, whether its first match comes behind ``rank``."""
    return scored.first_hit_rank > rank


def length(scored):
    return float(np.linalg.norm(scored.gallery_features, axis=1).mean())


def wrong(scored):
    return [1.0, 2.0]
'''
OWN = {
    "misses": {"implementation": "own:misses", "better": "lower", "unit": "percent", "options": {"rank": 1}},
    "length": {"implementation": "own:length", "title": "Length of embeddings"},
}


@pytest.fixture
def own_place(place: Path) -> Path:
    (place / "own.py").write_text(FUNCTIONS, encoding="utf-8")
    recipe = {"extends": "market1501.yaml", "evaluation": {"metrics": OWN}}
    (place / "recipes" / "own.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    table = TINY.replace("recipes/market1501.yaml", "recipes/own.yaml")
    table = table.replace("metrics: [mAP, rank1]", "metrics: [rank1, misses, length]")
    (place / "own.yaml").write_text(table, encoding="utf-8")
    return place


def test_a_metric_of_one_s_own_is_in_the_table_by_query_and_part_of_its_identity(
    harness: Command, own_place: Path, photographs: Path
) -> None:
    words = ("own.yaml", *DEMO, "--rows", "1", "--data", photographs)
    (row,) = answer(harness("run", *words, *PLAIN, "--json"))["rows"]
    metrics = row["metrics"]
    assert metrics["misses"] == pytest.approx(1.0 - metrics["rank1"])  # those whose first match is not first
    assert metrics["length"] > 0.0
    (file,) = (own_place / ".harness" / "stages").rglob(UNITS)
    values = read_units(file).values
    assert np.array_equal(values["misses"], 1.0 - values["rank1"])
    assert "length" not in values
    report = (own_place / "reports" / "own.md").read_text(encoding="utf-8")
    assert "Length of embeddings" in report

    (own_place / "own.py").write_text(FUNCTIONS.replace("> rank", ">= rank"), encoding="utf-8")
    states = {stage["kind"]: stage["state"] for stage in answer(harness("plan", *words, "--json"))["stages"]}
    assert states == {"train": "cached", "evaluate": "to run"}


def test_a_metric_that_misbehaves_fails_its_rows_and_a_name_that_is_taken_is_refused(
    harness: Command, own_place: Path, photographs: Path
) -> None:
    words = ("run", "own.yaml", *PLAIN, *DEMO, "--rows", "1", "--data", photographs, "--json")
    done = harness(*words, "--set", "evaluation.metrics.length.implementation=own:wrong", code=1)
    (row,) = json.loads(done.stdout)["rows"]
    assert 'metric "length": returned 2 values, expected' in row["reason"]
    done = harness(*words, "--set", "evaluation.metrics.length.implementation=own:nothing", code=2)
    assert 'evaluation.metrics.length.implementation: "own:nothing": own (' in done.stderr
    recipe = own_place / "recipes" / "own.yaml"
    recipe.write_text(recipe.read_text(encoding="utf-8").replace('"length"', '"mAP"'), encoding="utf-8")
    done = harness(*words, code=2)
    assert '"mAP" is a metric of the protocol market; choose another name' in done.stderr
