"""Patterns of images' places: literal text with named parts in braces, ``{identity:int}_c{camera:int}_{frame}.jpg``."""

import re
from functools import cache
from pathlib import PurePosixPath

from harness.errors import did_you_mean

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif"),
    *(".tif", ".tiff", ".webp", ".ppm", ".pgm"),
)
"""Endings of image files, in any case."""

PARTS = ("identity", "camera", "sequence", "frame", "viewpoint", "box", "any")
"""The fields of a file's name. Identity and camera are used, the others only name what is passed over."""

_NUMBER = "[0-9]{1,18}"  # whatever an int64 holds
_FOLDERS = "**/"


@cache
def pattern_expression(pattern: str, *, also: tuple[str, ...] = ()) -> re.Pattern[str]:
    """The regular expression of a pattern with named parts in braces; one that ends in an image's suffix lacks it.

    ``{frame}`` is any text that is not empty, ``{camera:int}`` a whole number, ``{identity:int}`` one or -1, ``{any}``
    any text, empty too. No part reaches over a ``/``; ``**/`` is any number of folders. Everything else matches itself.

    Args:
        pattern: The pattern.
        also: Names of parts that it may have besides ``PARTS``.

    Raises:
        ValueError: For a pattern that is none; says why.

    >>> pattern_expression("{identity:int}_c{camera:int}_{frame}.jpg").fullmatch("0007_c2_0001")["camera"]
    '2'
    """
    *pieces, last = re.split(r"\{([^{}]*)\}", pattern)
    suffix = pattern_suffix(pattern)
    expression, seen, open_end = "", set[str](), False
    for literal, part in zip(pieces[::2], pieces[1::2], strict=True):
        name, _, kind = part.partition(":")
        known = (*PARTS, *also)
        if name not in known:
            raise ValueError(f'"{{{part}}}" in "{pattern}" is not a part of a name; {did_you_mean(name, known)}')
        if kind not in ("", "int"):
            raise ValueError(f'"{{{part}}}" in "{pattern}": expected {{{name}}} or {{{name}:int}}')
        if name in seen:
            raise ValueError(f'"{pattern}" has {{{name}}} twice')
        if open_end and not literal and kind != "int":
            raise ValueError(f'nothing in "{pattern}" separates {{{part}}} from the part before it')
        if name != "any":
            seen.add(name)
        expression += _literal(literal, pattern) + _part(name, kind)
        open_end = kind != "int" or name == "any"
    return re.compile(expression + _literal(last.removesuffix(suffix), pattern))


def pattern_suffix(pattern: str) -> str:
    """The image suffix that a pattern ends in; empty for a pattern that leaves the suffix open.

    >>> pattern_suffix("{identity}/{frame}.PNG"), pattern_suffix("{identity}/{frame}")
    ('.PNG', '')
    """
    suffix = PurePosixPath(pattern).suffix
    return suffix if suffix.lower() in IMAGE_SUFFIXES else ""


def _part(name: str, kind: str) -> str:
    if name == "any":
        return "[^/]*?"
    if name == "file":
        return "(?P<file>.+?)"
    if kind == "int":
        return f"(?P<{name}>-1|{_NUMBER})" if name == "identity" else f"(?P<{name}>{_NUMBER})"
    return f"(?P<{name}>[^/]+?)"


def _literal(text: str, pattern: str) -> str:
    if "{" in text or "}" in text:
        raise ValueError(f'"{pattern}" has a brace without its other half; a part is written as {{identity}}')
    return re.escape(text).replace(re.escape(_FOLDERS), "(?:[^/]+/)*")


def pattern_depth(pattern: str) -> int:
    """How many names from the end of an image's place a pattern describes; 0: its whole place, if it has ``**/``.

    >>> pattern_depth("{identity}/{frame}"), pattern_depth("{any}/{identity}/**/{frame}")
    (2, 0)
    """
    return 0 if _FOLDERS in pattern else pattern.count("/") + 1
