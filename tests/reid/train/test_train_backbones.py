"""Every family of backbones trains a stage and, after a kill, resumes bit for bit."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from test_train_stage import Killed, silent, spooled

from harness.reid.files import WEIGHTS
from harness.reid.train.training import train_stage

DILATED = {"output_stride": 8, "stage6": True}
ONE_GRID = {"output_stride": 32, "stage6": True}
SMALL_SWIN = {"embed_dim": 24, "depths": (1, 1, 1, 1), "num_heads": (1, 2, 3, 4), "drop_path_rate": 0.3}


@pytest.mark.parametrize(
    ("backbone", "model", "losses"),
    [
        ("test_convnext", DILATED | {"options": {"drop_path_rate": 0.3}}, ("softmax", "sac")),
        ("test_efficientnet", DILATED | {"options": {"drop_path_rate": 0.3}}, ("softmax", "sac")),
        ("test_vit", ONE_GRID | {"options": {"drop_path_rate": 0.3, "proj_drop_rate": 0.1}}, ("softmax", "sac")),
        ("swin_tiny_patch4_window7_224", {"options": SMALL_SWIN}, ("softmax",)),
        pytest.param("mobilenetv3_small_050", {"options": {"drop_rate": 0.2}}, ("softmax",), marks=pytest.mark.slow),
        pytest.param("regnetx_002", DILATED, ("softmax", "sac"), marks=pytest.mark.slow),
    ],
)
def test_a_stage_of_each_family_resumes_bit_for_bit(
    settings: dict[str, Any],
    context: dict[str, Any],
    tmp_path: Path,
    backbone: str,
    model: dict[str, Any],
    losses: tuple[str, ...],
) -> None:
    plain = {"output_stride": 32, "stage6": False, "options": {}}
    model = plain | model
    settings["model"] |= {"backbone": backbone, **model}
    settings["losses"] = {name: settings["losses"][name] for name in losses}
    context["checkpoint_minutes"] = 0.0
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    whole = train_stage(settings, context, tmp_path / "whole", None, silent)
    readings = 0

    def kill(detail: Mapping[str, Any]) -> None:
        nonlocal readings
        readings += "step" in detail
        if readings == 2:
            raise Killed

    with pytest.raises(Killed):
        train_stage(settings, context, tmp_path / "killed", None, kill)
    torch.rand(7)  # the state of the global generator must not matter
    resumed = train_stage(settings, context, tmp_path / "killed", None, silent)
    expected, found = load_file(tmp_path / "whole" / WEIGHTS), load_file(tmp_path / "killed" / WEIGHTS)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert spooled(tmp_path / "whole") == spooled(tmp_path / "killed")
    assert resumed["final_loss"] == whole["final_loss"]
