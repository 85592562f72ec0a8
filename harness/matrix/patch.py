"""Laying patches over a recipe, each value remembering the line that set it.

A patch maps dotted keys to values. A value replaces the earlier one; a mapping is laid over a mapping key by key,
unless it names another ``kind``: a sampler of another kind replaces the old one entirely. Lists are replaced as a
whole.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import InputError
from harness.matrix.key_tree import Node, misplaced
from harness.matrix.source import Document, Key

Values = Mapping[str, Any]
"""A recipe as nested mappings; never changed in place."""


@dataclass(frozen=True)
class Setting:
    """One value laid at one key of a recipe, and where it was written."""

    key: tuple[str, ...]
    value: Any
    document: Document
    source: Key
    """Where the value is in the document."""


def read_patch(document: Document, source: Key, patch: Mapping[str, Any], tree: Node) -> tuple[Setting, ...]:
    """Returns the settings of a patch at ``source`` of ``document``.

    Args:
        document: The file.
        source: Where the patch is in it.
        patch: Dotted keys and values.
        tree: The keys that the trainer's settings have.

    Raises:
        InputError: for keys that a recipe does not have, with the nearest that it has, and for a single value where a
            recipe has a mapping.
    """
    settings = tuple(Setting(tuple(name.split(".")), value, document, (*source, name)) for name, value in patch.items())
    problems = [
        f"{document.locate((*setting.source, *where))}: {problem}"
        for setting in settings
        for where, problem in misplaced(tree, setting.key, setting.value)
    ]
    if problems:
        raise InputError("\n".join(problems))
    return settings


def overlay(values: Values, settings: Iterable[Setting]) -> Values:
    """``values`` with ``settings`` laid over them, the last one uppermost; what was given stays as it is."""
    for setting in settings:
        values = _laid(values, setting.key, setting.value)
    return values


def _laid(values: Any, key: tuple[str, ...], value: Any) -> Any:
    below = values if isinstance(values, Mapping) else {}
    if key:
        return {**below, key[0]: _laid(below.get(key[0]), key[1:], value)}
    if not isinstance(value, Mapping) or not below:
        return value
    if "kind" in value and value["kind"] != below.get("kind"):
        return value
    return {**below, **{name: _laid(below.get(name), (), inner) for name, inner in value.items()}}


def value_at(values: Any, key: Sequence[str]) -> Any:
    """The value at a key; None if there is none."""
    for part in key:
        values = values.get(part) if isinstance(values, Mapping) else None
    return values


def touches(setting: Setting, key: tuple[str, ...]) -> bool:
    """Whether a setting gives the value at ``key``, or a value within or around it."""
    inner = key[len(setting.key) :]
    if setting.key[: len(key)] != key[: len(setting.key)]:
        return False
    return not inner or not isinstance(setting.value, Mapping) or value_at(setting.value, inner) is not None


def differences(old: Any, new: Any, key: tuple[str, ...] = ()) -> Iterable[tuple[tuple[str, ...], Any]]:
    """The values of ``new`` that are not in ``old``, by key, as deep as both are mappings."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name, value in new.items():
            yield from differences(old.get(name), value, (*key, str(name)))
    elif type(old) is not type(new) or old != new:
        yield key, new


def locate_origin(settings: Sequence[Setting], key: Key) -> str:
    """``file:line: dotted.key`` of what gave the value at ``key`` of a recipe, or of the nearest value around it.

    Where nothing gave any of it, the file of the first of ``settings``; without any, the key where a recipe has them.
    """
    dotted = ".".join(map(str, key))
    for length in range(len(key), 0, -1):
        for setting in reversed(settings):
            inner = key[len(setting.key) : length]
            if key[:length][: len(setting.key)] == setting.key and _holds(setting.value, inner):
                place = setting.document.locate((*setting.source, *inner, *key[length:]))
                return place if place.endswith(dotted) else f"{place} ({dotted})"
    if not settings:
        return ".".join(filter(None, ("settings", dotted)))
    where = settings[0].document.name
    return f"{where}: {dotted}" if dotted else where


def _holds(value: Any, key: Key) -> bool:
    for part in key:
        if isinstance(value, Mapping) and part in value:
            value = value[str(part)]
        elif isinstance(value, Sequence) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return False
    return True
