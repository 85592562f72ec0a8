"""Tiny data sets, written by hand."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TRAIN = ["0007_c1s1_000001_00.jpg", "0002_c2s1_000003_00.jpg", "0002_c1s1_000002_00.jpg", "0007_c3s1_000004_00.jpg"]
QUERY = ["0003_c1s1_000001_00.jpg", "0005_c2s1_000001_00.jpg"]
GALLERY = [
    "0003_c2s1_000001_01.jpg",
    "0005_c1s1_000001_01.jpg",
    "0005_c2s1_000001_02.jpg",
    "0000_c1s1_000001_01.jpg",
    "-1_c3s1_000001_01.jpg",
]

WriteImages = Callable[[Path, Sequence[str]], Path]


def _save_image(path: Path, seed: int = 0, size_px: tuple[int, int] = (16, 8)) -> None:
    """A smooth picture that differs from seed to seed."""
    height, width = size_px
    corners = np.random.default_rng(seed).integers(0, 256, (2, 2, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(corners).resize((width, height), Image.Resampling.BILINEAR).save(path, quality=90)


@pytest.fixture
def save_image() -> Callable[..., None]:
    """Writes one picture: path, seed, size_px."""
    return _save_image


@pytest.fixture
def write_images() -> WriteImages:
    """Writes one small picture for each name into a folder."""

    def write(folder: Path, names: Sequence[str]) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for seed, name in enumerate(names):
            _save_image(folder / name, seed)
        return folder

    return write


@pytest.fixture
def market(tmp_path: Path, write_images: WriteImages) -> Path:
    """A Market-1501 of eleven images: 2 people in training, 2 in test, a distractor and a junk box."""
    root = tmp_path / "photographs"
    write_images(root / "bounding_box_train", TRAIN)
    write_images(root / "query", QUERY)
    write_images(root / "bounding_box_test", GALLERY)
    return root
