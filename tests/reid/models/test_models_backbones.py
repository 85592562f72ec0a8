"""Backbones that are no ResNet: their levels, what each factor finds in them, a user's own, and their weights."""

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
from torch import Tensor

from harness.errors import InputError
from harness.reid.models import Network, build_network, network_cost
from harness.reid.models.backbone import backbone_names
from harness.reid.models.fit import misfit
from harness.reid.models.sources import plain_resnet
from harness.reid.models.weights import preprocessing

OWN = """
import torch
from torch import nn

class Net(nn.Module):
    feature_info = [{"num_chs": 8, "reduction": 4}]

    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 4, 4)

    def forward(self, images):
        return self.conv(images).relu()

def net(width=8):
    return Net(width)

def bare():
    return nn.Conv2d(3, 8, 3)

def broken():
    raise ValueError("no such layer")
"""


def network(backbone: str, *, size: tuple[int, int] = (64, 32), **changes: Any) -> Network:
    arguments: dict[str, Any] = {
        "weights": "none",
        "output_stride": 32,
        "stage6": False,
        "stage6_dilation": 2,
        "multi_level": True,
        "embedding_dim": 16,
        "classes": 5,
        "seed": 0,
        **changes,
    }
    return build_network(backbone=backbone, height_px=size[0], width_px=size[1], **arguments)


def fits(backbone: str, **changes: Any) -> str:
    plain: dict[str, Any] = {
        "options": {},
        "size": (64, 32),
        "output_stride": 32,
        "stage6": False,
        "multi_level": False,
        "sac": False,
        "checkpoint_activations": False,
    }
    return misfit(backbone=backbone, **{**plain, **changes})


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"own_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    return name


@pytest.mark.parametrize(
    ("backbone", "maps"),
    [  # strides 16 and 32 of 64 x 32 pixels; a ViT's grid is 16 pixels throughout
        ("test_convnext", [(48, 4, 2), (64, 2, 1)]),
        ("test_efficientnet", [(48, 4, 2), (64, 2, 1)]),
        ("test_vit", [(64, 4, 2), (64, 4, 2)]),
        ("swin_tiny_patch4_window7_224", [(384, 4, 2), (768, 2, 1)]),
    ],
)
def test_every_family_gives_two_levels_and_every_parameter_learns(backbone: str, maps: list[Any]) -> None:
    built = network(backbone)
    output = built(torch.randn(2, 3, 64, 32))
    assert [tuple(level.shape[1:]) for level in output.maps] == maps
    assert output.embedding.shape == (2, 16)
    output.logits.sum().backward()
    assert [name for name, values in built.named_parameters() if values.grad is None] == []


def test_the_levels_are_those_that_timm_gives() -> None:
    ours = network("test_convnext").eval()
    theirs = timm.create_model("test_convnext", features_only=True).eval()
    theirs.load_state_dict(
        {
            name.replace("stages.", "stages_").replace("stem.", "stem_"): value
            for name, value in ours.backbone.model.state_dict().items()
            if name.replace("stages.", "stages_").replace("stem.", "stem_") in theirs.state_dict()
        }
    )
    images = torch.randn(2, 3, 64, 32)
    with torch.inference_mode():
        assert all(torch.equal(a, b) for a, b in zip(ours(images).maps, theirs(images)[-2:], strict=True))


def test_names_that_need_no_check_are_all_plain_resnets() -> None:
    named = {name for name in timm.list_models() if plain_resnet(name)}
    assert {"resnet18", "resnet50", "resnet101", "test_resnet"} <= named <= set(backbone_names())


def test_a_row_is_refused_where_its_backbone_lacks_what_a_factor_needs() -> None:
    assert fits("test_vit", output_stride=8, stage6=True) == (
        "model.output_stride: test_vit has no stage that can be dilated to 8; write 32, without the factor DIL; its "
        "maps have one size without: 4 x 2"
    )
    assert "no stage that can be dilated" in fits("swin_tiny_patch4_window7_224", output_stride=8)
    assert "gives 4 x 2, 2 x 1; write model.output_stride 8 (DIL)" in fits("test_convnext", sac=True)
    assert "turn SAC off, or take a backbone on one grid" in fits("swin_tiny_patch4_window7_224", sac=True)
    assert "write false" in fits("test_efficientnet", checkpoint_activations=True)


def test_a_row_is_trained_where_its_backbone_has_what_its_factors_need() -> None:
    assert fits("test_convnext", output_stride=8, stage6=True, multi_level=True, sac=True) == ""
    assert fits("test_vit", stage6=True, multi_level=True, sac=True, checkpoint_activations=True) == ""


@pytest.mark.parametrize(
    ("backbone", "options", "message"),
    [
        ("test_vti", {}, r'timm has no network "test_vti"; did you mean .*test_vit'),
        (
            "test_vit",
            {"drop_path": 0.1},
            '^model.options.drop_path: test_vit has no option "drop_path"; .*"drop_path_rate"',
        ),
        ("resnet18", {"xyz": 0.1}, 'model.options.xyz: resnet18 has no option "xyz"$'),
        ("test_vit", {"depth": "x"}, "test_vit cannot be built with .*depth x"),
        ("test_vit", {"pretrained": True}, "model.options.pretrained: pretrained is not an option"),
    ],
)
def test_what_cannot_be_built_is_refused(backbone: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        fits(backbone, options=options)


def test_dropped_activations_are_recomputed_bit_for_bit() -> None:
    gradients = []
    for recompute in (False, True):
        built = network("test_vit", stage6=True, options={"drop_path_rate": 0.5})
        built.recompute = recompute
        torch.manual_seed(1)
        built(torch.ones(4, 3, 64, 32)).logits.square().sum().backward()
        gradients.append([values.grad for values in built.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_a_network_of_ones_own_is_built_from_its_function(own: str) -> None:
    built = network(f"{own}:net", multi_level=False)
    assert built(torch.randn(2, 3, 64, 32)).maps[0].shape == (2, 8, 16, 8)
    again = network(f"{own}:net", multi_level=False)
    assert all(torch.equal(a, b) for a, b in zip(built.parameters(), again.parameters(), strict=True))
    # conv 3*8*16+8, embedding 8*16+16, classifier 16*5+5; multiply-adds 16*8*8*(3*16), 8*16, 16*5
    cost = network_cost(
        backbone=f"{own}:net", output_stride=32, stage6=False, stage6_dilation=1, multi_level=False, embedding_dim=16,
        classes=5, height_px=64, width_px=32,
    )  # fmt: skip
    assert (cost.parameters, cost.multiply_adds) == (392 + 144 + 85, 49152 + 128 + 80)
    assert fits(f"{own}:net", multi_level=True).endswith("turn it off (Multi), or turn model.stage6 on for a second")
    assert fits(f"{own}:net", multi_level=True, stage6=True, sac=True) == ""
    assert "no stage that can be dilated" in fits(f"{own}:net", output_stride=8)


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        ("nte", {}, 'has no "nte"; did you mean "net"'),
        ("bare", {}, "has no feature_info; expected a list"),
        ("broken", {}, "ValueError: no such layer"),
        ("net", {"depth": 3}, "unexpected keyword argument 'depth'"),
        ("net", {"width": 9}, r"gave a map of shape \(1, 9, 16, 8\), expected \(1, 8, height, width\)"),
    ],
)
def test_a_wrong_network_of_ones_own_is_refused(own: str, function: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        fits(f"{own}:{function}", options=options)


def state_of(backbone: str, **arguments: Any) -> dict[str, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return timm.create_model(backbone, **arguments).state_dict()


@pytest.mark.parametrize("backbone", ["test_convnext", "test_efficientnet", "test_vit"])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.backbone.", "backbone.model."])
def test_timms_naming_loads_under_the_prefixes_that_trainers_leave(tmp_path: Path, backbone: str, prefix: str) -> None:
    size = {"img_size": (64, 32)} if backbone == "test_vit" else {}
    state = state_of(backbone, **size)
    named = {f"{prefix}{name}": value for name, value in state.items()}
    torch.save({"state_dict": named | {"bottleneck.weight": torch.ones(2)} if "backbone" in prefix else named},
               tmp_path / "x.pth")  # fmt: skip
    loaded = network(backbone, weights=str(tmp_path / "x.pth")).backbone.model.state_dict()
    assert loaded
    assert all(torch.equal(value, state[name]) for name, value in loaded.items())


def test_position_embeddings_of_another_size_are_resampled(tmp_path: Path) -> None:
    state = state_of("test_vit")  # 160 x 160: 10 x 10 positions
    safetensors.torch.save_file(state, tmp_path / "x.safetensors")
    loaded = network("test_vit", weights=str(tmp_path / "x.safetensors")).backbone.model.state_dict()
    assert torch.equal(loaded["blocks.0.attn.qkv.weight"], state["blocks.0.attn.qkv.weight"])
    assert loaded["pos_embed"].shape[1] - state["pos_embed"].shape[1] == 4 * 2 - 10 * 10


def test_a_file_of_another_architecture_is_refused_with_a_few_names(tmp_path: Path) -> None:
    safetensors.torch.save_file(state_of("test_convnext"), tmp_path / "x.safetensors")
    for backbone in ("test_efficientnet", "test_vit", "test_resnet"):
        with pytest.raises(InputError, match="do not fit") as refused:
            network(backbone, weights=str(tmp_path / "x.safetensors"))
        assert len(str(refused.value)) < 1500


def test_timms_preprocessing_is_the_one_of_the_weights() -> None:
    assert preprocessing("vit_tiny_patch16_224") == ([0.5] * 3, [0.5] * 3)
    assert preprocessing("resnet50") == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
