"""Writes the released layout of CIFAR-100, filled with 100 kinds of drawn shapes.

Twenty coarse classes are outlines (disc, ring, star, ...), and each has five fine classes, which are fills (plain,
striped, chequered, dotted, hollow). Every outline has a colour that it wears a little more than half of the time;
place, size, turn, light and the cluttered ground are drawn at random for every image.
"""

import colorsys
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from harness.errors import InputError
from harness.reid.data.synthetic.folder import Origin, Progress, new_folder, share_out
from harness.reid.data.synthetic.pedestrians import check_seed
from harness.reid.data.synthetic.randomness import Purpose, stream
from harness.reid.data.synthetic.released_pickle import dump_released

FOLDER = "cifar-100-python"
RELEASED_PER_CLASS = (500, 100)
"""Images of each fine class in the release: for training, for testing."""

FILLS = ("plain", "striped", "chequered", "dotted", "hollow")
_CANVAS = 64  # drawn at twice the size of the image
Points: TypeAlias = NDArray[np.float64]


def _polar(radii: list[float], turn: float = 0.0) -> Points:
    """Points evenly spaced in angle, at these distances from the middle."""
    angles = np.arange(len(radii)) * 2.0 * math.pi / len(radii) + turn
    points: Points = np.stack([np.cos(angles), np.sin(angles)], 1) * np.array(radii)[:, None]
    return points


def _curve(radius: Callable[[float], float]) -> Points:
    """A closed curve given by its radius at every angle."""
    return _polar([radius(2.0 * math.pi * step / 48) for step in range(48)])


def _corners(*numbers: float) -> Points:
    return np.array(numbers).reshape(-1, 2)


_OUTLINES: dict[str, Points] = {
    "arch": _corners(
        -0.9, 0.8, -0.9, -0.1, -0.6, -0.7, 0, -0.9, 0.6, -0.7, 0.9, -0.1, 0.9, 0.8, 0.4, 0.8, 0.4, 0, -0.4, 0, -0.4, 0.8
    ),
    "arrow": _corners(1, 0, 0.1, 0.8, 0.1, 0.3, -1, 0.3, -1, -0.3, 0.1, -0.3, 0.1, -0.8),
    "bolt": _corners(0.1, -1, -0.7, 0.2, -0.1, 0.15, -0.3, 1, 0.7, -0.25, 0.05, -0.2, 0.5, -1),
    "bowtie": _corners(-1, -0.7, 0, -0.15, 1, -0.7, 1, 0.7, 0, 0.15, -1, 0.7),
    "chevron": _corners(-1, -0.2, 0, -0.9, 1, -0.2, 1, 0.6, 0, -0.1, -1, 0.6),
    "crescent": _corners(
        0.3, -0.95, -0.4, -0.85, -0.9, -0.3, -0.9, 0.3, -0.4, 0.85, 0.3, 0.95, -0.15, 0.5, -0.3, 0, -0.15, -0.5
    ),
    "cross": _corners(
        -0.3,
        -1,
        0.3,
        -1,
        0.3,
        -0.3,
        1,
        -0.3,
        1,
        0.3,
        0.3,
        0.3,
        0.3,
        1,
        -0.3,
        1,
        -0.3,
        0.3,
        -1,
        0.3,
        -1,
        -0.3,
        -0.3,
        -0.3,
    ),
    "disc": _curve(lambda _: 0.85),
    "drop": _curve(lambda angle: 0.45 + 0.55 * ((1 + math.cos(angle)) / 2) ** 3),
    "ellipse": _curve(lambda angle: 0.42 / math.hypot(0.42 * math.cos(angle), math.sin(angle))),
    "fish": _corners(-1, -0.5, -0.55, -0.1, 0, -0.5, 0.6, -0.4, 1, 0, 0.6, 0.4, 0, 0.5, -0.55, 0.1, -1, 0.5),
    "flower": _curve(lambda angle: 0.68 + 0.3 * math.cos(5 * angle)),
    "gear": _polar([0.95, 0.95, 0.65, 0.65] * 8),
    "heart": _corners(0, 0.95, -0.9, 0, -0.9, -0.5, -0.5, -0.8, 0, -0.4, 0.5, -0.8, 0.9, -0.5, 0.9, 0),
    "house": _corners(-0.75, 0.85, -0.75, -0.1, -1, -0.1, 0, -0.95, 1, -0.1, 0.75, -0.1, 0.75, 0.85),
    "square": _polar([1.0] * 4, math.pi / 4),
    "star": _polar([1.0, 0.42] * 5),
    "tee": _corners(-0.9, -0.9, 0.9, -0.9, 0.9, -0.35, 0.3, -0.35, 0.3, 0.95, -0.3, 0.95, -0.3, -0.35, -0.9, -0.35),
    "triangle": _polar([1.0] * 3),
    "zigzag": _corners(-1, 0.1, -0.5, -0.6, 0, 0.1, 0.5, -0.6, 1, 0.1, 1, 0.7, 0.5, 0, 0, 0.7, -0.5, 0, -1, 0.7),
}
COARSE_NAMES = tuple(sorted(_OUTLINES))
FINE_NAMES = tuple(sorted(f"{outline}_{fill}" for outline in COARSE_NAMES for fill in FILLS))
COARSE_OF_FINE = tuple(COARSE_NAMES.index(name.split("_")[0]) for name in FINE_NAMES)


@dataclass(frozen=True)
class _Task:
    seed: int
    split: int
    fine: int
    count: int


def make_cifar100(
    out: Path,
    *,
    images_per_class: int = 50,
    seed: int = 0,
    full: bool = False,
    progress: Progress | None = None,
    workers: int | None = None,
) -> Path:
    """Writes ``out/cifar-100-python`` in the layout of CIFAR-100 and returns that folder.

    Args:
        out: Folder in which the set's own folder is made.
        images_per_class: Training images of each of the 100 fine classes, 5 to 5000; for testing a fifth of that.
        seed: Seed of everything drawn, in [0, 2**32).
        full: Write the released counts, 500 and 100 a class, whatever ``images_per_class`` says.
        progress: Called with images drawn and images in all, after every class.
        workers: Processes to draw in; None for one per available core if the set is large enough to gain.

    Raises:
        InputError: Arguments out of range, or a folder that exists and is not this very set.
    """
    check_seed(seed)
    per_class = split_sizes(images_per_class, full)
    target = out / FOLDER
    origin = Origin("cifar100", per_class[0], seed, full, {"meta": 1, "test": 1, "train": 1})
    with new_folder(target, origin) as folder:
        if folder is None:
            return target
        total, done = sum(per_class) * len(FINE_NAMES), 0
        pixels = [np.zeros((len(FINE_NAMES), count, 3072), np.uint8) for count in per_class]
        classes = range(len(FINE_NAMES))
        tasks = [_Task(seed, split, fine, count) for split, count in enumerate(per_class) for fine in classes]
        for task, images in share_out(_draw_class, tasks, total, workers):
            pixels[task.split][task.fine] = images
            done += task.count
            if progress is not None:
                progress(done, total)
        for split, name in enumerate(("train", "test")):
            (folder / name).write_bytes(dump_released(_batch(pixels[split], split, seed)))
        meta = {
            b"fine_label_names": [name.encode() for name in FINE_NAMES],
            b"coarse_label_names": [name.encode() for name in COARSE_NAMES],
        }
        (folder / "meta").write_bytes(dump_released(meta))
    return target


def split_sizes(images_per_class: int, full: bool) -> tuple[int, int]:
    """Images of each fine class for training and for testing.

    >>> split_sizes(50, full=False), split_sizes(50, full=True)
    ((50, 10), (500, 100))
    """
    if full:
        return RELEASED_PER_CLASS
    if not 5 <= images_per_class <= 5000:
        raise InputError(f"images_per_class: found {images_per_class}, expected 5 to 5000")
    return images_per_class, images_per_class // 5


def _batch(pixels: NDArray[np.uint8], split: int, seed: int) -> dict[bytes, object]:
    """The content of one of the two files: images in random order, as in the release."""
    classes, count, _ = pixels.shape
    order = stream(seed, Purpose.PLAN, 100, split).permutation(classes * count)
    fine = [int(index) // count for index in order]
    word = b"training" if split == 0 else b"testing"
    return {
        b"filenames": [f"{FINE_NAMES[index // count]}_s_{index % count:06d}.png".encode() for index in order],
        b"batch_label": word + b" batch 1 of 1",
        b"fine_labels": fine,
        b"coarse_labels": [COARSE_OF_FINE[label] for label in fine],
        b"data": pixels.reshape(classes * count, 3072)[order],
    }


def _draw_class(task: _Task) -> tuple[_Task, NDArray[np.uint8]]:
    """All images of a class in a split, count x 3072: red, green and blue planes, row by row."""
    images = np.zeros((task.count, 3072), np.uint8)
    for index in range(task.count):
        picture = draw_object(task.fine, stream(task.seed, Purpose.OBJECT, task.split, task.fine, index))
        images[index] = np.asarray(picture).transpose(2, 0, 1).reshape(-1)
    return task, images


def draw_object(fine: int, generator: np.random.Generator) -> Image.Image:
    """One image of a fine class, 32 x 32."""
    outline, fill = FINE_NAMES[fine].split("_")
    turn, size = float(generator.normal(0.0, 0.4)), float(generator.uniform(0.5, 0.86)) * _CANVAS / 2
    middle = _CANVAS / 2 + generator.uniform(-1.0, 1.0, 2) * (_CANVAS / 2 - size) * 0.9
    stretch = np.array([1.0, float(generator.uniform(0.75, 1.0))]) * (-1 if generator.random() < 0.5 else 1, 1)
    points = _OUTLINES[outline] * stretch
    turned = points @ np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    corners = [(float(x), float(y)) for x, y in turned * size + middle]
    first = _colour(COARSE_OF_FINE[fine], generator)
    while np.abs((ground := generator.integers(20, 236, 3)) - first).max() < 70:
        pass
    second = np.where(first > 128, first - generator.integers(70, 120, 3), first + generator.integers(70, 120, 3))
    picture, mask = _clutter(ground, generator), Image.new("L", (_CANVAS, _CANVAS))
    pen = ImageDraw.Draw(mask)
    if fill == "hollow":
        pen.line([*corners, *corners[:2]], fill=255, width=round(size * 0.22), joint="curve")
    else:
        pen.polygon(corners, fill=255)
    picture.paste(_fill(fill, first, second, turn, generator), (0, 0), mask)
    small = np.asarray(
        picture.filter(ImageFilter.GaussianBlur(float(generator.uniform(0.2, 1.0)))).reduce(2), np.float32
    )
    light = np.linspace(-1.0, 1.0, 32, dtype=np.float32) * generator.uniform(-0.25, 0.25)
    side = light[:, None, None] if generator.random() < 0.5 else light[None, :, None]
    noise = generator.standard_normal((32, 32, 3), np.float32) * generator.uniform(2.0, 9.0)
    lit = small * (1.0 + side) * generator.uniform(0.75, 1.15) + noise
    return Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))


def _colour(coarse: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """A colour near the outline's own hue, or just any."""
    if generator.random() < 0.45:
        return generator.integers(10, 246, 3)
    hue = (coarse / len(COARSE_NAMES) + float(generator.normal(0.0, 0.03))) % 1.0
    rgb = colorsys.hsv_to_rgb(hue, float(generator.uniform(0.5, 0.9)), float(generator.uniform(0.6, 0.95)))
    return np.array([round(255 * channel) for channel in rgb])


def _clutter(ground: NDArray[np.int64], generator: np.random.Generator) -> Image.Image:
    """A ground with a few bars and blobs near its own colour."""
    picture = Image.new("RGB", (_CANVAS, _CANVAS), tuple(int(channel) for channel in ground))
    pen = ImageDraw.Draw(picture)
    for bar in range(int(generator.integers(2, 7))):
        tone = tuple(int(v) for v in np.clip(ground + generator.integers(-45, 46, 3), 0, 255))
        x0, y0, x1, y1 = (float(v) for v in generator.uniform(-10, _CANVAS + 10, 4))
        if bar % 2:
            pen.line((x0, y0, x1, y1), fill=tone, width=int(generator.integers(2, 9)))
        else:
            pen.ellipse((min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)), fill=tone)
    return picture


def _fill(
    fill: str, first: NDArray[np.int64], second: NDArray[np.int64], turn: float, generator: np.random.Generator
) -> Image.Image:
    """The canvas covered with a fill in two colours, turned with the shape; plain and hollow show one only."""
    period, phase = float(generator.uniform(9.0, 13.0)), generator.uniform(0.0, 1.0, 2)
    rows, columns = np.mgrid[0:_CANVAS, 0:_CANVAS].astype(np.float32)
    across = ((columns * math.cos(turn) + rows * math.sin(turn)) / period + phase[0]) % 1.0
    down = ((rows * math.cos(turn) - columns * math.sin(turn)) / period + phase[1]) % 1.0
    marked = {
        "striped": down < 0.5,
        "chequered": (down < 0.5) ^ (across < 0.5),
        "dotted": (down - 0.5) ** 2 + (across - 0.5) ** 2 < 0.1,
    }.get(fill, down < 0.0)
    colours = np.where(marked[..., None], second, first)
    return Image.fromarray(np.clip(colours, 0, 255).astype(np.uint8))
