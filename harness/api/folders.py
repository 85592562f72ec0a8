"""The data folders that the user names: one for all data sets, or one for each."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import InputError

Folders = Path | Mapping[str, Path]
"""One folder, or folders by the data set's name, "" for all others."""

DataArgument = str | Path | Mapping[str, str | Path] | None
"""The same from Python."""


def folders_of(data: DataArgument) -> Folders | None:
    """Returns folders from what a caller in Python gave."""
    if isinstance(data, Mapping):
        return {name: Path(folder) for name, folder in data.items()}
    return None if data is None else Path(data)


def read_folders(texts: Sequence[str] | None) -> Folders | None:
    """Returns folders from ``DIR`` and ``NAME=DIR``; a folder that is there may have a ``=`` in its name.

    Raises:
        InputError: If there are two folders for one data set.

    >>> read_folders(["market1501=/a", "/b"])
    {'market1501': PosixPath('/a'), '': PosixPath('/b')}
    """
    folders: dict[str, Path] = {}
    for text in texts or ():
        named = "=" in text and "/" not in text.partition("=")[0] and not Path(text).exists()
        name, folder = text.split("=", 1) if named else ("", text)
        if not folder or (named and not name):
            raise InputError(f'--data "{text}": expected DIR or NAME=DIR')
        if name in folders:
            which = f"of {name}" if name else "without a name"
            advice = "" if name else "; name the data set of each: --data NAME=DIR"
            raise InputError(f"--data: two folders {which}, {folders[name]} and {folder}{advice}")
        folders[name] = Path(folder)
    return folders[""] if folders.keys() == {""} else folders or None


def folder_of(data: Folders | None, dataset: str) -> Path | None:
    """Returns the folder that the user named for a data set; None if none was."""
    return data.get(dataset, data.get("")) if isinstance(data, Mapping) else data
