"""From a planned box to its picture: pose, detector's misalignment, occluder, and the camera's view of it all."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from harness.reid.data.synthetic.appearance import Appearance, appearance_of
from harness.reid.data.synthetic.body import Pose, View
from harness.reid.data.synthetic.figure import draw_figure
from harness.reid.data.synthetic.plan import STRANGERS_FROM, Box, Kind
from harness.reid.data.synthetic.randomness import Purpose, stream
from harness.reid.data.synthetic.scene import PANORAMA_HEIGHT, PANORAMA_WIDTH, Camera, background, cameras, expose

SUPERSAMPLING = 2
_STANDING_PX = 120.0  # height of a person in a background picture


@dataclass(frozen=True)
class World:
    """Constants of all boxes of a set."""

    seed: int
    cameras: int


@dataclass(frozen=True)
class Track:
    """Constants of the boxes of one person before one camera in one sequence."""

    heading: float
    phase: float
    stride: float
    brightness: float
    warmth: float
    where: float


@dataclass(frozen=True)
class Crop:
    """Where the box lies about the person: height of the person over the box's, and its middle and top in the box."""

    scale: float
    middle: float
    top: float


@lru_cache(maxsize=64)
def _look(seed: int, number: int, sibling_of: int | None) -> Appearance:
    return appearance_of(seed, number, sibling_of)


def draw_track(world: World, box: Box) -> Track:
    """How the person crosses this camera's scene in this sequence, in one of the two directions of its path."""
    generator = stream(world.seed, Purpose.TRACK, box.person.number, box.camera, box.track)
    camera = cameras(world.seed, world.cameras)[box.camera - 1]
    there_or_back = math.pi * float(generator.integers(2))
    standing = generator.random() < 0.12
    return Track(
        heading=camera.heading + there_or_back + float(generator.normal(0.0, 0.45)),
        phase=float(generator.uniform(0.0, 2.0 * math.pi)),
        stride=0.015 if standing else float(generator.uniform(0.07, 0.14)),
        brightness=float(np.exp(generator.normal(0.0, 0.1))) * (0.78 if generator.random() < 0.2 else 1.0),
        warmth=float(generator.normal(0.0, 0.025)),
        where=float(generator.random()),
    )


def _crop(box: Box, generator: np.random.Generator) -> Crop:
    """A hand-drawn box fits; a detector's is off by a little; junk is off by much; so are parts of strangers."""
    if box.kind == Kind.PERSON:
        loose = 0.4 if box.hand_drawn else 1.0
        return Crop(
            scale=float(0.91 + loose * generator.normal(0.0, 0.055)),
            middle=float(0.5 + loose * generator.normal(0.0, 0.055)),
            top=float(0.045 + loose * generator.normal(0.0, 0.032)),
        )
    if generator.random() < (0.5 if box.kind == Kind.DISTRACTOR else 0.25):
        return Crop(scale=0.9, middle=float(generator.choice([-1.4, 2.4])), top=0.1)
    scale = float(generator.uniform(1.5, 2.8))
    return Crop(scale, float(generator.uniform(-0.1, 1.1)), float(generator.uniform(0.6 - scale, 0.3)))


def _view(crop: Crop, camera: Camera, size_px: tuple[int, int], generator: np.random.Generator) -> View:
    width, height = (SUPERSAMPLING * side for side in size_px)
    return View(
        x_px=crop.middle * width,
        top_px=crop.top * height,
        height_px=crop.scale * height,
        aspect=1.16 * camera.aspect * float(generator.uniform(0.94, 1.06)) * (2.0 * width / height) ** 0.5,
        taper=camera.taper,
        shear=camera.shear + float(generator.normal(0.0, 0.015)),
        elevation=camera.elevation,
    )


def _behind(world: World, box: Box, crop: Crop, where: float, generator: np.random.Generator) -> Image.Image:
    """The part of the camera's picture that the box covers, at the box's size."""
    picture = background(world.seed, world.cameras, box.camera - 1)
    tall = min(_STANDING_PX / crop.scale * float(generator.uniform(0.95, 1.1)), PANORAMA_HEIGHT)
    wide = min(tall * box.size_px[0] / box.size_px[1], PANORAMA_WIDTH)
    x = (where + float(generator.uniform(0.0, 0.25))) % 1.0 * (PANORAMA_WIDTH - wide)
    y = (PANORAMA_HEIGHT - tall) * float(generator.uniform(0.4, 1.0))
    return picture.resize(box.size_px, Image.Resampling.BILINEAR, box=(x, y, x + wide, y + tall))


def _occlude(
    canvas: Image.Image, world: World, box: Box, pose: Pose, view: View, generator: np.random.Generator
) -> None:
    """Something between camera and person: a post, a bicycle or bonnet below, or another person at the side."""
    width, height = canvas.size
    pen, grey = ImageDraw.Draw(canvas), int(generator.integers(30, 200))
    choice = int(generator.integers(3))
    if choice == 0:
        x, thick = generator.uniform(0.1, 0.9) * width, generator.uniform(0.06, 0.16) * width
        pen.rectangle((x, 0, x + thick, height), fill=(grey, grey, min(255, grey + 8), 255))
    elif choice == 1:
        red, green, blue = (int(v) for v in generator.integers(40, 170, 3))
        y, x = generator.uniform(0.68, 0.82) * height, generator.uniform(-0.5, 0.4) * width
        pen.rounded_rectangle((x, y, x + width * 1.1, height * 1.1), radius=0.12 * width, fill=(red, green, blue, 255))
    else:
        number = STRANGERS_FROM * 2 + box.person.number * 8 + box.camera
        side = float(generator.choice([-1, 1]))
        nearer = View(
            x_px=view.x_px + side * float(generator.uniform(0.38, 0.5)) * width,
            top_px=view.top_px + float(generator.uniform(-0.02, 0.06)) * height,
            height_px=view.height_px * float(generator.uniform(0.95, 1.1)),
            aspect=view.aspect,
            taper=view.taper,
            shear=view.shear,
            elevation=view.elevation,
        )
        draw_figure(canvas, _look(world.seed, number, None), pose, nearer)


def _lit(figure: NDArray[np.float32], camera: Camera, generator: np.random.Generator) -> NDArray[np.float32]:
    """Light on the figure: stronger on one side, weaker below, and uneven as cloth is."""
    height, width = figure.shape[:2]
    across = np.linspace(-1.0, 1.0, width, dtype=np.float32)[None, :] * camera.light
    down = np.linspace(0.06, -0.1, height, dtype=np.float32)[:, None]
    folds = generator.standard_normal((height // 5 + 1, width // 5 + 1), np.float32) * 18.0 + 128.0
    coarse = Image.fromarray(np.clip(folds, 0, 255).astype(np.uint8))
    cloth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float32) / 255.0 - 0.5
    return np.asarray((1.0 + across + down + cloth)[..., None], np.float32)


def render(world: World, box: Box) -> Image.Image:
    """The picture of a box: the same for the same world and box, whatever was rendered before."""
    camera = cameras(world.seed, world.cameras)[box.camera - 1]
    track = draw_track(world, box)
    generator = stream(world.seed, Purpose.BOX, box.person.number, box.camera, int(box.kind), box.serial)
    crop = _crop(box, generator)
    view = _view(crop, camera, box.size_px, generator)
    pose = Pose(
        heading=track.heading + float(generator.normal(0.0, 0.2)),
        phase=track.phase + 1.1 * box.serial + float(generator.normal(0.0, 0.3)),
        stride=track.stride * float(generator.uniform(0.8, 1.15)),
        arm_swing=track.stride * float(generator.uniform(0.3, 1.0)),
        lean=float(generator.normal(0.02, 0.025)),
    )
    width, height = box.size_px
    canvas = Image.new("RGBA", (width * SUPERSAMPLING, height * SUPERSAMPLING))
    foot_y, half = view.top_px + 0.985 * view.height_px, 0.17 * view.height_px
    shadow = (view.x_px - half, foot_y - half * 0.22, view.x_px + half, foot_y + half * 0.22)
    ImageDraw.Draw(canvas).ellipse(shadow, fill=(0, 0, 0, 110))
    draw_figure(canvas, _look(world.seed, box.person.number, box.person.sibling_of), pose, view)
    if generator.random() < (0.05 if box.hand_drawn else 0.14):
        _occlude(canvas, world, box, pose, view, generator)
    layers = np.asarray(canvas).reshape(height, SUPERSAMPLING, width, SUPERSAMPLING, 4).mean((1, 3), dtype=np.float32)
    behind = np.asarray(_behind(world, box, crop, track.where, generator), np.float32)
    lit = layers[..., :3] * _lit(layers, camera, generator)
    scene = lit + behind * (1.0 - layers[..., 3:] / 255.0)
    return expose(scene, camera, track.brightness, track.warmth, generator)
