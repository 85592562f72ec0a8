"""The identity of code: a digest of the syntax trees of all modules that a stage runs.

Owns which modules those are: imports are followed statically, nothing is executed. A changed formula changes the
digest; a comment, a docstring or a new layout does not (``syntax``). Does not follow imports into installed libraries:
their versions are recorded, not hashed.
"""

import ast
import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path

from harness.errors import InputError
from harness.files import FileState, file_state, regular_file
from harness.syntax import has_no_effect, normalised

CODE_VERSION = "1"
"""Used instead of the digests if a user asks for it; incremented manually when a code change alters results."""


def hand_kept_version(_: tuple[str, ...]) -> str:
    """Returns the code's hand-kept version instead of a digest: changed code then reuses old results."""
    return f"version {CODE_VERSION}"


_OUR_PACKAGE = "harness"
WITHOUT_INFLUENCE = tuple(
    f"{_OUR_PACKAGE}.{part}"
    for part in (
        *("api", "cli", "matrix", "plan", "execute", "search", "track", "report", "trainers"),
        *("checkpoints", "code", "devices", "display", "errors", "files", "formatting", "inputs", "loaded"),
        *("metric", "names", "plugins", "spool", "syntax", "trainer", "trainer_defaults", "units"),
    )
)
"""Packages and modules that cannot change what a stage computes, by the import rules that a test enforces."""

_DIGEST_BYTES = 16


def code_digest(roots: tuple[str, ...]) -> str:
    """Returns the digest of the modules named by ``roots`` and of all code that they import, at any depth.

    Imports are followed inside the root's own top-level package and, for a loose script or a project folder, among its
    neighbours in the same folder. Imports inside functions count, and so do those under ``if TYPE_CHECKING``, where a
    package that imports lazily names its modules. Left out are the parts of this package that cannot change a result,
    and its ``__init__`` (its version). Changed files are read again, so that a notebook can continue after an edit; a
    caller that asks often about one state of the code should keep the answers.

    Args:
        roots: Module names (``harness.reid.train.stage``) or references to a user's code (``package.module:name``).

    Raises:
        InputError: If a root is not found, or a file on the way does not parse; names the file and the line.
    """
    modules = reached_modules(roots)
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for name in sorted(modules):
        digest.update(f"{name}:{module_digest(modules[name])}\n".encode())
    return digest.hexdigest()


def refuse_uncovered(roots: Sequence[str]) -> None:
    """Refuses references to code that no digest covers: a changed one would meet old results.

    Raises:
        InputError: Names the first.
    """
    for root in roots:
        if _has_no_influence(module := root.partition(":")[0]):
            raise InputError(
                f'code "{root}": {module} is a part of the harness that no fingerprint covers; put the code into a '
                "package of its own"
            )


def reached_modules(roots: Sequence[str]) -> dict[str, Path]:
    """Returns the modules whose code ``code_digest`` covers: their files by name."""
    found: dict[str, Path] = {}
    waiting: list[str] = []
    for root in roots:
        _located(root)
        waiting.extend(_with_packages(root.partition(":")[0]))
    while waiting:
        name = waiting.pop()
        if name in found or _has_no_influence(name):
            continue
        path = locate_module(name)
        if path is None:  # ``from module import name`` where name is not a module
            continue
        found[name] = path
        neighbours = _neighbourhood(name, path)
        for imported in _imports(name, path):
            top = imported.partition(".")[0]
            if top == name.partition(".")[0] or (neighbours and _is_module(str(neighbours), top)):
                waiting.extend(_with_packages(imported))
    return found


def is_ours(module: str) -> bool:
    """Whether a module is part of this package."""
    return module.partition(".")[0] == _OUR_PACKAGE


def _has_no_influence(module: str) -> bool:
    return module == _OUR_PACKAGE or f"{module}.".startswith(tuple(f"{each}." for each in WITHOUT_INFLUENCE))


def _located(reference: str) -> Path:
    """Returns the source file of the module that a reference names.

    Raises:
        InputError: If there is none.
    """
    module = reference.partition(":")[0]
    path = locate_module(module)
    if path is None:
        raise InputError(
            f'code "{reference}": there is no Python module "{module}" in {Path.cwd()} or on the import path; '
            'expected "package.module:name"'
        )
    return path


def imported_modules(roots: Sequence[str]) -> set[str]:
    """Returns the top modules of libraries that the code of ``reached_modules`` imports itself (``sklearn``)."""
    reached = reached_modules(roots)
    own = {name.partition(".")[0] for name in reached} | {_OUR_PACKAGE} | set(sys.stdlib_module_names)
    return {name.partition(".")[0] for module, path in reached.items() for name in _imports(module, path)} - own


def code_parts(roots: Sequence[str]) -> dict[str, dict[str, str]]:
    """Returns digests of the named parts of the code that ``code_digest`` covers, by module and name.

    Names are those of functions, classes (``Net``), methods (``Net.forward``) and variables; any other statement of a
    module is under ``...``. Code with equal ``code_digest`` has equal parts.
    """
    return {name: _parts(path, file_state(path)).copy() for name, path in sorted(reached_modules(roots).items())}


@cache
def _parts(path: Path, state: FileState) -> dict[str, str]:
    tree, found = _parsed(path, state), dict[str, list[str]]()
    for node in (node for node in tree.body if not has_no_effect(node, in_text=False)):
        if isinstance(node, ast.ClassDef):
            methods = [inner for inner in node.body if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)]
            for method in methods:
                found.setdefault(f"{node.name}.{method.name}", []).append(normalised(method))
            rest = [inner for inner in node.body if inner not in methods]
            own = ast.ClassDef(node.name, node.bases, node.keywords, rest, node.decorator_list)
            found.setdefault(node.name, []).append(normalised(own))
        else:
            found.setdefault(_name_of(node), []).append(normalised(node))
    return {
        name: hashlib.blake2b("\n".join(texts).encode(), digest_size=8).hexdigest() for name, texts in found.items()
    }


def _name_of(node: ast.stmt) -> str:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return node.name
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    if names:
        return names[0]
    return "imports" if isinstance(node, ast.Import | ast.ImportFrom) else "..."


def mentions(reference: str, word: str) -> bool:
    """Whether the module of ``package.module:name`` uses ``word`` as a name, an attribute or a parameter.

    Raises:
        InputError: If there is no such module.
    """
    module = reference.partition(":")[0]
    path = reached_modules((module,))[module]
    return any(
        word in (getattr(node, field, None) for field in ("id", "attr", "arg")) for node in ast.walk(_tree(path))
    )


def module_tree(reference: str) -> tuple[Path, ast.Module]:
    """Returns the source file and the syntax tree of the module that a reference names; no code is run.

    Raises:
        InputError: If there is no such module, or it is no Python.
    """
    path = _located(reference)
    return path, _tree(path)


def locate_module(name: str) -> Path | None:
    """Returns the source file of a module without importing it or its packages; None if there is none."""
    top, *rest = name.split(".")
    folder: str | None
    path: str | None
    if top == _OUR_PACKAGE:
        folder = str(Path(__file__).parent)
        path = f"{folder}/__init__.py"
    else:
        spec = PathFinder.find_spec(top, [*sys.path, str(Path.cwd())])
        if spec is None:
            return None
        path = spec.origin if spec.origin and spec.origin.endswith(".py") else None
        folder = next(iter(spec.submodule_search_locations or ()), None)
    for part in rest:
        if folder is None:
            return None
        path = _module_file(folder, part)
        folder = f"{folder}/{part}"
    return Path(path) if path else None


def _module_file(folder: str, name: str) -> str | None:
    # Thousands of files are asked for: a ``Path`` for each costs more than all the rest of the walk.
    candidates = (f"{folder}/{name}/__init__.py", f"{folder}/{name}.py")
    return next((path for path in candidates if os.path.isfile(path)), None)  # noqa: PTH113


def _is_module(folder: str, name: str) -> bool:
    """Whether a folder holds a module or a package of this name, also one without ``__init__``."""
    if _module_file(folder, name) is not None:
        return True
    if not os.path.isdir(f"{folder}/{name}"):  # noqa: PTH112
        return False
    spec = PathFinder.find_spec(name, [*sys.path, str(Path.cwd())])
    return spec is not None and spec.origin is None  # an installed library goes before a folder of its name


def _neighbourhood(name: str, path: Path) -> Path | None:
    """Returns the folder whose modules are the user's own as well; None for an installed package."""
    folder = path.parents[name.count(".") + (path.name == "__init__.py")]
    installed = {"site-packages", "dist-packages"} & {part.name for part in (folder, *folder.parents)}
    standard = folder.is_relative_to(Path(ast.__file__).parent)
    return None if installed or standard or name.partition(".")[0] == _OUR_PACKAGE else folder


def _with_packages(name: str) -> Iterator[str]:
    """Returns the module and the packages that contain it, whose ``__init__`` runs as well."""
    parts = name.split(".")
    return (".".join(parts[: count + 1]) for count in range(len(parts)))


def _tree(path: Path) -> ast.Module:
    return _parsed(path, file_state(path))


@cache
def _parsed(path: Path, state: FileState) -> ast.Module:  # noqa: ARG001 - the state only invalidates the cache
    try:
        return ast.parse(regular_file(path).read_bytes(), filename=str(path))
    except SyntaxError as error:
        raise InputError(f"{path}:{error.lineno or 1}: {error.msg}; expected a Python module") from error


def _imports(name: str, path: Path) -> frozenset[str]:
    """Returns all that a module may import: modules, and names in them that may be modules."""
    return _imports_of(name, path, file_state(path))


@cache
def _imports_of(name: str, path: Path, state: FileState) -> frozenset[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    imported: set[str] = set()
    waiting: list[ast.stmt | ast.excepthandler | ast.match_case] = list(_parsed(path, state).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] if node.level else ""
            module = ".".join(part for part in (above, node.module) if part)
            imported.add(module)
            imported.update(f"{module}.{alias.name}" for alias in node.names)
        else:
            for block in ("body", "orelse", "handlers", "finalbody", "cases"):
                waiting.extend(getattr(node, block, ()))
    return frozenset(imported)


def module_digest(path: Path) -> str:
    """Returns the digest of a module's syntax tree."""
    return _digest_of(path, file_state(path))


@cache
def _digest_of(path: Path, state: FileState) -> str:
    return hashlib.blake2b(normalised(_parsed(path, state)).encode(), digest_size=_DIGEST_BYTES).hexdigest()
