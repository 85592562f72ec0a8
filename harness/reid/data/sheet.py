"""A contact sheet: a few images of each split, to see at a glance whether a layout was understood."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from harness.errors import InputError
from harness.reid.data.dataset import DISTRACTOR, JUNK, Dataset, Split
from harness.reid.data.decode import UnreadableImageError, decode_image

_COLUMNS = 10
_TILE_PX, _CAPTION_PX, _GAP_PX, _HEADING_PX = 96, 28, 6, 24
_INK, _PAPER, _PALE = (30, 30, 30), (255, 255, 255), (225, 225, 225)


def write_sheet(dataset: Dataset, path: Path) -> Path:
    """Draws ten images of each split, two each of five identities, with identity and camera beneath; writes a picture.

    Images keep their proportions. One that cannot be read is an empty tile.

    Raises:
        InputError: If the picture cannot be written.
    """
    row_px = _HEADING_PX + _TILE_PX + _CAPTION_PX + _GAP_PX
    size = _GAP_PX + _COLUMNS * (_TILE_PX + _GAP_PX), _GAP_PX + row_px * len(dataset.splits)
    sheet = Image.new("RGB", size, _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for row, (name, split) in enumerate(dataset.splits.items()):
        top = _GAP_PX + row * row_px
        draw.text((_GAP_PX, top), f"{dataset.name}: {name}, {len(split):,} images", _INK, font)
        for column, index in enumerate(chosen(split)):
            left, tile_top = _GAP_PX + column * (_TILE_PX + _GAP_PX), top + _HEADING_PX
            draw.rectangle((left, tile_top, left + _TILE_PX - 1, tile_top + _TILE_PX - 1), _PALE)
            tile = _tile(dataset, split, index)
            if tile is not None:
                sheet.paste(tile, (left + (_TILE_PX - tile.width) // 2, tile_top + (_TILE_PX - tile.height) // 2))
            draw.text((left, tile_top + _TILE_PX), _caption(dataset, split, index), _INK, ImageFont.load_default(10))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(path)
    except (OSError, ValueError) as error:
        raise InputError(
            f"--sheet {path}: cannot be written ({error}); expected a picture such as sheet.png"
        ) from error
    return path


def chosen(split: Split) -> list[int]:
    """The images shown: the first and last of five identities, spread evenly over all of them.

    >>> chosen(Split.of_files("train", ["a", "b", "c", "d"], identities=[1, 1, 1, 2]))
    [0, 2, 3]
    """
    identities = np.unique(split.identities)
    shown = identities[np.unique(np.linspace(0, len(identities) - 1, _COLUMNS // 2).round().astype(np.int64))]
    found = [np.flatnonzero(split.identities == identity) for identity in shown]
    return [int(index) for images in found for index in dict.fromkeys((images[0], images[-1]))]


def _tile(dataset: Dataset, split: Split, index: int) -> Image.Image | None:
    if split.files is None:
        assert split.arrays is not None  # a split has either
        image = Image.fromarray(split.arrays[index])
    else:
        try:
            image, _ = decode_image(dataset.root / split.files[index])
        except UnreadableImageError:
            return None
    scale = _TILE_PX / max(image.size)
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))


def _caption(dataset: Dataset, split: Split, index: int) -> str:
    identity = int(split.identities[index])
    if dataset.task == "classification":
        return dataset.class_names[identity] if dataset.class_names else str(identity)
    called = {JUNK: "junk", DISTRACTOR: "distractor"}.get(identity, f"id {identity}")
    return called if split.cameras is None else f"{called}\ncamera {split.cameras[index]}"
