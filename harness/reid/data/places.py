"""Lists the files of a declared split: those at a place with wildcards, or those that a text file names."""

import errno
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from harness.errors import InputError
from harness.files import regular_file
from harness.reid.layout import SplitSpec
from harness.reid.pattern import IMAGE_SUFFIXES, pattern_expression

_MAX_LIST_BYTES = 512 * 2**20


def fixed_part(place: str) -> str:
    """The folders of a place before its first wildcard, or the whole place if it has none.

    >>> fixed_part("train/*/*.jpg"), fixed_part("photographs"), fixed_part("*")
    ('train', 'photographs', '')
    """
    parts = place.split("/")
    plain = next((index for index, part in enumerate(parts) if set(part) & set("*?[")), len(parts))
    return "/".join(parts[:plain])


def files_at(folder: Path, place: str) -> Iterator[str]:
    """The files at a place, relative to ``folder``, in no order; all below it where the place is a folder.

    ``*`` and ``?`` match within a name, ``**`` any folders. What has an image's suffix counts though it be a folder
    or a dangling link, so that reading it fails. Links to folders are followed, as torchvision does; a link to a folder
    that contains it is not. Hidden files and folders do not count.

    Raises:
        OSError: If a folder cannot be listed.
    """
    parts = [part for part in place.split("/") if part not in ("", ".")]
    if folder.joinpath(*parts).is_dir():
        parts += ["**", "*"]
    yield from _walk(folder, "", parts, ())


_Identity = tuple[int, int]
"""Device and number of a folder, the same by whichever path."""


def _walk(folder: Path, above: str, parts: Sequence[str], outer: tuple[_Identity, ...]) -> Iterator[str]:
    """The files at ``parts`` in ``folder / above``; ``outer`` are the folders around it."""
    first, rest = parts[0], parts[1:]
    if first == "**" and rest:
        yield from _walk(folder, above, rest, outer)
    containing = (*outer, _identity((folder / above).stat()))
    with os.scandir(folder / above) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = f"{above}/{entry.name}" if above else entry.name
            if not rest:
                if fnmatchcase(entry.name, first) and (is_image(entry.name) or not _is_folder(entry)):
                    yield path
            elif _is_folder(entry) and not (entry.is_symlink() and _identity(entry.stat()) in containing):
                if first == "**" and not is_image(entry.name):
                    yield from _walk(folder, path, parts, containing)
                elif first != "**" and fnmatchcase(entry.name, first):
                    yield from _walk(folder, path, rest, containing)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a link to one; a link that leads back to itself is none."""
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP:
            return False
        raise


def _identity(found: os.stat_result) -> _Identity:
    return found.st_dev, found.st_ino


def is_image(name: str) -> bool:
    """Whether a file is read as an image, by its name.

    >>> is_image("a.JPG"), is_image("Thumbs.db")
    (True, False)
    """
    return f".{name.rpartition('.')[2].lower()}" in IMAGE_SUFFIXES


def listed_files(folder: Path, split: SplitSpec) -> dict[str, Mapping[str, str]]:
    """The files that a split's lists name, relative to ``folder``, each with what else its line says.

    Raises:
        InputError: For a line that does not fit or names a file outside the folder; names the list and the line.
    """
    expression = pattern_expression(split.line, also=("file",))
    found: dict[str, Mapping[str, str]] = {}
    for name in split.list:
        path = folder / name
        for number, line in enumerate(_text(path).splitlines(), start=1):
            if not line.strip():
                continue
            match = expression.fullmatch(re.sub(r"\s+", " ", line.strip()).replace("\\", "/"))
            if match is None:
                raise InputError(f'{path}:{number}: found "{line.strip()}", expected {split.line}')
            said = match.groupdict()
            file = f"{split.folder}/{said.pop('file')}".lstrip("/").replace("/./", "/")
            if ".." in file.split("/"):
                raise InputError(f'{path}:{number}: "{file}" is outside the data set\'s folder')
            if file in found and found[file] != said:
                raise InputError(f"{path}:{number}: {file} is listed twice, with different labels")
            found[file] = said
    return found


def _text(path: Path) -> str:
    """A list's text; paths without an encoding of their own are UTF-8."""
    with regular_file(path).open("rb") as file:
        raw = file.read(_MAX_LIST_BYTES + 1)
    if len(raw) > _MAX_LIST_BYTES:
        raise InputError(f"{path}: larger than {_MAX_LIST_BYTES // 2**20} MiB, expected a list of image files")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}:{line}: found the byte 0x{raw[error.start]:02x}, expected UTF-8 text") from None
