"""A GPU computes the same as a CPU: augmentation bit for bit; features, losses and gradients within float32."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from harness.reid.data.augment import augment, draw_augmentation
from harness.reid.data.batches import ImageFeeder
from harness.reid.losses import compute_losses
from harness.reid.models.network import build_network
from harness.reid.train.device import HostCopy, arithmetic
from harness.reid.train.settings import TrainSettings

pytestmark = pytest.mark.gpu
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLASSES, IMAGES = 12, 48


def off(found: Tensor, expected: Tensor) -> float:
    """The norm of the difference over the norm of the expected value."""
    found, expected = found.detach().double().cpu(), expected.detach().double().cpu()
    assert bool(torch.isfinite(found).all())
    return float((found - expected).norm() / expected.norm().clamp_min(1e-30))


@pytest.mark.parametrize("pad_px", [0, 4])
@pytest.mark.parametrize("erase", [0.0, 0.5])
def test_augmentation_is_the_same_bit_for_bit(device: torch.device, pad_px: int, erase: float) -> None:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(256, (40, 64, 32, 3), generator=generator, dtype=torch.uint8)
    rows = torch.randint(40, (32,), generator=generator)
    draws = draw_augmentation(32, height=64, width=32, flip=0.5, pad_px=pad_px, erase=erase, generator=generator)
    expected = augment(images, draws, MEAN, STD, rows=rows)
    for _ in range(2):  # the second time from kept constants, into used memory
        out = torch.full(expected.shape, torch.nan, device=device).to(memory_format=torch.channels_last)
        found = augment(images.to(device), draws.to(device), MEAN, STD, rows=rows.to(device), out=out)
        assert torch.equal(found.cpu(), expected)


@pytest.mark.parametrize("limit_bytes", [10**9, 0], ids=["resident", "streamed"])
def test_every_batch_arrives_whole(device: torch.device, limit_bytes: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 16, 8, 3), dtype=np.uint8)
    indices = np.random.default_rng(1).integers(0, 60, (50, 12))
    labels = np.arange(60, dtype=np.int64)
    copies = [
        HostCopy([batch.pixels(), batch.labels], device)
        for batch in ImageFeeder(images, device, limit_bytes).batches(indices, labels)
    ]
    for index, copy in zip(indices, copies, strict=True):
        pixels, classes = copy.get()
        np.testing.assert_array_equal(pixels.numpy(), images[index])
        np.testing.assert_array_equal(classes.numpy(), labels[index])


@pytest.mark.parametrize(("row", "stage"), [("1", "classify"), ("3", "metric"), ("8", "classify"), ("8", "metric")])
def test_features_losses_and_gradients_are_the_cpus_within_float32(
    device: torch.device, plan_rows: Any, row: str, stage: str, record_property: Any
) -> None:
    (planned,) = (planned for planned in plan_rows(row).plan.stages.values() if planned.name == stage)
    settings = TrainSettings.read({"weights": None, **planned.settings})
    generator = torch.Generator().manual_seed(2)
    images = torch.randint(256, (IMAGES, 32, 16, 3), generator=generator, dtype=torch.uint8)
    labels = torch.arange(CLASSES).repeat_interleave(IMAGES // CLASSES)
    draws = draw_augmentation(IMAGES, height=32, width=16, flip=0.5, pad_px=0, erase=0.0, generator=generator)

    def step(place: torch.device) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        network = build_network(
            **settings.model, weights="none", classes=CLASSES if settings.classifier else None, seed=0
        )
        network.to(device=place, memory_format=torch.channels_last)  # type: ignore[call-overload]
        with arithmetic(place, tf32=False, deterministic=False):
            output = network(augment(images.to(place), draws.to(place), MEAN, STD))
            total, terms = compute_losses(output, labels.to(place), settings.losses)
            total.backward()  # type: ignore[no-untyped-call]
        gradients = [each.grad.flatten().cpu() for each in network.parameters() if each.grad is not None]
        return output.embedding, {"loss": total, **terms}, torch.cat(gradients)

    features, losses, gradients = step(device)
    expected_features, expected_losses, expected_gradients = step(torch.device("cpu"))
    assert features.device.type == device.type
    found = {
        "features": off(features, expected_features),
        **{name: off(losses[name], expected_losses[name]) for name in expected_losses},
        "gradients": off(gradients, expected_gradients),
    }
    for name, distance in found.items():
        record_property(name, f"{distance:.1e}")
    # A GPU's convolutions may be of another algorithm, and a kink of a ReLU may fall to the other side.
    assert found.pop("gradients") < 5e-3
    assert max(found.values()) < 5e-4, found


def test_tf32_is_off_unless_asked_for_and_put_back(device: torch.device) -> None:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    generator = torch.Generator().manual_seed(3)
    left, right = (torch.randn(512, 512, generator=generator) for _ in range(2))
    exact = left.double() @ right.double()
    with arithmetic(device, tf32=False, deterministic=False):
        assert off(left.to(device) @ right.to(device), exact) < 1e-5  # with TF32 about 3e-4
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == before
