import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms import functional as tv

from harness.reid.data.augment import AugmentationDraws, augment, augment_by_lookup, draw_augmentation, normalize

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _images(batch: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, height, width, 3), dtype=torch.uint8, generator=generator)


def _draws(batch: int, height: int, width: int, *, flip=0.5, pad_px=0, erase=0.0, seed=0) -> AugmentationDraws:
    generator = torch.Generator().manual_seed(seed)
    return draw_augmentation(
        batch, height=height, width=width, flip=flip, pad_px=pad_px, erase=erase, generator=generator
    )


def _one_by_one(images: torch.Tensor, draws: AugmentationDraws) -> torch.Tensor:
    """The same augmentation image by image, with torchvision's functions on (3, H, W) tensors."""
    _, height, width, _ = images.shape
    results = []
    for index, image in enumerate(images.permute(0, 3, 1, 2)):
        padded = tv.pad(image, [draws.pad_px])
        top, left = draws.shifts[index].tolist()
        moved = tv.crop(padded, top, left, height, width)
        if draws.flipped[index]:
            moved = tv.hflip(moved)
        pixels = tv.normalize(moved.to(torch.float32) / 255, MEAN, STD)
        if draws.erased is not None:
            first_row, last_row, first_column, last_column = draws.erased[index].tolist()
            pixels[:, first_row:last_row, first_column:last_column] = 0.0
        results.append(pixels)
    return torch.stack(results)


@given(
    batch=st.integers(1, 5),
    height=st.integers(2, 9),
    width=st.integers(2, 9),
    pad_px=st.integers(0, 3),
    flip=st.sampled_from([0.0, 0.5, 1.0]),
    erase=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 99),
)
def test_a_batch_is_augmented_as_image_by_image(batch, height, width, pad_px, flip, erase, seed):
    images = _images(batch, height, width, seed)
    before = images.clone()
    draws = _draws(batch, height, width, flip=flip, pad_px=pad_px, erase=erase, seed=seed)
    pixels = augment(images, draws, MEAN, STD)
    assert pixels.shape == (batch, 3, height, width)
    assert pixels.dtype == torch.float32
    assert pixels.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(pixels, _one_by_one(images, draws), rtol=0, atol=2e-6)
    assert torch.equal(pixels, augment_by_lookup(images, draws, MEAN, STD, None, None))
    assert torch.equal(images, before)


def test_by_hand():
    # One row of two pixels: red 255 and black. Mean 0.5 and deviation 0.5 map 0 to -1 and 255 to 1.
    images = torch.tensor([[[[255, 0, 0], [0, 0, 0]]]], dtype=torch.uint8)
    nothing = torch.zeros(1, 2, dtype=torch.int64)
    flipped = AugmentationDraws(torch.tensor([True]), nothing, 0, None)
    kept = AugmentationDraws(torch.tensor([False]), nothing, 0, None)
    assert augment(images, kept, [0.5] * 3, [0.5] * 3)[0, 0].tolist() == [[1.0, -1.0]]
    assert augment(images, flipped, [0.5] * 3, [0.5] * 3)[0, 0].tolist() == [[-1.0, 1.0]]
    # Padded by 1 and cut from the corner (row 1, column 0): a black border pixel, then the red one; then mirrored.
    shifted = AugmentationDraws(torch.tensor([False]), torch.tensor([[1, 0]]), 1, None)
    both = AugmentationDraws(torch.tensor([True]), torch.tensor([[1, 0]]), 1, None)
    assert augment(images, shifted, [0.5] * 3, [0.5] * 3)[0, 0].tolist() == [[-1.0, 1.0]]
    assert augment(images, both, [0.5] * 3, [0.5] * 3)[0, 0].tolist() == [[1.0, -1.0]]
    # The left pixel erased: the mean, which is 0.
    erased = AugmentationDraws(torch.tensor([False]), nothing, 0, torch.tensor([[0, 1, 0, 1]]))
    assert augment(images, erased, [0.5] * 3, [0.5] * 3)[0, 0].tolist() == [[0.0, -1.0]]


def test_flipping_twice_gives_the_image_back():
    images = _images(4, 6, 5)
    all_flipped = _draws(4, 6, 5, flip=1.0)
    mirrored = augment(images.flip(2), all_flipped, MEAN, STD)
    assert torch.equal(mirrored, augment(images, _draws(4, 6, 5, flip=0.0), MEAN, STD))


def test_normalisation_of_every_value_is_exact_to_the_last_place_but_one():
    values = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).repeat(1, 1, 1, 3)
    pixels = normalize(values, MEAN, STD)
    grid = np.arange(256).reshape(16, 16)
    for channel, (mean, std) in enumerate(zip(MEAN, STD, strict=True)):
        np.testing.assert_allclose(pixels[0, channel].numpy(), (grid / 255 - mean) / std, atol=4e-7, rtol=0)


@pytest.mark.parametrize("threads", [2, 3])
def test_a_large_batch_split_between_threads_is_the_same_bit_for_bit(threads):
    images, draws = _images(9, 400, 300), _draws(9, 400, 300, pad_px=5, erase=0.5)  # 13 MB as floats
    assert torch.equal(augment(images, draws, MEAN, STD, threads=threads), augment(images, draws, MEAN, STD))


def test_rows_pick_the_batch_out_of_all_images():
    images, draws = _images(5, 6, 4), _draws(3, 6, 4, pad_px=1)
    rows = torch.tensor([4, 0, 4])
    batch = augment(images[rows], draws, MEAN, STD)
    assert torch.equal(augment(images, draws, MEAN, STD, rows=rows), batch)
    assert torch.equal(augment_by_lookup(images, draws, MEAN, STD, rows, None), batch)


@pytest.mark.parametrize("row", [-1, 5])
def test_a_row_that_the_images_lack_is_refused(row):
    with pytest.raises(IndexError, match="of 5 images"):
        normalize(_images(5, 6, 4), MEAN, STD, rows=torch.tensor([0, row]))


def test_draws_of_another_batch_are_refused():
    with pytest.raises(ValueError, match="2 rows, draws for 3"):
        augment(_images(2, 6, 4), _draws(3, 6, 4), MEAN, STD)


def test_an_earlier_result_can_be_overwritten():
    images, draws = _images(4, 6, 5), _draws(4, 6, 5, pad_px=1)
    out = torch.empty(4, 3, 6, 5).contiguous(memory_format=torch.channels_last)
    result = augment(images, draws, MEAN, STD, out=out)
    assert result.data_ptr() == out.data_ptr()
    assert torch.equal(result, augment(images, draws, MEAN, STD))


def test_equal_generators_give_equal_draws_and_off_draws_nothing():
    one, other = (_draws(8, 16, 8, pad_px=2, erase=0.5, seed=3) for _ in range(2))
    assert torch.equal(one.flipped, other.flipped)
    assert torch.equal(one.shifts, other.shifts)
    assert one.erased is not None
    assert other.erased is not None
    assert torch.equal(one.erased, other.erased)
    generator = torch.Generator().manual_seed(0)
    draw_augmentation(8, height=16, width=8, flip=0.0, pad_px=0, erase=0.0, generator=generator)
    assert torch.equal(torch.rand(3, generator=generator), torch.rand(3, generator=torch.Generator().manual_seed(0)))


def test_global_random_state_is_neither_read_nor_changed():
    torch.manual_seed(1)
    first = _draws(8, 16, 8, pad_px=2, erase=0.5)
    state = torch.get_rng_state()
    torch.manual_seed(2)
    assert torch.equal(first.shifts, _draws(8, 16, 8, pad_px=2, erase=0.5).shifts)
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)


def test_flips_and_shifts_are_as_frequent_as_asked():
    draws = _draws(20_000, 16, 8, flip=0.3, pad_px=2)
    # Four standard deviations of a share of 20,000: 4 sqrt(0.3 * 0.7 / 20000) = 0.013, and 0.0113 for a fifth.
    assert abs(draws.flipped.float().mean().item() - 0.3) < 0.013
    for axis in range(2):
        shares = torch.bincount(draws.shifts[:, axis], minlength=5) / 20_000
        assert len(shares) == 5
        assert (shares - 0.2).abs().max() < 0.0114


def test_erased_rectangles_have_the_papers_areas_and_ratios():
    height, width = 64, 32
    erased = _draws(5_000, height, width, erase=0.5).erased
    assert erased is not None
    top, bottom, left, right = erased.T
    any_area = bottom > top
    assert abs(any_area.float().mean().item() - 0.5) < 4 * math.sqrt(0.25 / 5000)
    rows, columns = (bottom - top)[any_area], (right - left)[any_area]
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (bottom <= height).all()
    assert (right <= width).all()
    # Rounding a side moves it by half a pixel at most.
    assert ((rows + 0.5) * (columns + 0.5) >= 0.02 * height * width).all()
    assert ((rows - 0.5) * (columns - 0.5) <= 0.4 * height * width).all()
    assert ((rows + 0.5) / (columns - 0.5) >= 0.3).all()
    assert ((rows - 0.5) / (columns + 0.5) <= 3.3).all()
    assert top[any_area].unique().numel() > 30  # spread over the image


def test_an_image_too_small_for_any_rectangle_stays_whole():
    erased = _draws(4, 1, 1, erase=1.0).erased
    assert erased is not None
    assert not erased.any()


def test_a_deviation_of_zero_is_refused():
    with pytest.raises(ValueError, match="expected values above 0"):
        normalize(_images(1, 2, 2), MEAN, (0.0, 1.0, 1.0))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cpu_and_gpu_agree_bit_for_bit():
    images, draws = _images(32, 64, 32), _draws(32, 64, 32, pad_px=4, erase=0.5)
    assert torch.equal(
        augment(images, draws, MEAN, STD), augment(images.cuda(), draws.to(torch.device("cuda")), MEAN, STD).cpu()
    )
