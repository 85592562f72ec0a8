"""Placeholders in a command's words: ``{hidden}``, ``{seed}``, ``{metrics}``. Filled word by word, without a shell."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from harness.errors import InputError, did_you_mean

OURS = ("seed", "device", "threads", "folder", "parent", "metrics", "log", "checkpoints")
"""Placeholders that the harness fills besides the settings; each is also in the environment (``HARNESS_SEED``)."""

_NAME = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.]*)\}")


def check_placeholders(command: Sequence[str], settings: type[BaseModel], reads: Sequence[str], stage: str) -> None:
    """Checks that every placeholder of a command is a setting that it reads, or one of ``OURS``.

    Raises:
        InputError: If one is not; names it and the nearest valid one.
    """
    for word in command:
        for name in _NAME.findall(word):
            fields, known = settings.model_fields, [*reads, *OURS]
            for part in name.split("."):
                if part not in known:
                    raise InputError(f'stage {stage}: "{{{name}}}" is not a placeholder; {did_you_mean(part, known)}')
                kind = fields[part].annotation if part in fields else None
                fields = kind.model_fields if isinstance(kind, type) and issubclass(kind, BaseModel) else {}
                known = list(fields)


def fill(word: str, values: Mapping[str, Any]) -> str:
    """Returns a word with its placeholders replaced; values other than text and numbers as JSON.

    >>> fill("--lr={lr}", {"lr": 0.1}), fill("{model.depth}", {"model": {"depth": 18}}), fill("{on}", {"on": True})
    ('--lr=0.1', '18', 'true')
    >>> fill("{sizes}", {"sizes": [1, "two"]})
    '[1, "two"]'
    """

    def value_of(match: re.Match[str]) -> str:
        value: Any = values
        for part in match[1].split("."):
            value = value[part]
        return json.dumps(value) if value is None or isinstance(value, bool | list | dict) else str(value)

    return _NAME.sub(value_of, word)
