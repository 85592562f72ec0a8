"""Stages whose losses keep parameters for each identity, with another optimiser and schedule."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from harness.reid.files import LOSSES, WEIGHTS
from harness.reid.train.training import train_stage

LIBRARY = {
    "circle": {"weight": 1.0, "margin": 0.25, "gamma": 128.0},
    "contrastive": {"weight": 1.0, "pos_margin": 0.0, "neg_margin": 1.0},
    "center": {"weight": 0.1, "alpha": 0.5},
    "arcface": {"weight": 1.0, "margin_degrees": 28.6, "scale": 16.0},
    "cosface": {"weight": 1.0, "margin": 0.35, "scale": 16.0},
}


class Killed(BaseException):
    """Simulates a kill."""


def train(settings: dict[str, Any], context: dict[str, Any], folder: Path, kill_at: int = 0) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    readings = 0

    def emit(detail: Any) -> None:
        nonlocal readings
        readings += "step" in detail
        if readings and readings == kill_at:
            raise Killed

    return train_stage(settings, context, folder, None, emit)


def resumes_bit_for_bit(settings: dict[str, Any], context: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    context["checkpoint_minutes"] = 0.0
    whole = train(settings, context, tmp_path / "whole")
    with pytest.raises(Killed):
        train(settings, context, tmp_path / "killed", kill_at=3)
    torch.rand(3)
    train(settings, context, tmp_path / "killed")
    for name in (WEIGHTS, LOSSES):
        files = [tmp_path / folder / name for folder in ("whole", "killed")]
        assert [file.is_file() for file in files] in ([True] * 2, [False] * 2)
        assert not files[0].is_file() or files[0].read_bytes() == files[1].read_bytes()
    return whole


@pytest.mark.parametrize("name", LIBRARY)
def test_each_loss_trains_and_resumes_bit_for_bit(
    settings: dict[str, Any], context: dict[str, Any], tmp_path: Path, name: str
) -> None:
    settings["losses"] = {"softmax": settings["losses"]["softmax"], name: LIBRARY[name]}
    settings["optimizer"] |= {"kind": "lion", "lr": 1e-3}
    settings["schedule"] = {"kind": "one_cycle"}
    result = resumes_bit_for_bit(settings, context, tmp_path)
    assert result[f"final_loss_{name}"] > 0
    left = load_file(tmp_path / "whole" / LOSSES) if name in {"center", "arcface", "cosface"} else {}
    assert {place: value.shape for place, value in left.items()} == (
        {"center.centers": (result["classes"], 16)}
        if name == "center"
        else {f"{name}.W": (16, result["classes"])}
        if name in {"arcface", "cosface"}
        else {}
    )


def test_the_next_stage_continues_with_the_centres_of_its_parent(
    settings: dict[str, Any], context: dict[str, Any], tmp_path: Path
) -> None:
    settings["losses"] = {"softmax": settings["losses"]["softmax"], "arcface": LIBRARY["arcface"]}
    train(settings, context, tmp_path / "parent")
    child = {**settings, "epochs": 1, "optimizer": {**settings["optimizer"], "lr": 1e-12, "weight_decay": 0.0}}
    del child["weights"]
    (tmp_path / "child").mkdir()
    train_stage(child, context, tmp_path / "child", tmp_path / "parent", lambda _: None)
    before, after = (load_file(tmp_path / folder / LOSSES)["arcface.W"] for folder in ("parent", "child"))
    torch.testing.assert_close(before, after)
