"""The errors that are told in a sentence, without a traceback."""

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(Exception):
    """Bad usage or bad input: a declaration, a file, a folder, an option. Exit code 2.

    The message names the place (file and line, key or option), what was found, what was expected and, where there is
    one, the nearest valid name.
    """


class StageError(Exception):
    """A stage that failed for a known reason, told in one paragraph that a person can act on; no traceback needed."""


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """A sentence that offers the nearest valid name and lists the valid ones.

    >>> did_you_mean("Sofmax", ["Softmax", "SAC"])
    'did you mean "Softmax"? (one of: SAC, Softmax)'
    >>> did_you_mean("map", ["mAP", "error"])
    'did you mean "mAP"? (one of: error, mAP)'
    >>> did_you_mean("x", ["Softmax", "SAC"])
    'expected one of: SAC, Softmax'
    """
    names = sorted(valid)
    spelled = {valid_name.lower(): valid_name for valid_name in names}
    near = [spelled[match] for match in get_close_matches(name.lower(), spelled, n=1, cutoff=0.6)]
    listed = ", ".join(names)
    return f'did you mean "{near[0]}"? (one of: {listed})' if near else f"expected one of: {listed}"
