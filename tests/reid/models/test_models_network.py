"""The network: torchvision's features, the strided receptive field, shapes, parameters and initial values."""

import subprocess
import sys

import pytest
import torch
import torchvision
from torch import Tensor, nn

from harness.errors import InputError
from harness.reid.models import Network, Output, build_network, network_cost, parameter_groups
from harness.reid.models.backbone import backbone_names
from harness.reid.models.network import pooled

PLAIN = {"output_stride": 32, "stage6": False, "multi_level": False}
FULL = {"output_stride": 8, "stage6": True, "multi_level": True}


def network(backbone: str = "resnet18", *, seed: int = 0, **changes: object) -> Network:
    arguments = {"weights": "none", "stage6_dilation": 2, "embedding_dim": 32, "classes": 10, **PLAIN, **changes}
    return build_network(backbone=backbone, seed=seed, **arguments)  # type: ignore[arg-type]


def randomise(module: nn.Module, seed: int = 0) -> None:
    """Random values everywhere, the statistics of batch normalisation too, and no residual branch asleep."""
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for values in (layer.weight, layer.running_var):
                values.data.uniform_(0.5, 1.5, generator=generator)
            for values in (layer.bias, layer.running_mean):
                values.data.normal_(0.0, 0.1, generator=generator)


def images(height: int, width: int, count: int = 2, seed: int = 1) -> Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_without_dilation_the_features_are_torchvisions_to_the_last_bit(name: str) -> None:
    theirs = getattr(torchvision.models, name)(weights=None).eval()
    randomise(theirs)
    ours = network(name, embedding_dim=0, classes=None).eval()
    ours.backbone.load_state_dict({k: v for k, v in theirs.state_dict().items() if not k.startswith("fc.")})
    theirs.fc = nn.Identity()
    batch = images(128, 64)
    with torch.inference_mode():
        stage4 = nn.Sequential(*list(theirs.children())[:7])(batch)
        output = ours(batch)
        assert torch.equal(output.embedding, theirs(batch))
        assert torch.equal(output.maps[0], stage4)
        assert torch.equal(output.maps[1], theirs.layer4(stage4))


@pytest.mark.parametrize("name", ["resnet18", "resnet26", "resnet50"])
def test_dilated_maps_at_every_nth_position_are_the_strided_ones(name: str) -> None:
    strided = network(name).eval().double()
    randomise(strided)
    dilated = network(name, output_stride=8).eval().double()
    dilated.load_state_dict(strided.state_dict())
    batch = images(128, 64).double()
    with torch.inference_mode():
        fine, coarse = dilated(batch).maps, strided(batch).maps
    torch.testing.assert_close(fine[0][:, :, ::2, ::2], coarse[0], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(fine[1][:, :, ::4, ::4], coarse[1], rtol=1e-9, atol=1e-9)


def receptive_field_px(model: Network, level: int, height_px: int = 480) -> int:
    """Rows of the image that a unit in the middle of a map depends on, measured by gradients.

    Positive weights and a pooling that forgets nothing keep gradients from cancelling or vanishing, so that every row
    within reach has one.
    """
    model.double()
    model.backbone.maxpool = nn.AvgPool2d(3, stride=2, padding=1)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.data.fill_(1.0 / layer.weight[0].numel())
        elif isinstance(layer, nn.BatchNorm2d):
            layer.weight.data.fill_(1.0)
    batch = torch.ones(1, 3, height_px, 16, dtype=torch.float64, requires_grad=True)
    features = model.eval()(batch).maps[level]
    (gradient,) = torch.autograd.grad(features[0, 0, features.shape[2] // 2, features.shape[3] // 2], batch)
    rows = gradient.abs().amax(dim=(0, 1, 3)).nonzero()
    return int(rows.max() - rows.min()) + 1


@pytest.mark.parametrize(("name", "stage4_px", "stage5_px"), [("resnet18", 211, 435), ("resnet50", 267, 427)])
def test_the_receptive_field_is_that_of_the_strided_network(name: str, stage4_px: int, stage5_px: int) -> None:
    # A k x k layer adds (k - 1) x the distance of its inputs' neighbours in the image. resnet50: stem 1 + 6 = 7,
    # pooling + 2*2 = 11; stage 2: 3 * (2*4) -> 35; stage 3: 2*4 + 3 * (2*8) -> 91; stage 4: 2*8 + 5 * (2*16) -> 267;
    # stage 5: 2*16 + 2 * (2*32) -> 427. resnet18, two layers a block: stage 2: 4 * (2*4) -> 43; stage 3:
    # 2*4 + 3 * (2*8) -> 99; stage 4: 2*8 + 3 * (2*16) -> 211; stage 5: 2*16 + 3 * (2*32) -> 435.
    for output_stride in (32, 8):
        model = network(name, output_stride=output_stride)
        assert receptive_field_px(model, 0) == stage4_px
        assert receptive_field_px(model, 1) == stage5_px


@pytest.mark.parametrize("dilation", [1, 3])
def test_stage_6_widens_the_receptive_field_by_its_dilation(dilation: int) -> None:
    model = network(output_stride=8, stage6=True, stage6_dilation=dilation)
    assert receptive_field_px(model, 2, height_px=704) == 435 + 4 * 2 * dilation * 8  # four layers on a grid of 8 px


def test_dilations_are_those_of_the_paper() -> None:
    # The paper counts gaps (0, 1, 2), PyTorch steps; the first layer after a dropped stride keeps the grid it had.
    model = network("resnet50", **FULL, stage6_dilation=3)
    dilations = [
        [block.conv2.dilation[0] for block in stage]
        for stage in (model.backbone.layer2, model.backbone.layer3, model.backbone.layer4, model.stage6)
    ]
    assert dilations == [[1, 1, 1, 1], [1, 2, 2, 2, 2, 2], [2, 4, 4], [3, 3, 3]]


def test_the_full_network_keeps_the_resolution_of_stage_3() -> None:
    model = network("resnet50", **FULL, embedding_dim=1024, classes=751).eval()
    assert model.embedding is not None
    assert (model.embedding.in_features, model.embedding.out_features) == (1024 + 2048 + 1024, 1024)
    with torch.inference_mode():
        output = model(images(256, 128, count=1))
    assert isinstance(output, Output)
    assert [tuple(level.shape) for level in output.maps] == [(1, 1024, 32, 16), (1, 2048, 32, 16), (1, 1024, 32, 16)]
    assert output.embedding.shape == (1, 1024)
    assert output.logits is not None
    assert output.logits.shape == (1, 751)


def test_the_feature_is_the_embedding_of_the_pooled_levels() -> None:
    batch = images(64, 32)
    for levels, changes in ((slice(-1, None), {}), (slice(None), {"multi_level": True}), (slice(None), FULL)):
        model = network(**changes).eval()
        with torch.inference_mode():
            output = model(batch)
            pooled = torch.cat([level.mean((2, 3)) for level in output.maps[levels]], dim=1)
            expected = nn.functional.linear(pooled, model.embedding.weight, model.embedding.bias)
            logits = model.classifier(expected)
        torch.testing.assert_close(output.embedding, expected)
        torch.testing.assert_close(output.logits, logits)


def test_multi_level_without_dilation_pools_maps_of_different_sizes() -> None:
    output = network(multi_level=True, embedding_dim=0, classes=None).eval()(images(64, 32))
    assert [tuple(level.shape[1:]) for level in output.maps] == [(256, 4, 2), (512, 2, 1)]
    assert output.embedding.shape == (2, 256 + 512)


def test_autocast_reaches_the_maps_and_spares_the_feature() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = network().eval()(images(64, 32))
    assert {level.dtype for level in output.maps} == {torch.bfloat16}
    assert output.embedding.dtype == output.logits.dtype == torch.float32


def test_parts_that_are_off_leave_nothing_behind() -> None:
    model = network(classes=None, embedding_dim=0)
    assert all(name.startswith("backbone.") for name in model.state_dict())
    assert model(images(64, 32)).logits is None
    names = {name.partition(".")[0] for name in network(**FULL).state_dict()}
    assert names == {"backbone", "stage6", "embedding", "classifier"}


def test_parameters_are_grouped_by_what_weights_can_cover() -> None:
    model = network(**FULL)
    groups = parameter_groups(model)
    assert len(groups.backbone) + len(groups.new) == len(list(model.parameters()))
    assert {id(p) for p in groups.backbone} == {id(p) for p in model.backbone.parameters()}
    assert {id(p) for p in groups.new} == {
        id(p) for part in (model.stage6, model.embedding, model.classifier) for p in part.parameters()
    }
    assert parameter_groups(network(classes=None, embedding_dim=0)).new == []


def test_shared_parts_start_from_the_same_values_in_every_row() -> None:
    rows = [
        network(),
        network(classes=None),
        network(output_stride=8, stage6=True),
        network(**FULL),
        network(**FULL, classes=5, embedding_dim=16),
    ]
    states = [row.state_dict() for row in rows]
    for state in states[1:]:
        for name in states[0].keys() & state.keys():
            if state[name].shape == states[0][name].shape:
                assert torch.equal(state[name], states[0][name]), name
    for name in states[2]:
        if name.startswith("stage6."):
            assert torch.equal(states[2][name], states[3][name])


def test_another_seed_gives_other_values_in_every_part() -> None:
    first, second = network(**FULL).state_dict(), network(**FULL, seed=1).state_dict()
    for part in ("backbone.conv1", "stage6.0.conv1", "embedding", "classifier"):
        assert not torch.equal(first[f"{part}.weight"], second[f"{part}.weight"])


def test_building_leaves_the_global_random_state_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = network(**FULL)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert torch.equal(network(**FULL).embedding.weight, first.embedding.weight)


def test_initial_scales_are_the_documented_ones() -> None:
    model = network("resnet50", **FULL, embedding_dim=256, classes=500)
    assert model.classifier.weight.std().item() == pytest.approx(0.001, rel=0.02)
    assert model.embedding.weight.std().item() == pytest.approx(4096**-0.5, rel=0.02)
    assert not model.classifier.bias.any()
    assert not model.embedding.bias.any()
    assert model.stage6[1].conv2.weight.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.02)
    assert all(not block.bn3.weight.any() for block in model.stage6)


@pytest.mark.parametrize("name", ["test_resnet", "resnet10t", "resnext50_32x4d", "seresnet18", "resnetblur18"])
def test_other_resnets_train_with_all_factors_on(name: str) -> None:
    model = network(name, **FULL)
    output = model(images(64, 32))
    assert len({level.shape[2:] for level in output.maps}) == 1
    assert output.maps[2].shape[1] * 2 == output.maps[1].shape[1]
    output.logits.logsumexp(1).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_an_unknown_backbone_is_refused_with_near_names() -> None:
    with pytest.raises(InputError, match=r'timm has no network "resnet5"; did you mean .*\bresnet50\b'):
        network("resnet5")


def test_an_impossible_stride_is_refused() -> None:
    with pytest.raises(InputError, match="output_stride: found 4, expected 8, 16 or 32"):
        network(output_stride=4)


def test_cost_of_resnet50_is_the_published_one() -> None:
    arguments = {**PLAIN, "stage6_dilation": 2, "embedding_dim": 0, "height_px": 224, "width_px": 224}
    cost = network_cost(backbone="resnet50", classes=1000, **arguments)
    assert cost.parameters == 25_557_032  # 25.557 M in torchvision's table, and 4.09 G multiply-adds
    assert cost.multiply_adds == 4_089_184_256
    without = network_cost(backbone="resnet50", classes=None, **arguments)
    assert cost.parameters - without.parameters == 2048 * 1000 + 1000
    assert cost.multiply_adds - without.multiply_adds == 2048 * 1000


def test_cost_counts_what_is_built() -> None:
    arguments = {**FULL, "stage6_dilation": 2, "embedding_dim": 32, "classes": 10}
    model = network(**FULL)
    cost = network_cost(backbone="resnet18", height_px=64, width_px=32, **arguments)
    assert cost.parameters == sum(parameter.numel() for parameter in model.parameters())
    larger = network_cost(backbone="resnet18", height_px=128, width_px=64, **arguments)
    head = (256 + 512 + 256) * 32 + 32 * 10  # does not grow with the image
    assert larger.multiply_adds - head == 4 * (cost.multiply_adds - head)


def test_every_resnet_of_timm_can_be_asked_for() -> None:
    assert {"resnet18", "resnet50", "resnet101", "resnet10t", "test_resnet"} <= set(backbone_names())
    assert len(backbone_names()) > 70


def test_identity_of_weights_needs_neither_torch_nor_timm() -> None:
    code = (
        "import sys; from harness.reid.models import weights_identity; weights_identity('resnet50', 'imagenet'); "
        "sys.exit(bool({'torch', 'timm'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["resnet18", "resnet26d"])
def test_recomputed_activations_give_the_same_gradients_and_statistics_to_the_last_bit(name: str) -> None:
    kept, recomputed = (network(name, **FULL).train() for _ in range(2))
    recomputed.recompute = True
    for model in (kept, recomputed):
        randomise(model)
        for step in range(2):
            output = model(images(32, 16, count=4, seed=step))
            (output.embedding.square().sum() + sum(level.square().mean() for level in output.maps)).backward()
    for (key, ours), theirs in zip(recomputed.named_parameters(), kept.parameters(), strict=True):
        assert (ours.grad is None) == (theirs.grad is None), key
        assert ours.grad is None or torch.equal(ours.grad, theirs.grad), key
    for key, value in recomputed.state_dict().items():
        assert torch.equal(value, kept.state_dict()[key]), key


def test_maps_are_pooled_as_asked_and_by_the_mean_unless_asked() -> None:
    """The feature without a fully connected layer is the pooled last map, whichever way it is pooled."""
    pictures = images(64, 32)
    built = {kind: network(embedding_dim=0, pooling=kind).eval() for kind in ("average", "max", "gem")}
    assert torch.equal(network(embedding_dim=0).eval()(pictures).embedding, built["average"](pictures).embedding)
    last = built["average"](pictures).maps[-1]
    assert torch.equal(built["average"](pictures).embedding, last.mean((2, 3)))
    assert torch.equal(built["max"](pictures).embedding, last.flatten(2).amax(2))
    slow = ((last.double().clamp(min=1e-6) ** 3).sum((2, 3)) / (last.shape[2] * last.shape[3])) ** (1 / 3)
    torch.testing.assert_close(built["gem"](pictures).embedding.double(), slow, rtol=1e-5, atol=1e-7)


def test_the_generalised_mean_has_a_finite_gradient_where_a_map_is_silent() -> None:
    silent = torch.zeros(1, 2, 3, 3, requires_grad=True)
    pooled(silent, "gem").sum().backward()
    assert silent.grad is not None
    assert torch.isfinite(silent.grad).all()
