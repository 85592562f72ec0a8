"""Errors that are shown as one sentence, without a traceback."""

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(Exception):
    """Bad usage or bad input: a declaration, a file, a folder, an option. Exit code 2.

    The message names the place (file and line, key or option), what was found, what was expected and, if there is one,
    the nearest valid name.
    """


class SettingError(InputError):
    """A setting's value that a trainer refuses in any row."""

    def __init__(self, key: str, message: str) -> None:
        """Takes the setting's dotted key, and what is wrong with its value."""
        super().__init__(key, message)
        self.key = key
        self.message = message

    def __str__(self) -> str:
        """Returns the key and the message."""
        return f"{self.key}: {self.message}"


class StageError(Exception):
    """A stage that failed for a known reason. The message is a paragraph: what happened and what to do about it."""


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """Returns the valid name closest to ``name``, ignoring case; None if none is close.

    >>> nearest("map", ["mAP", "error"])
    'mAP'
    """
    spelled = {valid_name.lower(): valid_name for valid_name in sorted(valid)}
    matches = get_close_matches(name.lower(), spelled, n=1, cutoff=0.6)
    return spelled[matches[0]] if matches else None


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """Suggests the nearest valid name and lists the valid ones.

    >>> did_you_mean("Sofmax", ["Softmax", "SAC"])
    'did you mean "Softmax"? (one of: SAC, Softmax)'
    >>> did_you_mean("x", ["Softmax", "SAC"])
    'expected one of: SAC, Softmax'
    """
    names = sorted(valid)
    near, listed = nearest(name, names), ", ".join(names)
    return f"expected one of: {listed}" if near is None else f'did you mean "{near}"? (one of: {listed})'
