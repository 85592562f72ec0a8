"""A small declaration in a folder of its own, for tests that change a line of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

RECIPE = """\
data: {dataset: market1501, height_px: 64, width_px: 32}
model:
  backbone: test_resnet
  weights: none
losses:
  triplet: {epsilon: 0.5}
stages:
  classify:
    losses: [softmax, sac]
    epochs: 3
    sampler: {kind: shuffled, batch_size: 8}
    optimizer: {lr: 0.1}
evaluation: {protocol: market}
factors:
  Softmax: {patch: {losses.softmax.weight: 1.0}}
  DIL: {patch: {model.output_stride: 8, model.stage6: true}}
  SAC:
    patch: {losses.sac.weight: 1.0}
    requires: [DIL]
  Plain:
    patch: {model.multi_level: false}
    excludes: [DIL]
profiles:
  paper: {}
  demo:
    patch: {stages.classify.epochs: 2}
    synthetic: {layout: market1501, identities: 20}
assumptions:
  stages.classify.epochs: not stated
"""

TABLE = """\
title: A small table
recipe: recipe.yaml
seeds: [0, 1]
metrics: [mAP]
rows:
  - {id: 1, factors: [Softmax], paper: {mAP: 50.0}}
  - {id: 2, factors: [Softmax, DIL]}
  - id: full
    factors: [Softmax, DIL, SAC]
claims:
  - {text: SAC helps, better: full, than: 2, metric: mAP, by: 1.0}
"""

Declare = Callable[..., Path]


@pytest.fixture
def declare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Declare:
    """Writes table.yaml and recipe.yaml into a fresh current folder, with some of their text replaced."""
    monkeypatch.chdir(tmp_path)

    def write(
        table: dict[str, str] | None = None, recipe: dict[str, str] | None = None, table_text: str = TABLE
    ) -> Path:
        for name, text, changes in (("table.yaml", table_text, table), ("recipe.yaml", RECIPE, recipe)):
            for old, new in (changes or {}).items():
                assert text.count(old) >= 1, f"{old!r} is not in {name}"
                text = text.replace(old, new, 1)
            Path(name).write_text(text)
        return Path("table.yaml")

    return write
