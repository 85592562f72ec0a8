"""The provenance of a result: commit, versions, machine. Read from metadata; imports nothing heavy."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("torch", "torchvision", "timm", "numpy", "mlflow")
"""Libraries whose version may affect a result."""

CODE = ("harness", "ablations", "pyproject.toml")
"""The paths that count as code: a changed report or README leaves a checkout clean."""


def collect_provenance(root: Path | None = None) -> dict[str, str]:
    """Returns facts about the code and the machine, by name; ``unknown`` for one that cannot be determined.

    ``commit``, ``dirty`` ("true" when ``harness/``, ``ablations/`` or ``pyproject.toml`` differ from the commit,
    untracked files among them), ``python``, ``platform``, ``cpu`` and one entry for each of ``PACKAGES``.

    Args:
        root: Folder of the checkout; by default the one that holds this package.
    """
    commit, dirty = _git(root or Path(__file__).resolve().parents[2])
    return {
        "commit": commit,
        "dirty": dirty,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        **{name: _version(name) for name in PACKAGES},
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
