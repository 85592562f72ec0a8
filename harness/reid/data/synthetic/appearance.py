"""The appearance of a synthetic pedestrian: build, skin, hair, garments and small distinguishing details.

Colours are those of a street, so many identities share them; what distinguishes two people is more often the cut of a
garment, its texture, or a bag. This module decides looks and draws nothing.
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TypeAlias

import numpy as np

from harness.reid.data.synthetic.randomness import Purpose, stream

Rgb: TypeAlias = tuple[int, int, int]


class Texture(IntEnum):
    """Pattern of a garment: its colour alone, or its colour with a second one."""

    PLAIN = 0
    STRIPES = 1
    PINSTRIPES = 2
    CHECKS = 3
    DOTS = 4
    BLOCKS = 5


class Hair(IntEnum):
    """Hair style, by what can be seen of it at 128 pixels."""

    BALD = 0
    SHORT = 1
    BUN = 2
    LONG = 3


class Sleeves(IntEnum):
    """How far the sleeves reach."""

    NONE = 0
    SHORT = 1
    LONG = 2


class Legwear(IntEnum):
    """What is worn below the waist."""

    TROUSERS = 0
    SLIM = 1
    SHORTS = 2
    SKIRT = 3


class Hat(IntEnum):
    """What is worn on the head."""

    NONE = 0
    CAP = 1
    BEANIE = 2


class Bag(IntEnum):
    """What is carried, besides a backpack."""

    NONE = 0
    HAND = 1
    SHOULDER = 2
    CROSS = 3


@dataclass(frozen=True)
class Appearance:
    """One look. Lengths are in body heights, widths in multiples of the average person's."""

    girth: float
    shoulders: float
    leg_length: float
    skin: Rgb
    hair: Hair
    hair_colour: Rgb
    top_colour: Rgb
    top_second: Rgb
    top_texture: Texture
    texture_period: float
    sleeves: Sleeves
    hem: float
    inner_colour: Rgb | None
    legwear: Legwear
    leg_colour: Rgb
    shoe_colour: Rgb
    hat: Hat
    hat_colour: Rgb
    bag: Bag
    bag_side: int
    bag_colour: Rgb
    backpack_colour: Rgb | None
    logo_colour: Rgb | None


_CLOTH: tuple[tuple[Rgb, float], ...] = (
    ((26, 26, 30), 4.5),
    ((62, 64, 70), 2.4),
    ((126, 129, 134), 2.4),
    ((228, 228, 224), 3.8),
    ((34, 44, 84), 2.4),
    ((54, 94, 170), 1.4),
    ((130, 174, 214), 0.9),
    ((178, 42, 46), 1.3),
    ((102, 30, 42), 0.7),
    ((224, 152, 172), 0.8),
    ((222, 122, 44), 0.6),
    ((228, 200, 74), 0.7),
    ((54, 122, 72), 0.8),
    ((98, 100, 60), 0.8),
    ((42, 130, 134), 0.6),
    ((104, 68, 136), 0.7),
    ((204, 184, 150), 1.0),
    ((110, 78, 54), 0.8),
)
_LEGS: tuple[tuple[Rgb, float], ...] = (
    ((28, 28, 32), 4.5),
    ((66, 68, 74), 1.5),
    ((46, 60, 96), 3.4),
    ((88, 116, 156), 2.2),
    ((172, 152, 116), 1.2),
    ((132, 134, 138), 0.9),
    ((222, 220, 214), 0.8),
    ((112, 44, 48), 0.4),
    ((92, 96, 62), 0.6),
    ((104, 76, 56), 0.6),
)
_HAIR: tuple[tuple[Rgb, float], ...] = (
    ((28, 24, 24), 5.0),
    ((70, 46, 32), 2.0),
    ((140, 100, 56), 1.0),
    ((206, 172, 112), 0.7),
    ((160, 160, 164), 0.6),
    ((130, 56, 36), 0.4),
)
_SKIN: tuple[tuple[Rgb, float], ...] = (
    ((238, 204, 178), 2.0),
    ((222, 178, 146), 3.0),
    ((190, 142, 106), 1.6),
    ((134, 92, 66), 0.9),
    ((88, 60, 46), 0.7),
)
_SIBLING_DETAILS = 8


def contrast(one: Rgb, other: Rgb) -> int:
    """The largest difference of two colours over the channels, 0 to 255."""
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def _pick(palette: tuple[tuple[Rgb, float], ...], generator: np.random.Generator) -> Rgb:
    """A colour of the palette by weight, moved a little so that no two garments are quite alike."""
    weights = np.array([weight for _, weight in palette])
    colour = palette[int(generator.choice(len(palette), p=weights / weights.sum()))][0]
    red, green, blue = (int(v) for v in np.clip(np.array(colour) + generator.integers(-8, 9, 3), 4, 250))
    return red, green, blue


def _pick_unlike(colour: Rgb, generator: np.random.Generator) -> Rgb:
    """A cloth colour that contrasts with another."""
    while contrast(other := _pick(_CLOTH, generator), colour) < 70:
        pass
    return other


def draw_appearance(generator: np.random.Generator) -> Appearance:
    """A look drawn at random."""
    top = _pick(_CLOTH, generator)
    legs = _pick(_LEGS, generator)
    coat = bool(generator.random() < 0.12)
    sleeves = Sleeves.LONG if coat else Sleeves(int(generator.choice(3, p=[0.12, 0.48, 0.40])))
    inner = _pick_unlike(top, generator) if sleeves == Sleeves.LONG and generator.random() < 0.45 else None
    return Appearance(
        girth=float(generator.uniform(0.84, 1.18)),
        shoulders=float(generator.uniform(0.9, 1.12)),
        leg_length=float(generator.uniform(0.455, 0.505)),
        skin=_pick(_SKIN, generator),
        hair=Hair(int(generator.choice(4, p=[0.06, 0.48, 0.16, 0.30]))),
        hair_colour=_pick(_HAIR, generator),
        top_colour=top,
        top_second=_pick_unlike(top, generator),
        top_texture=Texture(int(generator.choice(6, p=[0.42, 0.16, 0.09, 0.12, 0.08, 0.13]))),
        texture_period=float(generator.uniform(0.05, 0.09)),
        sleeves=sleeves,
        hem=float(generator.uniform(0.62, 0.72) if coat else generator.uniform(0.48, 0.55)),
        inner_colour=inner,
        legwear=Legwear(int(generator.choice(4, p=[0.42, 0.2, 0.23, 0.15]))),
        leg_colour=legs,
        shoe_colour=_pick(_CLOTH, generator),
        hat=Hat(int(generator.choice(3, p=[0.76, 0.16, 0.08]))),
        hat_colour=_pick(_CLOTH, generator),
        bag=Bag(int(generator.choice(4, p=[0.52, 0.16, 0.18, 0.14]))),
        bag_side=1 if generator.random() < 0.5 else -1,
        bag_colour=_pick_unlike(top, generator),
        backpack_colour=_pick_unlike(top, generator) if generator.random() < 0.36 else None,
        logo_colour=_pick_unlike(top, generator) if generator.random() < 0.3 else None,
    )


def draw_sibling(look: Appearance, generator: np.random.Generator) -> Appearance:
    """The look with exactly one field changed, to one that can be seen: the hard case of re-identification."""
    choice = int(generator.integers(_SIBLING_DETAILS))
    if choice == 0:
        return replace(look, backpack_colour=None if look.backpack_colour else _pick_unlike(look.top_colour, generator))
    if choice == 1:
        return replace(look, bag=Bag((look.bag + int(generator.integers(1, 4))) % 4))
    if choice == 2:
        return replace(look, hat=Hat((look.hat + int(generator.integers(1, 3))) % 3))
    if choice == 3:
        return replace(look, shoe_colour=_pick_unlike(look.shoe_colour, generator))
    if choice == 4:
        return replace(look, legwear=Legwear((look.legwear + int(generator.integers(2, 4))) % 4))
    if choice == 5:
        return replace(look, hair=Hair.LONG if look.hair != Hair.LONG else Hair.SHORT)
    if choice == 6:
        return replace(look, top_texture=Texture((look.top_texture + int(generator.integers(1, 6))) % 6))
    return replace(look, logo_colour=None if look.logo_colour else _pick_unlike(look.top_colour, generator))


def appearance_of(seed: int, number: int, sibling_of: int | None) -> Appearance:
    """The look of a person.

    Args:
        seed: Seed of the data set.
        number: Which person.
        sibling_of: The person whose look this one shares but for one detail, or None.
    """
    if sibling_of is None:
        return draw_appearance(stream(seed, Purpose.APPEARANCE, number))
    return draw_sibling(appearance_of(seed, sibling_of, None), stream(seed, Purpose.SIBLING, number))
