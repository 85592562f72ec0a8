"""A user's own object by its reference ``package.module:name`` in a declaration: loads it, or checks that it exists."""

import ast
import importlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.code import module_tree
from harness.errors import InputError, nearest
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
            raise _absent(reference, module_name, _file(found), part, dir(found))
        found = getattr(found, part)
    return found


def check_reference(reference: str) -> None:
    """Checks that ``package.module:name`` leads to a name that its module binds; no code is run.

    What a module binds by ``from x import *`` or by a ``__getattr__`` is not known, and not refused.

    Raises:
        InputError: If there is no such module, or no such name in it; offers the nearest.
    """
    module, _, name = reference.partition(":")
    path, tree = module_tree(reference)
    bound: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
        elif isinstance(node, ast.alias):
            bound.add(node.asname or node.name.partition(".")[0])
    wanted = name.partition(".")[0]
    if wanted not in bound and not {"*", "__getattr__"} & bound:
        raise _absent(reference, module, str(path), wanted, bound)


def _absent(reference: str, module: str, file: str, name: str, known: Iterable[str]) -> InputError:
    near = nearest(name, known)
    hint = "check its spelling" if near is None else f'did you mean "{near}"?'
    return InputError(f'"{reference}": {module} ({file}) has no "{name}"; {hint}')


def _file(found: Any) -> str:
    return str(getattr(found, "__file__", None) or getattr(found, "__qualname__", "built in"))
