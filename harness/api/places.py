"""Where a trainer's data is looked for, and which profile that decides."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.api.folders import Folders, folder_of
from harness.errors import InputError
from harness.matrix import Declaration, dataset_of, settings_of
from harness.trainer import Inputs

DATA_VARIABLE = "HARNESS_DATA"
DEFAULT_DATA = Path("data")


@dataclass(frozen=True)
class Choice:
    """Which profile runs on which data."""

    profile: str
    roots: Mapping[str, Path]
    """Where each data set was found, by its name; empty: the profile's synthetic sets are to be made."""
    notice: str = ""
    assumed: Inputs | None = None
    """The sizes to plan with in place of a data set that was not found."""


def data_candidates(given: Path | None) -> list[Path]:
    """The folders in which a data set is looked for: the one given, or $HARNESS_DATA and ./data.

    Raises:
        InputError: If a folder that the user named does not exist; what a user names is never passed over.
    """
    named = os.environ.get(DATA_VARIABLE)
    for source, folder in (("--data", given), (f"${DATA_VARIABLE}", Path(named) if named else None)):
        if folder is not None and not folder.is_dir():
            raise InputError(f"{source} {folder}: there is no such folder (looked for {folder.absolute()})")
    if given is not None:
        return [given]
    return [Path(named), DEFAULT_DATA] if named else [DEFAULT_DATA]


def choose(
    declaration: Declaration,
    *,
    profile: str | None,
    data: Folders | None,
    overrides: Mapping[str, Any] | None = None,
    may_assume: bool = False,
    training_only: bool = False,
) -> Choice:
    """Which profile runs, and on which data.

    ``profile`` if given, else the declaration's first one (``paper``) if its data set is found, else its first one
    that has a synthetic set (``demo``), with a notice. A profile with a synthetic set uses it unless ``data`` is given.

    Args:
        declaration: The table.
        profile: ``--profile``.
        data: ``--data``.
        overrides: ``--set``.
        may_assume: Whether a data set that is not found, nor named by ``data``, may be assumed to be its release.
        training_only: Whether only training data is looked for.

    Raises:
        InputError: If data that was named, or that the profile needs, is not found.
    """
    wanted = declaration.profile(profile)
    settings = settings_of(declaration, profile=wanted.name, overrides=overrides)
    dataset = dataset_of(declaration, settings)
    if not dataset:
        if data is not None:
            given = ", ".join(map(str, data.values())) if isinstance(data, Mapping) else data
            raise InputError(f"--data {given}: the trainer of {declaration.path} reads no data set")
        return Choice(wanted.name, {})
    if profile is not None and wanted.synthetic is not None and data is None:
        return Choice(wanted.name, {})
    named = {name: folder for name, folder in data.items() if name} if isinstance(data, Mapping) else {}
    for name, folder in named.items():
        if not folder.is_dir():
            raise InputError(f"--data {name}={folder}: there is no such folder (looked for {folder.absolute()})")
    trainer, candidates = declaration.recipe.trainer, data_candidates(folder_of(data, ""))
    found = trainer.find(settings, candidates, named, training_only=training_only)
    places = ", ".join(str(place) for place in found.looked)
    if found.roots and not found.missing:
        return Choice(wanted.name, found.roots)
    missing = " and ".join(found.missing) if len(found.missing) + len(found.roots) > 1 else dataset
    synthetic = [name for name, declared in declaration.profiles.items() if declared.synthetic is not None]
    if data is not None or profile is not None or not synthetic:
        release = trainer.release(settings) if may_assume and data is None else None
        if release is not None:
            return Choice(wanted.name, {}, _assumption(release, places), release)
        hint = f"--profile {synthetic[0]} runs without it, on a synthetic set" if synthetic and data is None else ""
        option = "--data DIR" if missing == dataset else f"--data {found.missing[0]}=DIR"
        was, its = ("were", "their") if len(found.missing) > 1 else ("was", "its")
        message = f"{missing} {was} not found; looked in {places}. Name {its} folder with {option}. {hint}"
        raise InputError(message.rstrip())
    verb = "are" if len(found.missing) > 1 else "is"
    notice = (
        f"{missing} {verb} not in {places}: profile {synthetic[0]} on synthetic data, not comparable with the paper"
    )
    return Choice(synthetic[0], {}, notice)


def _assumption(release: Inputs, places: str) -> str:
    counts = ", ".join(f"{name} {count:,}" for name, count in release.sizes.items())
    return (
        f"{release.name} was not found (looked in {places}): planned from the counts of its release ({counts}). "
        f"Fingerprints, and which stages are cached, are unknown without its files; a run needs them (--data DIR)."
    )
