"""Library versions: those that a stage ran with, and how they differ from those installed now."""

import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata

from harness.code import imported_libraries

_PYTHON = "python"


@dataclass(frozen=True)
class VersionDifference:
    """A library whose installed version is not the one that finished stages ran with."""

    library: str
    then: str
    now: str
    stages: int

    def __str__(self) -> str:
        made = "1 cached stage was" if self.stages == 1 else f"{self.stages} cached stages were"
        return f"{made} made with {self.library} {self.then}; {self.now} is installed now"


def library_versions(code: Sequence[str]) -> dict[str, str]:
    """Returns the versions of Python and of the libraries that some code imports.

    Args:
        code: References to the code, as a stage declares them.

    Raises:
        InputError: If some of it is not found.
    """
    return {_PYTHON: platform.python_version(), **{name: _installed(name) for name in imported_libraries(code)}}


def differences_from_installed(stages: Iterable[Mapping[str, str]]) -> tuple[VersionDifference, ...]:
    """Returns how the versions that ``stages`` ran with differ from the installed ones, each difference once."""
    counted = Counter(
        (library, then, now)
        for versions in stages
        for library, then in versions.items()
        if then != (now := _installed(library))
    )
    return tuple(VersionDifference(*difference, number) for difference, number in sorted(counted.items()))


@lru_cache(maxsize=256)
def _installed(library: str) -> str:
    try:
        return platform.python_version() if library == _PYTHON else metadata.version(library)
    except metadata.PackageNotFoundError:
        return "not installed"
