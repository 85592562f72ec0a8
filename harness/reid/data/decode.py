"""From a file to pixels: the one place where images are decoded and resized."""

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from harness.errors import InputError
from harness.files import regular_file
from harness.reid.data.dataset import Images, Split

DECODE_VERSION = 1
"""Rises with every change of what pixels come out; part of every cache entry's name."""


class UnreadableImageError(InputError):
    """An image file that cannot be decoded; ``reason`` says why, without the file's name."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: cannot be read as an image ({reason})")
        self.reason = reason


def decode_image(path: Path) -> tuple[Image.Image, str]:
    """A file's image, decoded whole, as RGB, and the mode it was in (grey, palette and the like are converted).

    The orientation that a camera may have noted is ignored, as torchvision's loaders do.

    Raises:
        UnreadableImageError: If the file is missing, truncated or no image. A part of an image is never returned.
    """
    try:
        with Image.open(regular_file(path)) as image:
            return image.convert("RGB"), image.mode
    except UnidentifiedImageError:
        raise UnreadableImageError(path, "empty, or in no known image format") from None
    except OSError as error:
        raise UnreadableImageError(path, error.strerror or str(error)) from None
    except Exception as error:  # a damaged file makes decoders raise nearly anything
        raise UnreadableImageError(path, f"{type(error).__name__}: {error}") from None


def pixels_of(split: Split, index: int, root: Path, height_px: int, width_px: int) -> Images:
    """One image of a split at the size asked for, RGB, shape (height_px, width_px, 3); see ``resized``.

    Raises:
        UnreadableImageError: If the file cannot be decoded.
    """
    if split.files is not None:
        image, _ = decode_image(root / split.files[index])
    else:
        assert split.arrays is not None  # a split has either
        image = Image.fromarray(split.arrays[index])
    return resized(image, height_px, width_px)


def resized(image: Image.Image, height_px: int, width_px: int) -> Images:
    """An RGB image at a size, shape (height_px, width_px, 3).

    With Pillow's bilinear filter, which widens with the reduction (no aliasing): what ``torchvision.transforms.Resize``
    does to Pillow images, bit for bit.
    """
    if image.size != (width_px, height_px):
        image = image.resize((width_px, height_px), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.uint8)
