"""Backbones from the command line: rows whose factors find nothing in theirs are refused before anything is trained."""

from pathlib import Path

import pytest
import timm
from conftest import ABLATIONS, run_harness

NETS = """
import timm

def net():
    return timm.create_model("test_convnext", features_only=True)
"""
CHOSEN = ("plan", ABLATIONS / "table1.yaml", "--profile", "paper", "--rows")


def test_rows_that_dilate_a_vit_are_refused_and_the_others_planned(tmp_path: Path) -> None:
    done = run_harness(tmp_path, *CHOSEN, "1,4", "--set", "model.backbone=test_vit")
    shown = " ".join(done.stdout.split())
    assert "Refused: row 4: " in shown
    assert "model.output_stride: test_vit has no stage that can be dilated to 8; write 32, without the factor" in shown
    assert "Refused: row 1" not in shown


def test_a_network_of_ones_own_is_planned_from_a_file_beside(tmp_path: Path) -> None:
    (tmp_path / "my_nets.py").write_text(NETS)
    chosen = ("1", "--set", "model.backbone=my_nets:net", "--set", "model.weights=none")
    network = timm.create_model("test_convnext", features_only=True)
    counted = sum(values.numel() for values in network.parameters()) + 64 * 1024 + 1024  # and the embedding
    assert f"{counted / 1000:.0f} k" in run_harness(tmp_path, *CHOSEN, *chosen).stdout


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("model.backbone=test_vti",), 'timm has no network "test_vti"; did you mean'),
        (("model.backbone=my_nets:nte", "model.weights=none"), 'has no "nte"; did you mean "net"'),
        (("model.backbone=my_nets:net",), 'model.weights: found "imagenet", which "my_nets:net" does not have'),
    ],
)
def test_a_wrong_backbone_is_an_error_of_one_sentence(tmp_path: Path, settings: tuple[str, ...], message: str) -> None:
    (tmp_path / "my_nets.py").write_text(NETS)
    words = [word for setting in settings for word in ("--set", setting)]
    assert message in run_harness(tmp_path, *CHOSEN, "1", *words, code=2).stderr
