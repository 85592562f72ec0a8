"""The code that this process has imported: a stage runs the code that its fingerprint names, and no other.

Python imports a module once. If its file changes afterwards, a new plan names the new code while this process would run
the old; and a worker that starts after the change would run code that an earlier plan does not name.
"""

import importlib
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

from harness.code import code_digest, hand_kept_version, is_ours, locate_module, module_digests, reached_modules
from harness.errors import StageError
from harness.plugins import load_object

_imported: dict[str, str] = {}
"""Digests of modules, by name, in the state that this process imports."""
_ready: dict[tuple[str, ...], str] = {}
"""Digests of the code behind references, as this process imports it."""


def require_code(references: tuple[str, ...], digest: str) -> None:
    """Makes sure that this process runs the code with a digest.

    An edit after the first call with these references does no harm: the code is imported by then.

    Args:
        references: What a stage declares as its code.
        digest: Of that code, when the stage was planned.

    Raises:
        StageError: If files have changed since, or the harness's own have and this process has imported the old ones.
    """
    if not references or digest == hand_kept_version(references) or _ready.get(references) == digest:
        return
    if code_digest(references) != digest:
        raise StageError("its code was changed after this run was planned; run the same command again")
    for name, own in module_digests(references).items():
        if is_ours(name) and _imported.get(name, own) != own:
            raise StageError(f"{name} was changed after this process imported it; start Python again")
    refresh(references)
    _ready[references] = digest


def load_current(reference: str) -> Any:
    """Returns the object that a reference names, from its files as they are now; see ``load_object``."""
    module = reference.partition(":")[0]
    if module in sys.modules and not is_ours(module) and locate_module(module):
        refresh((reference,))
    return load_object(reference)


def refresh(references: Sequence[str]) -> None:
    """Forgets users' code that this process has imported from files that have changed since.

    The next import reads it again.
    """
    digests, files = module_digests(references), reached_modules(references)
    users = [name for name in digests if not is_ours(name)]
    changed = [name for name in users if _may_have_changed(name, files[name], digests[name])]
    if changed:
        _ready.clear()
        for name in users:  # a module that imports a changed one holds its functions
            sys.modules.pop(name, None)
        for name in changed:  # bytecode knows its source by size and second
            with suppress(OSError, NotImplementedError):
                Path(cache_from_source(str(files[name]))).unlink(missing_ok=True)
        importlib.invalidate_caches()
    _imported.update(digests)


def _may_have_changed(name: str, file: Path, digest: str) -> bool:
    """Whether a module's file may have changed since it was imported: certainly known if ``refresh`` saw it before."""
    if name in _imported:
        return _imported[name] != digest
    if name not in sys.modules:
        return False
    import psutil

    return file.stat().st_mtime >= psutil.Process().create_time()
