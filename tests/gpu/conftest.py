"""What a CPU skips: tests of a GPU, on the device that ``HARNESS_TEST_DEVICE`` names (default: cuda).

On a CPU they compare it with itself, which proves the tests: ``HARNESS_TEST_DEVICE=cpu pytest tests/gpu -m gpu``.
"""

import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.api.prepare import Prepared, prepare
from harness.reid.data.synthetic import make_market1501

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.append(str(BENCHMARKS))  # the command's own modules
TABLE = Path(__file__).parents[2] / "ablations" / "table1.yaml"
SMALL = {
    "data.height_px": 32,
    "data.width_px": 16,
    "model.embedding_dim": 16,
    "stages.classify.epochs": 2,
    "stages.classify.sampler.batch_size": 16,
    "stages.metric.epochs": 1,
    "stages.metric.sampler.identities": 4,
}


@pytest.fixture(scope="session")
def device() -> torch.device:
    named = os.environ.get("HARNESS_TEST_DEVICE", "cuda")
    if named == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device("cuda:0" if named == "cuda" else named)


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set in Market-1501's layout."""
    return make_market1501(tmp_path_factory.mktemp("data"), identities=16, seed=3)


@pytest.fixture
def plan_rows(market: Path, tmp_path: Path) -> Any:
    """Plans rows of Table 1's demo on small images, with what else is to be set, in a store of the test's own."""

    def plan(*rows: str, **overrides: Any) -> Prepared:
        return prepare(
            TABLE,
            profile="demo",
            data=market,
            rows=list(rows),
            seeds=[0],
            overrides={**SMALL, **{name.replace("__", "."): value for name, value in overrides.items()}},
            store=str(tmp_path / "store"),
        )

    return plan
