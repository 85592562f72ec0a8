"""Draws one pedestrian in one pose: flat shapes on a canvas twice the size of the final image.

The body turns about the vertical (``body``), which gives front, side and back views of the same garments: a logo is
seen from the front only, a backpack best from behind, and a bag on its own side.
"""

import math
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from harness.reid.data.synthetic.appearance import Appearance, Bag, Hair, Hat, Legwear, Sleeves, Texture
from harness.reid.data.synthetic.body import Body, Point, Pose, View, shade

_SHOULDER_Y, _WAIST_Y, _CHEST_Y = 0.185, 0.40, 0.27
_TILE_WIDTH, _TILE_HEIGHT = 256, 128


@lru_cache(maxsize=64)
def _garment_tile(look: Appearance) -> Image.Image:
    """The cloth of the top unrolled twice around the body, 0 to 0.8 body heights from the shoulders down."""
    rows = np.arange(_TILE_HEIGHT)[:, None] / _TILE_HEIGHT * 0.8
    columns = np.arange(_TILE_WIDTH)[None, :] / _TILE_WIDTH * 1.0
    period = look.texture_period
    down, across = (rows / period) % 1.0, (columns / period) % 1.0
    second = {
        Texture.PLAIN: rows + columns < 0,
        Texture.STRIPES: (down < 0.5) & (columns >= 0),
        Texture.PINSTRIPES: (across < 0.4) & (rows >= 0),
        Texture.CHECKS: (down < 0.5) ^ (across < 0.5),
        Texture.DOTS: (down - 0.5) ** 2 + (across - 0.5) ** 2 < 0.09,
        Texture.BLOCKS: (rows < 0.13) & (columns >= 0),
    }[look.top_texture]
    tile = np.where(second[..., None], np.array(look.top_second, np.uint8), np.array(look.top_colour, np.uint8))
    return Image.fromarray(np.ascontiguousarray(tile))


class Figure(Body):
    """One person being drawn; ``draw_figure`` is the way in."""

    def __init__(self, canvas: Image.Image, look: Appearance, pose: Pose, view: View) -> None:
        super().__init__(canvas, pose, view)
        self.look = look
        self.hip_y = 1.0 - look.leg_length

    def leg(self, side: int) -> None:
        """One leg with its shoe; trousers, shorts or bare under a skirt."""
        look, pose = self.look, self.pose
        swing = pose.stride * math.sin(pose.phase + (math.pi if side < 0 else 0.0))
        lift = 0.035 * max(0.0, math.cos(pose.phase + (math.pi if side < 0 else 0.0))) * min(1.0, pose.stride * 8)
        lateral, girth = side * 0.045 * look.girth, look.girth
        hip = self.at(lateral, 0.0, self.hip_y - 0.02)
        knee = self.at(lateral, swing * 0.5 + lift * 0.8, self.hip_y + 0.46 * look.leg_length)
        ankle = self.at(lateral * 0.9, swing, 0.955 - lift)
        toe = self.at(lateral * 0.9 + side * 0.008, swing + 0.055, 0.982 - lift * 0.7)
        light = 0.86 if self.depth(lateral, 0.0) < -0.004 else 1.0
        bare = look.legwear in (Legwear.SHORTS, Legwear.SKIRT)
        self.limb([ankle, toe], [0.026, 0.018], shade(look.shoe_colour, light))
        widths = [0.056 * girth, 0.040 * girth, 0.032 * girth if look.legwear == Legwear.TROUSERS else 0.024 * girth]
        if look.legwear == Legwear.SLIM:
            widths = [0.05 * girth, 0.033 * girth, 0.021 * girth]
        self.limb([hip, knee, ankle], widths, shade(look.skin if bare else look.leg_colour, light))
        if look.legwear == Legwear.SHORTS:
            self.limb([hip, knee], [0.056 * girth, 0.046 * girth], shade(look.leg_colour, light))

    def arm(self, side: int) -> None:
        """One arm with its sleeve, and what hangs from it."""
        look, pose = self.look, self.pose
        swing = -pose.arm_swing * math.sin(pose.phase + (math.pi if side < 0 else 0.0))
        lateral = side * 0.108 * look.shoulders * (0.7 + 0.3 * look.girth)
        shoulder = self.at(lateral, 0.0, _SHOULDER_Y + 0.025)
        elbow = self.at(lateral * 1.16, swing * 0.4 - 0.01, 0.335)
        hand = self.at(lateral * 1.12, swing + 0.02, 0.47)
        light = 0.78 if self.depth(lateral, 0.0) < 0 else 0.9
        radius = 0.028 * (0.6 + 0.4 * look.girth)
        cloth = look.top_second if look.top_texture == Texture.BLOCKS else look.top_colour
        self.limb([shoulder, elbow, hand], [radius, radius * 0.85, radius * 0.72], shade(look.skin, light))
        if look.sleeves == Sleeves.LONG:
            cuff = (hand[0] * 0.85 + elbow[0] * 0.15, hand[1] * 0.85 + elbow[1] * 0.15)
            self.limb([shoulder, elbow, cuff], [radius * 1.2, radius * 1.15, radius], shade(cloth, light))
        elif look.sleeves == Sleeves.SHORT:
            middle = (shoulder[0] * 0.3 + elbow[0] * 0.7, shoulder[1] * 0.3 + elbow[1] * 0.7)
            self.limb([shoulder, middle], [radius * 1.15, radius * 1.2], shade(cloth, light))
        if look.bag == Bag.HAND and side == look.bag_side:
            x, y = hand
            half, tall = self.width(0.028, 0.06), 0.11 * self.view.height_px
            self.pen.line((x - half * 0.5, y + tall * 0.3, x, y, x + half * 0.5, y + tall * 0.3), look.bag_colour, 2)
            self.pen.rectangle((x - half, y + tall * 0.25, x + half, y + tall * 1.2), fill=look.bag_colour)

    def trunk(self) -> None:
        """The top garment with its texture, opening and logo, over a skirt or the hips of the trousers."""
        look, hem = self.look, self.look.hem
        girth, shoulders = look.girth, look.shoulders
        hip_width = 0.094 * girth
        if look.legwear == Legwear.SKIRT:
            skirt = [(self.hip_y - 0.07, hip_width, 0.075 * girth), (self.hip_y + 0.2, hip_width * 1.25, 0.105 * girth)]
            self.pen.polygon(self.outline(skirt), fill=look.leg_colour)
        else:
            hips = [(self.hip_y - 0.08, hip_width * 0.95, 0.07 * girth), (self.hip_y + 0.03, hip_width, 0.07 * girth)]
            self.pen.polygon(self.outline(hips), fill=look.leg_colour)
        levels = [
            (_SHOULDER_Y - 0.035, 0.035, 0.035),
            (_SHOULDER_Y, 0.108 * shoulders, 0.05),
            (_CHEST_Y, 0.1 * shoulders * (0.6 + 0.4 * girth), 0.068 * girth),
            (_WAIST_Y, 0.088 * girth, 0.064 * girth),
            (min(hem, 0.5), hip_width * 1.04, 0.074 * girth),
        ]
        if hem > 0.56:
            levels.append((hem, hip_width * 1.22, 0.095 * girth))
        self._clothe(self.outline(levels))
        front = max(0.0, self.cos)
        if look.inner_colour is not None and front > 0.1:
            opening = 0.036 * front * self.view.height_px * self.view.aspect
            (x0, y0), (x1, y1) = self.at(0.0, 0.05, _SHOULDER_Y - 0.02), self.at(0.0, 0.06, hem)
            corners = [(x0 - opening * 0.8, y0), (x0 + opening * 0.8, y0), (x1 + opening, y1), (x1 - opening, y1)]
            self.pen.polygon(corners, fill=look.inner_colour)
        if look.logo_colour is not None and front > 0.25:
            x, y = self.at(0.045 if look.inner_colour else 0.0, 0.06, 0.29)
            half, tall = 0.045 * front * self.view.height_px * self.view.aspect, 0.03 * self.view.height_px
            if look.inner_colour:
                half, tall = half * 0.5, tall * 0.7
            self.pen.ellipse((x - half, y - tall, x + half, y + tall), fill=look.logo_colour)

    def _clothe(self, outline: list[Point]) -> None:
        """Fills an outline with the cloth as seen from here: the half of the unrolled tile that faces the camera."""
        look = self.look
        if look.top_texture == Texture.PLAIN:
            self.pen.polygon(outline, fill=look.top_colour)
            return
        x0, x1 = math.floor(min(x for x, _ in outline)), math.ceil(max(x for x, _ in outline)) + 1
        y0, y1 = math.floor(min(y for _, y in outline)), math.ceil(max(y for _, y in outline)) + 1
        mask = Image.new("L", (x1 - x0, y1 - y0))
        ImageDraw.Draw(mask).polygon([(x - x0, y - y0) for x, y in outline], fill=255)
        start = (self.pose.heading / (2.0 * math.pi) % 1.0) * _TILE_WIDTH / 2
        depth = min(1.0, (y1 - y0) / (0.8 * self.view.height_px)) * _TILE_HEIGHT
        seen = (start, 0, start + _TILE_WIDTH / 4, depth)
        cloth = _garment_tile(look).resize(mask.size, Image.Resampling.BILINEAR, box=seen)
        self.canvas.paste(cloth, (x0, y0), mask)

    def head(self) -> None:
        """Neck, head, hair and hat; the face looks where the person goes."""
        look, size = self.look, self.view.height_px
        neck, chin = self.at(0.0, 0.0, _SHOULDER_Y), self.at(0.0, 0.004, 0.115)
        x, y = self.at(0.0, 0.008, 0.075)
        wide, tall = self.width(0.043, 0.052), 0.064 * size
        skull, (hx, hy) = (x - wide, y - tall, x + wide, y + tall), self.at(0.0, -0.016, 0.068)
        long_hair = [(-0.05, 0.06), (0.05, 0.06), (0.055, 0.2), (-0.055, 0.2)]
        drape = [self.at(lateral, -0.035, level) for lateral, level in long_hair]
        if look.hair == Hair.LONG and self.cos >= 0:
            self.pen.polygon(drape, fill=look.hair_colour)
        self.limb([neck, chin], [0.028, 0.026], shade(look.skin, 0.85))
        self.pen.ellipse(skull, fill=look.skin)
        if look.hair != Hair.BALD:
            self._hair(skull, hx, hy, wide, tall)
        if look.hair == Hair.LONG:
            strand = self.at(0.0, -0.045, 0.2)
            if self.cos < 0:
                self.pen.polygon([*drape], fill=look.hair_colour)
            if abs(self.sin) > 0.4:
                self.limb([(hx, hy), strand], [0.035, 0.02], look.hair_colour)
        if look.hat != Hat.NONE:
            self._hat(skull, x, y, tall)

    def _hair(self, skull: tuple[float, float, float, float], hx: float, hy: float, wide: float, tall: float) -> None:
        """Hair over the skull: a fringe from the front, all of it from behind, and a bun."""
        look, size = self.look, self.view.height_px
        if self.cos > 0.25:
            self.pen.chord(skull, 195, 345, fill=look.hair_colour)
            self.pen.arc(skull, 165, 375, fill=look.hair_colour, width=max(1, round(0.012 * size)))
        else:
            cover = 1.0 if self.cos < -0.4 else 0.82
            self.pen.ellipse((hx - wide * cover, skull[1], hx + wide * cover, hy + tall * 0.75), fill=look.hair_colour)
        if look.hair == Hair.BUN:
            bx, by = self.at(0.0, -0.05, 0.02)
            self.pen.ellipse(
                (bx - 0.026 * size, by - 0.02 * size, bx + 0.026 * size, by + 0.03 * size), look.hair_colour
            )

    def _hat(self, skull: tuple[float, float, float, float], x: float, y: float, tall: float) -> None:
        """A beanie down to the brow, or a cap with its peak forward."""
        colour, size = self.look.hat_colour, self.view.height_px
        grown = (skull[0] - 0.008 * size, skull[1] - 0.012 * size, skull[2] + 0.008 * size, skull[3])
        if self.look.hat == Hat.BEANIE:
            self.pen.chord(grown, 170, 370, fill=colour)
            return
        self.pen.chord(grown, 185, 355, fill=colour)
        if self.cos > -0.3:
            px, py = self.at(0.0, 0.075, 0.062)
            half = self.width(0.04, 0.04)
            self.pen.ellipse((px - half, py - tall * 0.14, px + half, py + tall * 0.16), fill=shade(colour, 0.8))
            if abs(self.sin) > 0.3:
                self.pen.line((x, y - tall * 0.2, px, py), fill=shade(colour, 0.8), width=max(2, round(0.015 * size)))

    def backpack(self) -> None:
        """The pack on the back, with its straps where the chest is seen."""
        colour = self.look.backpack_colour
        if colour is None:
            return
        x, y0 = self.at(0.0, -0.085, 0.2)
        _, y1 = self.at(0.0, -0.085, 0.43)
        half = self.width(0.085, 0.055)
        self.pen.rounded_rectangle((x - half, y0, x + half, y1), radius=0.03 * self.view.height_px, fill=colour)
        if self.cos < 0.2:
            pocket = (x - half * 0.7, y0 + (y1 - y0) * 0.5, x + half * 0.7, y1 - (y1 - y0) * 0.08)
            self.pen.rectangle(pocket, fill=shade(colour, 0.75))

    def straps(self) -> None:
        """Backpack straps and the shoulder or cross-body bag, over the top."""
        look, size = self.look, self.view.height_px
        broad = max(2, round(0.018 * size))
        if look.backpack_colour is not None and self.cos > 0.1:
            for side in (-1, 1):
                start, end = self.at(side * 0.06, 0.03, _SHOULDER_Y), self.at(side * 0.065, 0.06, 0.34)
                self.pen.line((*start, *end), fill=look.backpack_colour, width=broad)
        if look.bag not in (Bag.SHOULDER, Bag.CROSS):
            return
        lateral = look.bag_side * 0.112 * look.girth
        hung = self.at(lateral, 0.01, 0.47)
        start = self.at(-lateral * 0.5 if look.bag == Bag.CROSS else lateral * 0.7, 0.0, _SHOULDER_Y)
        if look.bag == Bag.CROSS or self.depth(lateral, 0.0) > -0.07:
            self.pen.line((*start, *hung), fill=look.bag_colour, width=broad)
        if self.depth(lateral, 0.0) > -0.07:
            half, tall = self.width(0.035, 0.07), 0.05 * size
            box = (hung[0] - half, hung[1] - tall, hung[0] + half, hung[1] + tall)
            self.pen.rounded_rectangle(box, radius=0.012 * size, fill=look.bag_colour)


def draw_figure(canvas: Image.Image, look: Appearance, pose: Pose, view: View) -> None:
    """Draws a person over an RGBA canvas, far parts first.

    Shapes replace what lies under them, alpha included; the canvas is meant to be averaged down afterwards, with its
    colours read as premultiplied on a black, transparent ground.
    """
    figure = Figure(canvas, look, pose, view)
    near = -1 if figure.sin > 0 else 1
    back_seen = figure.cos < 0
    if not back_seen:
        figure.backpack()
    figure.arm(-near)
    figure.leg(-near)
    figure.leg(near)
    figure.trunk()
    figure.head()
    figure.straps()
    figure.arm(near)
    if back_seen:
        figure.backpack()
