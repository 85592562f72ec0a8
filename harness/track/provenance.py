"""The provenance of a result: commit, versions, machine. Read from metadata; imports nothing heavy."""

import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARY = "library "
"""Begins the name of a library's version."""

CODE = ("harness", "ablations", "pyproject.toml")
"""The paths that count as code: a changed report or README leaves a checkout clean."""


def collect_provenance(versions: Mapping[str, str], root: Path | None = None) -> dict[str, str]:
    """Returns facts about the code and the machine, by name; ``unknown`` for one that cannot be determined.

    ``commit``, ``dirty`` ("true" when ``harness/``, ``ablations/`` or ``pyproject.toml`` differ from the commit,
    untracked files among them), ``platform``, ``cpu``, ``python``, ``mlflow`` and libraries, named with ``LIBRARY``.

    Args:
        versions: Of Python and the libraries that the results depend on, by name.
        root: Folder of the checkout; by default the one that holds this package.
    """
    commit, dirty = _git(root or Path(__file__).resolve().parents[2])
    return {
        "commit": commit,
        "dirty": dirty,
        "platform": platform.platform(),
        "cpu": _cpu(),
        "mlflow": _version("mlflow"),
        "python": versions["python"],
        **{f"{LIBRARY}{name}": text for name, text in versions.items() if name != "python"},
    }


def _git(root: Path) -> tuple[str, str]:
    """Returns the commit of the checkout *at* ``root`` (not of an enclosing one), and whether its code differs."""
    try:
        top = _output(root, "rev-parse", "--show-toplevel")
        if Path(top).resolve() != root.resolve():
            return "unknown", "unknown"
        # A pathspec that matches nothing is an error, hence only what exists.
        code = [name for name in CODE if (root / name).exists()]
        changes = _output(root, "status", "--porcelain", "--untracked-files=all", "--", *code)
        return _output(root, "rev-parse", "HEAD"), "true" if changes else "false"
    except (OSError, subprocess.SubprocessError):
        return "unknown", "unknown"


def _output(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown"
