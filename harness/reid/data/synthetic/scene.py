"""A synthetic camera's scene and its imaging: a background picture, light, colour cast, blur, noise, viewpoint."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from harness.reid.data.synthetic.appearance import Rgb
from harness.reid.data.synthetic.body import shade
from harness.reid.data.synthetic.randomness import Purpose, stream

PANORAMA_WIDTH, PANORAMA_HEIGHT = 512, 160
"""Pixels of a background picture; a person standing in it is 120 of them tall."""

_BACKGROUND_SATURATION = 0.6  # streets are greyer than clothes
_WALLS: tuple[Rgb, ...] = (
    (176, 160, 140),
    (150, 84, 66),
    (186, 188, 190),
    (120, 130, 140),
    (206, 196, 170),
    (96, 104, 98),
)
_GROUNDS: tuple[Rgb, ...] = ((136, 134, 130), (164, 156, 144), (104, 106, 110), (150, 128, 108), (120, 132, 110))


@dataclass(frozen=True)
class Camera:
    """One camera: its response to light, its optics and its place.

    ``gain`` is per channel; ``hue_turn``, in radians, is the crosstalk of its colour filters: a turn of all hues;
    ``gamma`` and ``contrast`` shape the response; ``light`` is the strength and side of the
    light that falls across a person; ``heading`` is the way people mostly walk past it, in radians.
    """

    gain: tuple[float, float, float]
    gamma: float
    contrast: float
    saturation: float
    hue_turn: float
    haze: float
    blur_px: float
    resolution: float
    noise: float
    light: float
    aspect: float
    taper: float
    shear: float
    elevation: float
    heading: float


@lru_cache(maxsize=4)
def cameras(seed: int, count: int) -> tuple[Camera, ...]:
    """The cameras of a data set, spread so that every seed has dark and bright, warm and cold ones.

    Colour casts take evenly spaced hues and brightnesses evenly spaced steps, each in random order, with some jitter.
    """
    generator = stream(seed, Purpose.CAMERAS, count)
    hues = (generator.permutation(count) + generator.uniform(-0.3, 0.3, count)) * 2.0 * math.pi / count
    levels = np.linspace(-1.0, 1.0, count)[generator.permutation(count)]
    headings = (generator.permutation(count) + generator.uniform(-0.3, 0.3, count)) * math.pi / count
    made = []
    for hue, level, heading in zip(hues, levels, headings, strict=True):
        strength = generator.uniform(0.05, 0.13)
        red, green, blue = (
            float((1.0 + 0.18 * level) * (1.0 + strength * math.cos(hue - channel * 2.0 * math.pi / 3.0)))
            for channel in range(3)
        )
        made.append(
            Camera(
                gain=(red, green, blue),
                gamma=float(generator.uniform(0.85, 1.2)),
                contrast=float(generator.uniform(0.85, 1.12)),
                saturation=float(generator.uniform(0.65, 1.1)),
                hue_turn=float(generator.uniform(-0.32, 0.32)),
                haze=float(generator.uniform(0.0, 14.0)),
                blur_px=float(generator.uniform(0.1, 0.7)),
                resolution=float(generator.choice([0.6, 0.75, 1.0, 1.0])),
                noise=float(generator.uniform(2.0, 8.0)),
                light=float(generator.uniform(0.1, 0.35) * generator.choice([-1, 1])),
                aspect=float(generator.uniform(0.86, 1.14)),
                taper=float(generator.uniform(-0.1, 0.35)),
                shear=float(generator.uniform(-0.09, 0.09)),
                elevation=float(generator.uniform(0.0, 0.25)),
                heading=float(heading),
            )
        )
    return tuple(made)


@lru_cache(maxsize=16)
def background(seed: int, count: int, camera: int) -> Image.Image:
    """The picture behind a camera's people: a facade or a park above, the ground below, passers-by far away."""
    generator = stream(seed, Purpose.BACKGROUND, count, camera)
    size = (PANORAMA_WIDTH * 2, PANORAMA_HEIGHT * 2)
    horizon = int(generator.integers(int(0.42 * size[1]), int(0.62 * size[1])))
    picture = Image.new("RGB", size, (188, 204, 220))
    pen = ImageDraw.Draw(picture)
    if generator.random() < 0.6:
        _facade(pen, size[0], horizon, generator)
    else:
        _park(pen, size[0], horizon, generator)
    _ground(pen, size, horizon, generator)
    _street_furniture(pen, size[0], horizon, generator)
    grain = generator.normal(0.0, 7.0, (size[1], size[0], 1))
    faded = Image.blend(picture.convert("L").convert("RGB"), picture, _BACKGROUND_SATURATION)
    rough = np.clip(np.asarray(faded, np.float32) + grain, 0, 255).astype(np.uint8)
    return Image.fromarray(rough).reduce(2).filter(ImageFilter.GaussianBlur(0.6))


def _jitter(colour: Rgb, spread: int, generator: np.random.Generator) -> Rgb:
    red, green, blue = (int(v) for v in np.clip(np.array(colour) + generator.integers(-spread, spread + 1, 3), 0, 255))
    return red, green, blue


def _facade(pen: ImageDraw.ImageDraw, width: int, horizon: int, generator: np.random.Generator) -> None:
    """Houses with windows and shop fronts, side by side down to the horizon."""
    left = 0
    while left < width:
        right = left + int(generator.integers(120, 320))
        wall = _jitter(_WALLS[int(generator.integers(len(_WALLS)))], 18, generator)
        pen.rectangle((left, 0, right, horizon), fill=wall)
        step_x, step_y = int(generator.integers(34, 70)), int(generator.integers(44, 80))
        glass = _jitter((84, 98, 112), 30, generator)
        for x in range(left + 12, right - step_x // 2, step_x):
            for y in range(-10, horizon - step_y, step_y):
                pen.rectangle((x, y, x + step_x * 0.55, y + step_y * 0.6), fill=glass, outline=shade(wall, 0.7))
        if generator.random() < 0.6:
            shop = _jitter((120, 110, 110), 45, generator)
            pen.rectangle((left + 8, horizon - 70, right - 8, horizon), fill=shade(glass, 0.7))
            pen.rectangle((left + 8, horizon - 84, right - 8, horizon - 66), fill=shop)
        left = right


def _park(pen: ImageDraw.ImageDraw, width: int, horizon: int, generator: np.random.Generator) -> None:
    """A hedge and trees before the sky."""
    leaves = _jitter((74, 104, 62), 16, generator)
    pen.rectangle((0, horizon - 60, width, horizon), fill=shade(leaves, 0.8))
    for _ in range(26):
        x, size = int(generator.integers(0, width)), int(generator.integers(30, 90))
        y = int(generator.integers(0, max(1, horizon - 70)))
        pen.line((x, y, x, horizon), fill=_jitter((88, 68, 52), 10, generator), width=7)
        for _ in range(7):
            dx, dy = generator.normal(0.0, size * 0.4, 2)
            box = (x + dx - size * 0.5, y + dy - size * 0.4, x + dx + size * 0.5, y + dy + size * 0.4)
            pen.ellipse(box, fill=shade(leaves, float(generator.uniform(0.7, 1.25))))


def _ground(pen: ImageDraw.ImageDraw, size: tuple[int, int], horizon: int, generator: np.random.Generator) -> None:
    """Paving with joints that draw together towards the horizon, and perhaps a lane with a kerb."""
    ground = _jitter(_GROUNDS[int(generator.integers(len(_GROUNDS)))], 14, generator)
    pen.rectangle((0, horizon, *size), fill=ground)
    joint, vanish = shade(ground, float(generator.uniform(0.75, 0.95))), size[0] / 2
    for x in range(-size[0], 2 * size[0], int(generator.integers(50, 140))):
        pen.line((vanish + (x - vanish) * 0.45, horizon, x, size[1]), fill=joint, width=2)
    for step in np.cumsum(np.geomspace(6, 44, 9)):
        pen.line((0, horizon + step, size[0], horizon + step), fill=joint, width=2)
    if generator.random() < 0.5:
        top = horizon + int(generator.integers(6, 60))
        pen.rectangle((0, top, size[0], top + int(generator.integers(40, 110))), fill=shade(ground, 0.66))
        pen.rectangle((0, top - 5, size[0], top), fill=shade(ground, 1.3))


def _street_furniture(pen: ImageDraw.ImageDraw, width: int, horizon: int, generator: np.random.Generator) -> None:
    """Parked cars, posts, and people too far away to know."""
    for _ in range(int(generator.integers(2, 6))):
        x, colour = int(generator.integers(0, width)), _jitter((120, 120, 124), 60, generator)
        pen.rounded_rectangle((x, horizon - 26, x + 110, horizon + 16), radius=12, fill=colour)
        pen.rounded_rectangle((x + 22, horizon - 50, x + 88, horizon - 20), radius=12, fill=shade(colour, 0.55))
        for wheel in (x + 20, x + 76):
            pen.ellipse((wheel, horizon + 4, wheel + 24, horizon + 28), fill=(30, 30, 32))
    for _ in range(int(generator.integers(2, 7))):
        x = int(generator.integers(0, width))
        pen.line(
            (x, 0, x, horizon + 34), fill=_jitter((90, 92, 96), 40, generator), width=int(generator.integers(4, 10))
        )
    for _ in range(int(generator.integers(3, 10))):
        x, tall = int(generator.integers(0, width)), int(generator.integers(70, 120))
        cloth, legs = _jitter((110, 106, 110), 60, generator), _jitter((70, 70, 84), 40, generator)
        top = horizon + 24 - tall
        pen.rectangle((x, top + tall * 0.15, x + tall * 0.24, top + tall * 0.55), fill=cloth)
        pen.rectangle((x + tall * 0.03, top + tall * 0.5, x + tall * 0.21, top + tall), fill=legs)
        pen.ellipse((x + tall * 0.06, top, x + tall * 0.18, top + tall * 0.16), fill=(168, 130, 108))


@lru_cache(maxsize=16)
def _colour_matrix(saturation: float, hue_turn: float) -> NDArray[np.float32]:
    """The matrix that turns the hue of RGB rows about the grey axis and scales their saturation; greys stay."""
    grey = np.full((3, 3), 1.0 / 3.0)
    cross = np.array([[0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]]) / math.sqrt(3.0)
    turned = math.cos(hue_turn) * (np.eye(3) - grey) + math.sin(hue_turn) * cross
    return np.asarray(grey + saturation * turned, np.float32)


def expose(
    scene: NDArray[np.float32], camera: Camera, brightness: float, warmth: float, generator: np.random.Generator
) -> Image.Image:
    """The picture that a camera takes of a scene.

    Args:
        scene: Height x width x RGB, linear-ish light in [0, 255].
        camera: Its response, blur, resolution and noise.
        brightness: Light on this track, 1 as usual; below 1 in the shade.
        warmth: Shift of red against blue on this track, 0 as usual.
        generator: Source of the sensor's noise.
    """
    coloured = np.clip(scene, 0, 255) @ _colour_matrix(camera.saturation, camera.hue_turn)
    gain = np.array(camera.gain, np.float32) * np.array([1.0 + warmth, 1.0, 1.0 - warmth], np.float32) * brightness
    lit = np.clip(coloured * gain * np.float32(1 / 255), 0.0, 1.2) ** np.float32(camera.gamma)
    shaped = (lit - 0.5) * camera.contrast * 255.0 + 127.5 + camera.haze
    picture = Image.fromarray(np.clip(shaped, 0, 255).astype(np.uint8))
    width, height = picture.size
    if camera.resolution < 1.0:
        small = (round(width * camera.resolution), round(height * camera.resolution))
        picture = picture.resize(small, Image.Resampling.BILINEAR).resize((width, height), Image.Resampling.BILINEAR)
    blurred = np.asarray(picture.filter(ImageFilter.GaussianBlur(camera.blur_px)), np.float32)
    grain = generator.standard_normal((height, width, 1), np.float32) * camera.noise
    chroma = generator.standard_normal((height, width, 3), np.float32) * (camera.noise * 0.5)
    return Image.fromarray(np.clip(blurred + grain + chroma, 0, 255).astype(np.uint8))
