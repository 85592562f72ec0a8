"""Looks at this machine: what it has, and what would stop a run."""

import os
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from harness.api import DEFAULT_STORE
from harness.api.folders import DataArgument, Folders, folder_of, folders_of
from harness.api.places import data_candidates
from harness.errors import InputError

_SMALLEST_FREE_GB = 5.0
_PACKAGES = ("torch", "torchvision", "timm", "mlflow", "optuna", "numpy", "scipy", "pandas", "pillow", "numba")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    """Its name: a package, a device, the store, a data set, the tracker."""
    state: Literal["ok", "note", "problem"]
    """``problem``: it stops a run."""
    message: str


def doctor(*, data: DataArgument = None, store: str | Path = DEFAULT_STORE) -> list[Finding]:
    """Returns what this machine has: versions, devices, disk, data sets, the tracker.

    Args:
        data: The folder in which data sets are looked for, or folders by their names; None: $HARNESS_DATA and ./data.
        store: Where stages are kept: a folder, or an fsspec address.

    Raises:
        InputError: If a named folder of data does not exist.

    >>> import harness
    >>> harness.doctor()[0].what
    'python'
    >>> [found.message for found in harness.doctor() if found.state == "problem"]
    []
    """
    folders = folders_of(data)
    data_candidates(folder_of(folders, ""))  # a named folder that is not there is an error, found before the rest
    return [*_software(), *_hardware(), *_store(str(store)), *_data_sets(folders), _tracker()]


def _software() -> list[Finding]:
    version = sys.version_info
    findings = [
        Finding(
            "python",
            "ok" if (3, 11) <= version[:2] <= (3, 13) else "problem",
            f"{sys.version.split()[0]} (3.11 to 3.13)",
        )
    ]
    for package in _PACKAGES:
        try:
            findings.append(Finding(package, "ok", metadata.version(package)))
        except metadata.PackageNotFoundError:
            findings.append(Finding(package, "problem", "not installed; uv run installs everything"))
    try:
        import torchvision.ops  # noqa: F401
    except (ImportError, RuntimeError) as error:
        message = f"does not fit torch ({error}); install the pair that pyproject.toml pins"
        findings.append(Finding("torchvision import", "problem", message))
    return findings


def _hardware() -> list[Finding]:
    import psutil
    import torch

    memory_gb = psutil.virtual_memory().total / 1e9
    findings = [Finding("cpu", "ok", f"{os.cpu_count()} cores, {memory_gb:.0f} GB memory")]
    if not torch.cuda.is_available():
        findings.append(Finding("gpu", "note", "none that torch can use; the demo profile suits this machine"))
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        findings.append(Finding(f"gpu {index}", "ok", f"{properties.name}, {properties.total_memory / 1e9:.0f} GB"))
    return findings


def _store(address: str) -> list[Finding]:
    """The store, if it lies elsewhere, and the folder of this machine that belongs to it."""
    from harness.execute import SharedStore, local_root, open_store

    root = local_root(address)
    findings = _disk(root)
    try:
        if isinstance(open_store(address), SharedStore):
            findings.append(Finding("store", "ok", f"{address} answers; stages run in {root}"))
    except InputError as error:
        findings.append(Finding("store", "problem", str(error)))
    return findings


def _disk(store: Path) -> list[Finding]:
    place = store.absolute()
    while not place.exists():
        place = place.parent
    free_gb = shutil.disk_usage(place).free / 1e9
    findings = [
        Finding(
            "disk",
            "ok" if free_gb >= _SMALLEST_FREE_GB else "note",
            f"{free_gb:.0f} GB free for the store {store} ({_SMALLEST_FREE_GB:.0f} GB is comfortable)",
        )
    ]
    if not os.access(place, os.W_OK):
        findings.append(Finding("store", "problem", f"{place} cannot be written to; name another with --store"))
    return findings


def _data_sets(folders: Folders | None) -> list[Finding]:
    from harness.reid.data.known import DATASETS, find_dataset
    from harness.reid.inputs import SYNTHETIC

    findings = []
    for name in DATASETS:
        found, looked = find_dataset(name, data_candidates(folder_of(folders, name)))
        places = ", ".join(str(place) for place in looked)
        if found is None and name not in SYNTHETIC:
            continue
        message = str(found) if found else f"not found in {places}; the demo makes a synthetic one"
        findings.append(Finding(name, "ok" if found else "note", message))
    return findings


def _tracker() -> Finding:
    from harness.track import TrackerError, reach, resolve_uri, without_password

    uri = resolve_uri()
    source = "MLFLOW_TRACKING_URI" if "MLFLOW_TRACKING_URI" in os.environ else "default"
    try:
        reach(uri)
    except TrackerError as error:
        return Finding("tracker", "problem", f"{error} ({source})")
    return Finding("tracker", "ok", f"{without_password(uri)} ({source})")
