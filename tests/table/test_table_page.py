"""Every Python call that the page shows beside a command runs."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_table_search import SEARCH
from test_table_sensitivity import RECIPE

import harness
import harness.reid.data.check
import harness.reid.data.synthetic
import harness.reid.evaluate

PAGE = Path(__file__).parents[2] / "harness" / "docs" / "python.md"
CALLS = [cells[1] for line in PAGE.read_text().splitlines() if len(cells := re.findall(r"(?<=\| )`(.+?)`", line)) == 2]
PAIR = [{"id": "a", "factors": []}, {"id": "b", "factors": ["Gain=more"]}]
TABLE: dict[str, Any] = {
    "title": "T",
    "recipe": {**RECIPE, "held_out": {"wide": True}},
    "seeds": [0, 1],
    "metrics": ["score"],
    "rows": PAIR,
    "claims": [{"text": "more", "better": "b", "than": "a", "metric": "score"}],
}


def test_the_page_pairs_commands_with_calls() -> None:
    assert len(CALLS) == 15


@pytest.mark.parametrize("call", CALLS)
def test_a_call_of_the_page_runs(call: str, folder: Path) -> None:
    """The calls' own placeholders stand for real files; only ``...`` is filled in."""
    (folder / "table.yaml").write_text(json.dumps(TABLE))
    (folder / "SEARCH.yaml").write_text(json.dumps(SEARCH))
    table = harness.Table("table.yaml")
    names = {"harness": harness, "Path": Path, "table": table, "name": "market1501"}
    if "run(" not in call and call.startswith("table."):
        table.run(executor="inprocess", progress=False, formats=())
    if "csv" in call:
        (folder / "results.csv").write_text("a,b,s,m\n0,0,0,0.5\n1,0,0,0.6\n0,1,0,0.7\n1,1,0,0.9\n")
    if "FEATURES" in call:
        points = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
        sides = {"query_features": points[:4], "gallery_features": points[4:]}
        labels = {
            f"{side}_{kind}": np.arange(4) + of for side, of in (("query", 0), ("gallery", 4)) for kind in ["cameras"]
        }
        np.savez("FEATURES.npz", **sides, **labels, query_ids=np.arange(4), gallery_ids=np.arange(4))
    if "check_dataset" in call:
        harness.reid.data.synthetic.make("market1501", folder / "DIR", identities=12, seed=0)
    if "from_mlflow" in call:
        pytest.skip("asks an MLflow experiment: tests/cli/test_cli_existing.py")
    if "extract_cuhk03" in call:
        pytest.skip("reads the release: tests/reid/data/test_data_cuhk03.py")
    eval(call.replace("identities=300", "identities=12"), names)
