"""Factors' levels: how a declaration mentions them, and what a row's setting of all factors is.

A factor is on or off, or has named levels. A row mentions what departs from the default: ``Softmax`` turns a factor on,
``Width=wide`` sets one to a level.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.errors import InputError, did_you_mean

Level = bool | str
"""What a row sets a factor to: on or off, or a level's name. False is also the default of a factor whose default has no
name."""

Setting = Mapping[str, Level]
"""The level of every factor of a recipe, in declared order."""

Levels = Mapping[str, tuple[Level, ...]]
"""Levels by factor, the default first."""

TOGGLE: tuple[Level, ...] = (False, True)
"""The levels of a factor that is on or off."""


@dataclass(frozen=True)
class Mention:
    """A factor as a row, generator or constraint names it."""

    factor: str
    level: Level | None
    """None: a factor with levels, named alone."""


def level_name(factor: str, level: Level) -> str:
    """Returns how a declaration mentions a factor at a level.

    >>> level_name("Softmax", True), level_name("Width", "wide")
    ('Softmax', 'Width=wide')
    """
    return f"{factor}={level}" if isinstance(level, str) else factor


def mentioned(setting: Setting) -> tuple[str, ...]:
    """Returns the factors that are on or at a named level, as a declaration mentions them.

    >>> mentioned({"Softmax": True, "DIL": False, "Width": "wide"})
    ('Softmax', 'Width=wide')
    """
    return tuple(level_name(factor, level) for factor, level in setting.items() if level is not False)


def read_mention(text: str, levels: Levels) -> Mention:
    """Reads ``Softmax``, ``Width=wide`` or ``Width``.

    Raises:
        InputError: If there is no such factor or level.

    >>> read_mention("Width=wide", {"Width": (False, "narrow", "wide")})
    Mention(factor='Width', level='wide')
    """
    if text in levels:
        return Mention(text, True if levels[text] == TOGGLE else None)
    factor, equals, level = text.partition("=")
    if not equals or factor not in levels:
        if not levels:
            raise InputError(f'"{text}" is not a factor; the recipe declares no factor')
        raise InputError(f'"{factor if equals else text}" is not a factor; {did_you_mean(factor, levels)}')
    if levels[factor] == TOGGLE:
        if level != "off":
            raise InputError(f'{factor} has no level "{level}": it is on (write "{factor}") or off')
        return Mention(factor, False)
    if level not in levels[factor]:
        raise InputError(f'{factor} has no level "{level}"; {did_you_mean(level, named(levels[factor]))}')
    return Mention(factor, level)


def named(levels: Iterable[Level]) -> list[str]:
    """Returns the levels that have names."""
    return [level for level in levels if isinstance(level, str)]


def setting_of(mentions: Iterable[str], levels: Levels) -> dict[str, Level]:
    """Returns the level of every factor, where all that is not mentioned is at its default.

    Raises:
        InputError: If there is no such factor or level, a level is missing, or a factor is mentioned twice.
    """
    setting: dict[str, Level] = {factor: own[0] for factor, own in levels.items()}
    seen: set[str] = set()
    for text in mentions:
        mention = read_mention(text, levels)
        if mention.level is None:
            expected = " or ".join(level_name(mention.factor, level) for level in named(levels[mention.factor]))
            raise InputError(f'found "{text}", which has levels; expected {expected}')
        if mention.factor in seen:
            raise InputError(f"mentions {mention.factor} twice, expected one level")
        seen.add(mention.factor)
        setting[mention.factor] = mention.level
    return setting


def holds(mention: Mention, setting: Setting, levels: Levels) -> bool:
    """Returns whether a setting has what a constraint mentions; a factor named alone: any level but the default."""
    level = setting[mention.factor]
    return level != levels[mention.factor][0] if mention.level is None else level == mention.level
