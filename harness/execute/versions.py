"""Library versions: those that a stage ran with, and how they differ from those installed now."""

import platform
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata

_LIBRARIES = ("torch", "torchvision", "timm", "numpy", "scipy", "pillow")
_EXTRAS = ("pytorch-metric-learning",)
"""Recorded where they are installed."""


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


@lru_cache(maxsize=1)
def library_versions() -> dict[str, str]:
    """Returns the versions of Python and of the libraries that a result may depend on."""
    versions = {"python": platform.python_version()}
    for library in (*_LIBRARIES, *_EXTRAS):
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            if library in _LIBRARIES:
                versions[library] = "not installed"
    return versions


def differences_from(
    installed: Mapping[str, str], stages: Iterable[Mapping[str, str]]
) -> tuple[VersionDifference, ...]:
    """Returns how the versions that ``stages`` ran with differ from those ``installed``, each difference once."""
    counted = Counter(
        (library, then, installed[library])
        for versions in stages
        for library, then in versions.items()
        if library in installed and then != installed[library]
    )
    return tuple(VersionDifference(*difference, number) for difference, number in sorted(counted.items()))
