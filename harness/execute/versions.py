"""Library versions: those that a stage ran with, and how they differ from those installed now."""

import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata

from harness.code import imported_modules

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
    return {_PYTHON: platform.python_version(), **{name: _version(name) for name in imported_libraries(code)}}


def differences_from_installed(stages: Iterable[Mapping[str, str]]) -> tuple[VersionDifference, ...]:
    """Returns how the versions that ``stages`` ran with differ from the installed ones, each difference once."""
    counted = Counter(
        (library, then, now)
        for versions in stages
        for library, then in versions.items()
        if then != (now := _version(library))
    )
    return tuple(VersionDifference(*difference, number) for difference, number in sorted(counted.items()))


@lru_cache(maxsize=256)
def _version(library: str) -> str:
    try:
        return platform.python_version() if library == _PYTHON else metadata.version(library)
    except metadata.PackageNotFoundError:
        return "not installed"


def imported_libraries(code: Sequence[str]) -> tuple[str, ...]:
    """Returns the installed distributions that some code imports itself (``scikit-learn``)."""
    wanted = imported_modules(code)
    found = {_named_in_metadata(each) for each, modules in _installed() if not wanted.isdisjoint(modules)}
    return tuple(sorted(found, key=str.lower))


@lru_cache(maxsize=1024)
def _named_in_metadata(distribution: metadata.Distribution) -> str:
    """Returns a distribution's name, for which all of its metadata are parsed."""
    return distribution.name


@lru_cache(maxsize=1)
def _installed() -> tuple[tuple[metadata.Distribution, frozenset[str]], ...]:
    """The installed distributions and their top modules, read faster than by ``packages_distributions``."""
    return tuple((each, _top_modules(each)) for each in metadata.distributions())


def _top_modules(distribution: metadata.Distribution) -> frozenset[str]:
    declared = distribution.read_text("top_level.txt")
    if declared is not None:
        return frozenset(declared.split())
    files = (distribution.read_text("RECORD") or "").splitlines()
    return frozenset(file.partition(",")[0].partition("/")[0].partition(".")[0] for file in files)
