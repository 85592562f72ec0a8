"""Augmentation of whole batches on the device: flip, pad and crop, random erasing, normalisation.

Chance is drawn apart from the arithmetic, on the CPU and from an explicit generator. The arithmetic moves bytes,
subtracts once and multiplies once, each rounded by itself: a CPU (one compiled pass, ``harness.reid.data.pixels``) and
an accelerator (torch's operations) give bit-identical results for the same draws.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Generator, Tensor

_ERASED_AREA = (0.02, 0.4)
_ERASED_RATIO = (0.3, 3.3)
_ERASE_ATTEMPTS = 10


@dataclass(frozen=True)
class AugmentationDraws:
    """Random draws for one or several batches of B images of H x W pixels.

    Attributes:
        flipped: Whether each image is mirrored left to right, bool (B,).
        shifts: Row and column of the crop's corner in the padded image, int64 (B, 2); ``pad_px`` each moves nothing.
        pad_px: Black border on every side before the crop.
        erased: Rectangle to erase as first row, last row + 1, first column, last column + 1, int64 (B, 4), in the
            finished image; all 0 where nothing is erased. None if erasing is off.
    """

    flipped: Tensor
    shifts: Tensor
    pad_px: int
    erased: Tensor | None

    def part(self, first: int, end: int) -> "AugmentationDraws":
        """The draws of images ``first`` to ``end``."""
        erased = None if self.erased is None else self.erased[first:end]
        return AugmentationDraws(self.flipped[first:end], self.shifts[first:end], self.pad_px, erased)

    def to(self, device: torch.device) -> "AugmentationDraws":
        """The same on a device, which is not waited for."""

        def sent(values: Tensor) -> Tensor:
            return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)

        erased = None if self.erased is None else sent(self.erased)
        return AugmentationDraws(sent(self.flipped), sent(self.shifts), self.pad_px, erased)


def draw_augmentation(
    count: int, *, height: int, width: int, flip: float, pad_px: int, erase: float, generator: Generator
) -> AugmentationDraws:
    """Draws the augmentation of so many images, on the CPU. What is off draws nothing.

    Args:
        count: Number of images.
        height: Of the images, in pixels.
        width: Of the images, in pixels.
        flip: Probability of a horizontal flip.
        pad_px: Black border on every side before a crop back to size at a uniformly random place; 0 for no crop.
        erase: Probability of random erasing (Zhong et al. 2017, algorithm 1: area 0.02 to 0.4 of the image, ratio of
            height to width 0.3 to 3.3, both uniform). Deviations: the rectangle is filled with the data set's mean,
            and after ten rectangles that do not fit the image stays whole instead of drawing on for ever.
        generator: A generator on the CPU.
    """
    flipped = torch.zeros(count, dtype=torch.bool)
    if flip > 0.0:
        flipped = torch.rand(count, generator=generator) < flip
    shifts = torch.zeros(count, 2, dtype=torch.int64)
    if pad_px > 0:
        shifts = torch.randint(0, 2 * pad_px + 1, (count, 2), generator=generator)
    erased = _draw_rectangles(count, height, width, erase, generator) if erase > 0.0 else None
    return AugmentationDraws(flipped, shifts, pad_px, erased)


def _draw_rectangles(count: int, height: int, width: int, erase: float, generator: Generator) -> Tensor:
    """Rectangles to erase, int64 (B, 4): of ten attempts for each image the first that fits."""
    chosen = torch.rand(count, generator=generator) < erase
    share, ratio, top, left = torch.rand(4, count, _ERASE_ATTEMPTS, generator=generator, dtype=torch.float64)
    area = height * width * (_ERASED_AREA[0] + (_ERASED_AREA[1] - _ERASED_AREA[0]) * share)
    ratio = _ERASED_RATIO[0] + (_ERASED_RATIO[1] - _ERASED_RATIO[0]) * ratio
    rows, columns = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
    fits = (rows >= 1) & (rows < height) & (columns >= 1) & (columns < width)
    top, left = (top * (height - rows + 1)).floor(), (left * (width - columns + 1)).floor()
    attempts = torch.stack([top, top + rows, left, left + columns], dim=2).long()
    first = fits.int().argmax(dim=1)
    rectangles = attempts[torch.arange(count), first]
    return torch.where((chosen & fits.any(dim=1)).unsqueeze(1), rectangles, 0)


def augment(
    images: Tensor,
    draws: AugmentationDraws,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    rows: Tensor | None = None,
    out: Tensor | None = None,
    threads: int = 1,
) -> Tensor:
    """The augmented, normalised batch, on the images' device.

    Args:
        images: uint8 RGB, shape (N, H, W, 3).
        draws: From ``draw_augmentation`` for this size of batch and image, on the images' device.
        mean: Of each channel, on the scale 0 to 1.
        std: Of each channel, on the scale 0 to 1.
        rows: Which of the images make the batch, int64 (B,), on their device; None: all, in their order.
        out: An earlier result of this shape to overwrite. On a CPU, fresh memory for large images costs several times
            the arithmetic.
        threads: Threads on a CPU; the result does not depend on them.

    Returns:
        float32, shape (B, 3, H, W) in channels_last memory. Erased pixels are 0, the data set's mean.
    """
    if images.device.type == "cpu":
        return _in_one_pass(images, draws, mean, std, rows, out, threads)
    return augment_by_lookup(images, draws, mean, std, rows, out)


def normalize(
    images: Tensor, mean: Sequence[float], std: Sequence[float], *, rows: Tensor | None = None, threads: int = 1
) -> Tensor:
    """(image / 255 - mean) / std of each channel, computed as (image - 255 mean) * (1 / (255 std)).

    Arguments and result are those of ``augment``.
    """
    batch = len(images if rows is None else rows)
    flipped = torch.zeros(batch, dtype=torch.bool, device=images.device)
    nothing = AugmentationDraws(flipped, torch.zeros(batch, 2, dtype=torch.int64, device=images.device), 0, None)
    return augment(images, nothing, mean, std, rows=rows, threads=threads)


def _in_one_pass(
    images: Tensor,
    draws: AugmentationDraws,
    mean: Sequence[float],
    std: Sequence[float],
    rows: Tensor | None,
    out: Tensor | None,
    threads: int,
) -> Tensor:
    from harness.reid.data.pixels import write_pixels  # the compiler is for those who need it

    N, H, W, C = images.shape
    B = len(draws.flipped)
    pixels = _room(B, images, out)
    chosen = np.arange(N) if rows is None else rows.contiguous().numpy()
    erased = np.zeros((B, 4), np.int64) if draws.erased is None else draws.erased.contiguous().numpy()
    subtrahend, factor = _row_constants(tuple(mean), tuple(std), W, images.device)
    write_pixels(
        images.contiguous().numpy().reshape(N, H, W * C),
        chosen,
        draws.flipped.numpy(),
        (draws.shifts - draws.pad_px).numpy(),
        erased,
        subtrahend.numpy(),
        factor.numpy(),
        pixels.permute(0, 2, 3, 1).view(B, H, W * C).numpy(),
        threads,
    )
    return pixels


def augment_by_lookup(
    images: Tensor,
    draws: AugmentationDraws,
    mean: Sequence[float],
    std: Sequence[float],
    rows: Tensor | None,
    out: Tensor | None,
) -> Tensor:
    """Augments as ``augment`` does, on any device: every pixel looks up where it comes from.

    Nothing has to be known on the CPU, so nothing waits for an accelerator. Arguments and result are those of
    ``augment``; both ways give the same bits.
    """
    N, H, W, C = images.shape
    B, device = len(draws.flipped), images.device
    pixels = _room(B, images, out)
    subtrahend, factor = _row_constants(tuple(mean), tuple(std), W, device)
    chosen = torch.arange(N, device=device) if rows is None else rows
    top, left = (draws.shifts - draws.pad_px).T.unsqueeze(2)
    column = torch.arange(W, device=device)
    from_row = torch.arange(H, device=device) + top
    from_column = torch.where(draws.flipped.unsqueeze(1), W - 1 - column, column) + left
    in_rows, in_columns = (from_row >= 0) & (from_row < H), (from_column >= 0) & (from_column < W)
    moved = images[chosen[:, None, None], from_row.clamp(0, H - 1)[:, :, None], from_column.clamp(0, W - 1)[:, None]]
    moved.masked_fill_(~(in_rows[:, :, None] & in_columns[:, None])[..., None], 0)
    # Whole rows at a time, since a broadcast over three channels would run in steps of three.
    values = pixels.permute(0, 2, 3, 1).view(B, H, W * C)
    values.copy_(moved.view(B, H, W * C)).sub_(subtrahend).mul_(factor)
    return pixels if draws.erased is None else _erase(pixels, draws.erased)


def _room(batch: int, images: Tensor, out: Tensor | None) -> Tensor:
    """Where a batch of such images is written."""
    _, H, W, C = images.shape
    if out is None:
        return torch.empty((batch, C, H, W), device=images.device, memory_format=torch.channels_last)
    return out


def _erase(pixels: Tensor, erased: Tensor) -> Tensor:
    """Sets each image's rectangle to 0, in place; an empty rectangle leaves the image whole."""
    B, C, H, W = pixels.shape
    top, bottom, left, right = erased.T.unsqueeze(2)
    row, column = torch.arange(H, device=pixels.device), torch.arange(W * C, device=pixels.device) // C
    in_rows, in_columns = (row >= top) & (row < bottom), (column >= left) & (column < right)
    inside = in_rows.unsqueeze(2) & in_columns.unsqueeze(1)
    pixels.permute(0, 2, 3, 1).view(B, H, W * C).masked_fill_(inside, 0.0)
    return pixels


@lru_cache(maxsize=32)
def _row_constants(
    mean: tuple[float, ...], std: tuple[float, ...], width: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """255 mean and 1 / (255 std), repeated along a row of ``width`` pixels; kept, so that no step sends them again."""
    if not all(math.isfinite(value) and value > 0.0 for value in std):
        raise ValueError(f"std {std}: expected values above 0")
    subtrahend = torch.tensor([255.0 * value for value in mean], dtype=torch.float32)
    factor = torch.tensor([1.0 / (255.0 * value) for value in std], dtype=torch.float32)
    return subtrahend.repeat(width).to(device), factor.repeat(width).to(device)
