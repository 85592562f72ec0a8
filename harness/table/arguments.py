"""Checks and defaults of the arguments that the public methods share."""

import operator
from collections.abc import Iterable, Mapping
from typing import Any

from harness.api.listener import Listener
from harness.errors import InputError


def texts(argument: str, values: Iterable[Any] | None) -> list[str] | None:
    """Returns an argument's texts as a list; None if it was not given.

    Raises:
        InputError: If it is a single text, which would be read letter by letter, or contains anything but texts.

    >>> texts("rows", ("1", "3(T)")), texts("rows", None)
    (['1', '3(T)'], None)
    """
    found = _items(argument, values)
    for value in found or ():
        if not isinstance(value, str):
            raise InputError(f"{argument}: found {value!r}, expected texts")
    return found


def seed_list(seeds: Iterable[Any] | None) -> list[int] | None:
    """Returns the argument ``seeds`` as a list of Python's integers; None if it was not given.

    Raises:
        InputError: If it is not a list, or contains anything but whole numbers.

    >>> seed_list(range(3)), seed_list(None)
    ([0, 1, 2], None)
    """
    found = _items("seeds", seeds)
    try:
        return None if found is None else [operator.index(seed) for seed in found]
    except TypeError:
        raise InputError(f"seeds: found {found!r}, expected whole numbers, [0, 1, 2]") from None


def _items(argument: str, values: Iterable[Any] | None) -> list[Any] | None:
    if values is None:
        return None
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise InputError(f"{argument}: found {values!r}, expected a list, [{values!r}]")
    return list(values)


def check_settling(settle: bool, without: Mapping[str, object], only_with: Mapping[str, object]) -> None:
    """Checks that the arguments fit ``settle``, which starts with the table's own rows and seeds.

    Args:
        settle: Whether the table is to be settled.
        without: Arguments allowed only without ``settle``, by name; None if not given.
        only_with: Arguments allowed only with ``settle``.

    Raises:
        InputError: For one that does not fit.
    """
    for name, value in without.items():
        if settle and value is not None:
            raise InputError(f"{name}={value!r}: settling starts with the table's own rows and seeds; leave it out")
    for name, value in only_with.items():
        if not settle and value is not None:
            raise InputError(f"{name}={value!r}: needs settle=True")


def listener_for(*, progress: bool) -> Listener:
    """Returns what shows progress in a terminal or a notebook, or nothing."""
    if not progress:
        return Listener()
    from harness.display.listener import TerminalListener

    return TerminalListener()
