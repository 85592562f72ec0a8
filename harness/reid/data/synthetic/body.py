"""A small three-dimensional body on a flat canvas: where its points land, and its rounded shapes.

Body coordinates are in body heights: lateral to the person's left, forward where the chest points, y from 0 (crown) to
1 (soles).
"""

import math
from dataclasses import dataclass

from PIL import Image, ImageDraw

from harness.reid.data.synthetic.appearance import Rgb

Point = tuple[float, float]


@dataclass(frozen=True)
class Pose:
    """The person's posture: angles in radians; at heading 0 they face the camera, at pi they turn their back on it."""

    heading: float
    phase: float
    stride: float
    arm_swing: float
    lean: float


@dataclass(frozen=True)
class View:
    """How body coordinates land on the canvas, in canvas pixels and body heights."""

    x_px: float
    top_px: float
    height_px: float
    aspect: float
    taper: float
    shear: float
    elevation: float


def shade(colour: Rgb, factor: float) -> Rgb:
    """The colour under more or less light."""
    red, green, blue = (min(255, round(channel * factor)) for channel in colour)
    return red, green, blue


class Body:
    """A pose under a view, with a pen on its canvas."""

    def __init__(self, canvas: Image.Image, pose: Pose, view: View) -> None:
        self.canvas, self.pose, self.view = canvas, pose, view
        self.pen = ImageDraw.Draw(canvas)
        self.cos, self.sin = math.cos(pose.heading), math.sin(pose.heading)

    def at(self, lateral: float, forward: float, y: float) -> Point:
        """Canvas position of a body point."""
        view = self.view
        x = lateral * self.cos + (forward + self.pose.lean * (0.5 - y)) * self.sin
        y += view.elevation * self.depth(lateral, forward)
        x *= view.aspect * (1.0 + view.taper * (0.5 - y))
        return view.x_px + (x + view.shear * (y - 0.5)) * view.height_px, view.top_px + y * view.height_px

    def depth(self, lateral: float, forward: float) -> float:
        """How much nearer to the camera than the body's axis a body point is."""
        return forward * self.cos - lateral * self.sin

    def width(self, lateral: float, forward: float) -> float:
        """Half of the seen width, in canvas pixels, of an upright elliptic cylinder with these half axes."""
        return math.hypot(lateral * self.cos, forward * self.sin) * self.view.aspect * self.view.height_px

    def limb(self, joints: list[Point], radii: list[float], colour: Rgb) -> None:
        """A chain of tapered segments with round joints; radii in body heights."""
        sizes = [radius * self.view.height_px * self.view.aspect for radius in radii]
        for (x, y), size in zip(joints, sizes, strict=True):
            self.pen.ellipse((x - size, y - size, x + size, y + size), fill=colour)
        for index in range(len(joints) - 1):
            (x0, y0), (x1, y1) = joints[index], joints[index + 1]
            length = math.hypot(x1 - x0, y1 - y0) or 1.0
            nx, ny, a, b = (y0 - y1) / length, (x1 - x0) / length, sizes[index], sizes[index + 1]
            corners = [(x0 + nx * a, y0 + ny * a), (x1 + nx * b, y1 + ny * b)]
            corners += [(x1 - nx * b, y1 - ny * b), (x0 - nx * a, y0 - ny * a)]
            self.pen.polygon(corners, fill=colour)

    def outline(self, levels: list[tuple[float, float, float]]) -> list[Point]:
        """Polygon around the trunk through (y, lateral half axis, forward half axis) levels."""
        left, right = [], []
        for y, lateral, forward in levels:
            (x, py), half = self.at(0.0, 0.0, y), self.width(lateral, forward)
            left.append((x - half, py))
            right.append((x + half, py))
        return left + right[::-1]
