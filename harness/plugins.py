"""Loads a user's own object by its reference ``package.module:name`` in a declaration."""

import importlib
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.formatting import one_line


def load_object(reference: str) -> Any:
    """Returns the object that ``reference`` names: a module, a colon, and a name inside it (dots reach into classes).

    Appends the current working directory to the import path, permanently: a file beside the declaration can be named,
    its later imports are found too, and no installed package is shadowed.

    Raises:
        InputError: The reference is malformed, its module is missing or fails to import, or the name is not in it.

    >>> load_object("math:hypot")(3, 4)
    5.0
    """
    module_name, colon, name = reference.partition(":")
    if not colon or not all(part.isidentifier() for part in [*module_name.split("."), *name.split(".")]):
        raise InputError(f'"{reference}": expected package.module:name, for instance my_losses:center_loss')
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)
        importlib.invalidate_caches()
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise InputError(f'"{reference}": no module "{error.name}" in {folder} or on the import path') from error
        raise InputError(f'"{reference}": importing {module_name} failed: {error}') from error
    except SystemExit as error:
        message = f'it ended the process: sys.exit({error.code!r}); put its code under `if __name__ == "__main__":`'
        raise InputError(f'"{reference}": importing {module_name} failed: {message}') from error
    except Exception as error:  # the user's module may raise anything while it is imported
        message = f"{type(error).__name__}: {one_line(error)}"
        raise InputError(f'"{reference}": importing {module_name} failed: {message}') from error
    for part in name.split("."):
        if not hasattr(found, part):
            near = get_close_matches(part, dir(found), n=1)
            hint = f'did you mean "{near[0]}"?' if near else "check its spelling"
            raise InputError(f'"{reference}": {module_name} ({_file(found)}) has no "{part}"; {hint}')
        found = getattr(found, part)
    return found


def _file(found: Any) -> str:
    return str(getattr(found, "__file__", None) or getattr(found, "__qualname__", "built in"))
