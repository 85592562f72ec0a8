"""The users' code that this process has imported: a stage runs the code that its fingerprint names, and no other.

Python imports a module once. If its file changes afterwards, a new plan names the new code while this process would run
the old; and a worker that starts after the change would run code that an earlier plan does not name.
"""

import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from importlib.util import cache_from_source
from pathlib import Path
from threading import RLock
from typing import Any

from harness.code import code_digest, hand_kept_version, is_ours, locate_module, module_digest, reached_modules
from harness.errors import StageError
from harness.plugins import load_object

CHANGED = "was changed after this run was planned; run the same command again"
"""How the reason ends for which a stage fails whose code or inputs are no longer those of its plan."""


@dataclass(frozen=True)
class _Seen:
    """A user's module in the state in which this process imports it."""

    file: Path
    digest: str
    spec: ModuleSpec | None
    """Another one if it was imported since, by somebody else."""


_seen: dict[str, _Seen] = {}
_ready: dict[tuple[str, ...], str] = {}
"""Digests of the code behind references, as this process imports it."""
_lock = RLock()


def require_code(references: tuple[str, ...], digest: str) -> None:
    """Makes sure that this process runs the code with a digest; edits after the first such call do no harm.

    Args:
        references: What a stage declares as its code.
        digest: Of that code, when the stage was planned.

    Raises:
        StageError: If files have changed since.
    """
    if not references or digest == hand_kept_version(references):
        return
    with _lock:
        if _ready.get(references) != digest:
            if code_digest(references) != digest:
                raise StageError(f"its code {CHANGED}")
            refresh(references)
            _ready[references] = digest


def load_current(reference: str) -> Any:
    """Returns the object that a reference names, from its files as they are now; see ``load_object``."""
    module = reference.partition(":")[0]
    with _lock:
        if not is_ours(module) and locate_module(module) is not None:
            refresh((reference,))
        return load_object(reference)


def refresh(references: Sequence[str]) -> None:
    """Forgets users' modules if files among the code of these references are not what was imported from them.

    The next import reads them again. All users' modules are forgotten, since any may hold a function of a changed one.
    """
    with _lock:
        files = {name: file for name, file in reached_modules(references).items() if not is_ours(name)}
        digests = {name: module_digest(file) for name, file in files.items()}
        gone = [name for name, seen in _seen.items() if name in sys.modules and not seen.file.is_file()]
        if gone or any(_is_another(name, file, digests[name]) for name, file in files.items()):
            _ready.clear()
            tops = {name.partition(".")[0] for name in (*_seen, *files)}
            for name in [name for name in sys.modules if name.partition(".")[0] in tops]:
                del sys.modules[name]
            for name in gone:
                del _seen[name]
            importlib.invalidate_caches()
        for name, file in files.items():
            if name not in sys.modules:
                _drop_old_bytecode(file)
            _seen[name] = _Seen(file, digests[name], getattr(sys.modules.get(name), "__spec__", None))


def _is_another(name: str, file: Path, digest: str) -> bool:
    """Whether the module in memory may be another than the one in the file, as far as can be known."""
    if (module := sys.modules.get(name)) is None:
        return False
    spec, seen = module.__spec__, _seen.get(name)
    if spec is None or spec.origin is None or os.path.realpath(spec.origin) != os.path.realpath(file):
        return True
    if seen is not None and (seen.spec is None or seen.spec is spec):  # the spec of a reload is equal
        return seen.digest != digest
    import psutil

    stat = file.stat()  # a file that is moved here keeps its time of change, and its inode does not
    return max(stat.st_mtime, stat.st_ctime) >= psutil.Process().create_time()


def _drop_old_bytecode(file: Path) -> None:
    """Removes bytecode that may be of an earlier state of its source, which Python knows by size and second alone."""
    with suppress(OSError, NotImplementedError):
        bytecode = Path(cache_from_source(str(file)))
        if bytecode.stat().st_mtime_ns <= file.stat().st_ctime_ns:
            bytecode.unlink()


class _LateImports:
    """Finds no module, but refuses one that has changed since the stages that run were allowed to begin."""

    running = 0

    @classmethod
    def find_spec(cls, name: str, _path: object = None, _target: object = None) -> None:
        if cls.running and (seen := _seen.get(name)) is not None and module_digest(seen.file) != seen.digest:
            raise StageError(f"{name}, which this stage imports late, {CHANGED}")


@contextmanager
def late_imports_checked() -> Iterator[None]:
    """While a stage runs: an import of a module that has changed since ``require_code`` raises ``StageError``."""
    if _LateImports not in sys.meta_path:
        sys.meta_path.insert(0, _LateImports)
    _LateImports.running += 1
    try:
        yield
    finally:
        _LateImports.running -= 1
