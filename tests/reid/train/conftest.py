"""A tiny data set in Market-1501's layout, and the settings of a stage that trains on it in a second."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.reid.data.synthetic import make_market1501
from harness.reid.train.training import train_stage


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_market1501(tmp_path_factory.mktemp("data"), identities=8, seed=3)


def context_of(market: Path, cache: Path) -> dict[str, Any]:
    return {
        "data": [{"dataset": "market1501", "root": str(market)}],
        "cache": str(cache),
        "weights": {"none": "none"},
        "threads": 1,
        "log_every": 2,
    }


@pytest.fixture
def context(market: Path, tmp_path: Path) -> dict[str, Any]:
    return context_of(market, tmp_path / "cache")


SETTINGS: Mapping[str, Any] = {
    "name": "metric",
    "seed": 5,
    "code": "-",
    "data": {"splits": {}, "height_px": 32, "width_px": 16},
    "augment": {"flip": 0.5, "pad_px": 2, "erase": 0.5, "mean": [0.5] * 3, "std": [0.25] * 3},
    "model": {
        "backbone": "test_resnet",
        "output_stride": 8,
        "stage6": True,
        "stage6_dilation": 2,
        "multi_level": True,
        "embedding_dim": 16,
    },
    "weights": "none",
    "classifier": True,
    "losses": {
        "softmax": {"weight": 1.0, "label_smoothing": 0.0},
        "quadruplet": {"weight": 1.0, "epsilon1": 0.5, "epsilon2": 0.2},
        "sac": {"weight": 1.0},
    },
    "normalize_embeddings": False,
    "sampler": {"kind": "identities", "identities": 4, "images": 2},
    "optimizer": {"kind": "sgd", "lr": 0.02, "new_layers_multiplier": 2.0, "momentum": 0.9, "weight_decay": 5e-4},
    "schedule": {"kind": "step", "every": 1, "factor": 0.5, "warmup_epochs": 0},
    "epochs": 2,
    "arithmetic": {"precision": "float32", "tf32": False, "deterministic": False},
}
"""Softmax, quadruplet and SAC on the dilated network: everything that a stage can do at once."""


@pytest.fixture
def settings() -> dict[str, Any]:
    return copy.deepcopy(dict(SETTINGS))


@pytest.fixture(scope="session")
def whole(market: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mapping[str, Any]]:
    """A stage of these settings trained in one go, only to be read: its folder and its result."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, train_stage(SETTINGS, context_of(market, folder / "cache"), folder, None, lambda _: None)
