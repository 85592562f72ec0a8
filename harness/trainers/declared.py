"""A recipe's declaration of its trainer: plain data, from which ``load`` creates one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DEFAULT = "harness.reid.trainer:TRAINER"
"""The trainer of a recipe that names none: the paper's."""


@dataclass(frozen=True)
class Declared:
    """The parts of a recipe that declare a trainer, merged with the files that it extends."""

    spec: Any
    """The value of ``trainer:``."""
    folder: Path
    """The recipe file's folder, to which inputs are relative."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The declared settings: names, types and defaults that the user's code does not define."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """By key: an object with ``title``, ``better``, ``unit`` and ``decimals``."""
    inputs: tuple[str, ...] = ()
    """Declared files and folders."""
    held_out: Mapping[str, Any] = field(default_factory=dict)
    """Settings by dotted key that hold out data for a search; or two such patches, ``choose`` and ``confirm``."""
