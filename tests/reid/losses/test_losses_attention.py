"""The self-attention constraint: equations 1 and 2 by hand, their symmetry, and where gradients go."""

import pytest
import torch
from torch import Tensor

from harness.reid.losses import attention_maps, self_attention_constraint


def random_maps(dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, 3, 4, 2), (2, 6, 4, 2), (2, 3, 4, 2)]
    return [torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes]


def one_channel(values: list[float]) -> Tensor:
    """A map whose attention before normalisation is ``values``."""
    return torch.tensor(values, dtype=torch.float64).sqrt().reshape(1, 1, 1, -1)


def test_attention_is_the_mean_square_of_the_channels_at_unit_length() -> None:
    features = torch.tensor([[[[1.0, 2.0]], [[1.0, 2.0]]]])  # (1+1)/2 = 1, (4+4)/2 = 4; length sqrt(17)
    torch.testing.assert_close(attention_maps(features), torch.tensor([[1.0, 4.0]]) / 17**0.5)


def test_attention_forgets_scale_and_sign_and_order_of_channels() -> None:
    features = random_maps()[0].detach()
    torch.testing.assert_close(attention_maps(features), attention_maps(-3 * features.flip(1)))


def test_constraint_by_hand() -> None:
    # Attention 6: (1, 0); 5: (0, 1), 2 away; 4: (0.6, 0.8), 0.16 + 0.64 = 0.8 away.
    loss = self_attention_constraint([one_channel([3, 4]), one_channel([0, 5]), one_channel([2, 0])])
    assert loss.item() == pytest.approx(2.0 + 0.8)


def test_constraint_is_averaged_over_the_batch() -> None:
    alike = [one_channel([1, 0])] * 3
    apart = [one_channel([0, 1]), one_channel([0, 1]), one_channel([1, 0])]  # 2 + 2
    both = [torch.cat(pair) for pair in zip(alike, apart, strict=True)]
    assert self_attention_constraint(both).item() == pytest.approx((0 + 4) / 2)


def test_equal_maps_cost_nothing() -> None:
    features = random_maps()[0]
    assert self_attention_constraint([features, 2 * features, -features]).item() == pytest.approx(0.0, abs=1e-24)


def test_stages_4_and_5_may_be_swapped_and_stage_6_may_not() -> None:
    s4, s5, s6 = random_maps()
    loss = self_attention_constraint([s4, s5, s6])
    torch.testing.assert_close(self_attention_constraint([s5, s4, s6]), loss)
    assert not torch.isclose(self_attention_constraint([s4, s6, s5]), loss)


def test_two_stages_are_compared_with_each_other() -> None:
    loss = self_attention_constraint([one_channel([0, 1]), one_channel([1, 0])])
    assert loss.item() == pytest.approx(2.0)


def test_gradients_reach_every_stage_and_are_exact() -> None:
    maps = random_maps()
    self_attention_constraint(maps).backward()
    assert all(features.grad is not None and features.grad.any() for features in maps)
    assert torch.autograd.gradcheck(lambda *m: self_attention_constraint(m), maps)


def test_dead_maps_give_finite_gradients() -> None:
    maps = [torch.zeros(2, 3, 4, 2, requires_grad=True), *random_maps(torch.float32)[1:]]
    loss = self_attention_constraint(maps)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(features.grad).all() for features in maps)


def test_coarse_maps_are_compared_in_float32_under_autocast() -> None:
    maps = [features.detach().bfloat16() for features in random_maps()]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = self_attention_constraint(maps)
    assert loss.dtype == torch.float32
    expected = self_attention_constraint([features.double() for features in maps])
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=0.0)


def test_maps_of_different_sizes_are_refused_with_their_sizes() -> None:
    with pytest.raises(ValueError, match=r"found 16 x 8, 8 x 4; a dilated network"):
        self_attention_constraint([torch.zeros(1, 2, 16, 8), torch.zeros(1, 2, 8, 4)])
    with pytest.raises(ValueError, match="found 16 x 8;"):
        self_attention_constraint([torch.zeros(1, 2, 16, 8)])
    with pytest.raises(ValueError, match="found none"):
        self_attention_constraint([])
