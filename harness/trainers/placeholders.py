"""Placeholders in a command's words: ``{hidden}``, ``{seed}``, ``{metrics}``. Filled word by word, never by a shell."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.errors import InputError, did_you_mean

OURS = ("seed", "device", "threads", "folder", "parent", "metrics", "log", "checkpoints")
"""The placeholders that the harness fills besides the settings; each is in the environment, too (``HARNESS_SEED``)."""

_NAME = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.]*)\}")


def check_placeholders(command: Sequence[str], settings: Iterable[str], stage: str) -> None:
    """Raises unless every placeholder of a command is a setting that it reads, or one of ``OURS``.

    Raises:
        InputError: Naming the placeholder and the nearest valid one.
    """
    known = [*settings, *OURS]
    for word in command:
        for name in _NAME.findall(word):
            if name.partition(".")[0] not in known:
                raise InputError(f'stage {stage}: "{{{name}}}" is no placeholder; {did_you_mean(name, known)}')


def fill(word: str, values: Mapping[str, Any]) -> str:
    """Returns a word with its placeholders replaced; truth values as ``true`` and ``false``, as in YAML.

    >>> fill("--lr={lr}", {"lr": 0.1}), fill("{model.depth}", {"model": {"depth": 18}}), fill("{on}", {"on": True})
    ('--lr=0.1', '18', 'true')
    """

    def value_of(match: re.Match[str]) -> str:
        value: Any = values
        for part in match[1].split("."):
            value = value[part]
        return str(value).lower() if isinstance(value, bool) else str(value)

    return _NAME.sub(value_of, word)
