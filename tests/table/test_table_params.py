"""The parameters of a table's runs in MLflow, which its pages set beside each other."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from test_table_sensitivity import declare

from harness.track import read_snapshot
from harness.trainers.steps import StepTrainer


def test_a_parameter_that_a_row_has_not_reads_as_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def params(_: Any, settings: Any) -> Mapping[str, Any]:
        """As the paper's trainer, whose rows without the quadruplet loss have no margins."""
        return {"steps": settings.steps} | ({"margin": settings.gain} if settings.gain > 0.6 else {})

    monkeypatch.setattr(StepTrainer, "params", params)
    declare().run(executor="inprocess", progress=False, formats=(), seeds=[0], rows=["plain", "more"])
    found = {run.row: (run.params["steps"], run.params["margin"]) for run in read_snapshot(None, "toy").runs}
    assert found == {"plain": ("3", "none"), "idle": ("3", "none"), "more": ("3", "0.7")}
