"""Finds a data set's folder: strict about what must be in it, lenient about where it is.

Refuses to guess: two folders that both hold the set are an error that names them.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from harness.errors import InputError
from harness.reid.data.dataset import few

_ARCHIVES = (".zip", ".tar", ".tgz", ".gz")
_DEPTH = 2  # DIR/market1501/Market-1501-v15.09.15, as some toolkits unpack it


@dataclass(frozen=True)
class Layout:
    """By what a data set's folder is known.

    Attributes:
        dataset: The reader's name.
        folder: The name of the folder inside the released archive.
        aliases: Other names that people give the folder; case and punctuation do not count.
        parts: Folders or files of each split.
        official: Images and labelled people (or classes) of each split of the release.
    """

    dataset: str
    folder: str
    aliases: tuple[str, ...]
    parts: Mapping[str, tuple[str, ...]]
    official: Mapping[str, tuple[int, int]]

    def is_named(self, name: str) -> bool:
        """Whether a folder of this name may hold the set."""
        return _plain(name) in {_plain(known) for known in (self.dataset, self.folder, *self.aliases)}


def locate(layout: Layout, root: Path, splits: Sequence[str]) -> Path:
    """The folder that holds the set's ``splits``: ``root`` itself, or one inside it named like the set, nearest first.

    Raises:
        InputError: If there is none; names every place looked in, and what is missing from one that comes near. Or if
            two equally near folders hold it.
    """
    if not root.is_dir():
        raise InputError(_no_folder(layout, root))
    wanted = list(dict.fromkeys(part for split in splits for part in layout.parts[split]))
    looked: list[Path] = []
    partial: list[Path] = []
    for level in _levels(layout, root):
        looked.extend(level)
        whole = [place for place in level if all((place / part).exists() for part in wanted)]
        if len(whole) > 1:
            raise InputError(f"{root}: {few(whole)} both hold {layout.dataset}; name the one that you mean")
        if whole:
            return whole[0]
        partial.extend(place for place in level if any((place / part).exists() for part in wanted))
    if partial:
        missing = [part for part in wanted if not (partial[0] / part).exists()]
        raise InputError(
            f"{partial[0]}: {few(missing)} missing; {layout.dataset} has {', '.join(wanted)} in one folder"
        )
    raise InputError(
        f"{layout.dataset} not found in {', '.join(map(str, looked))}: expected a folder with {', '.join(wanted)}, "
        f"or one named {layout.folder} or {layout.dataset} that has them" + _packed(layout, looked)
    )


def holds(layout: Layout, root: Path) -> bool:
    """Whether ``root``, or a folder in it named like the set, holds the set or a part of it (opening shows which)."""
    return root.is_dir() and any(
        (place / part).exists()
        for level in _levels(layout, root)
        for place in level
        for parts in layout.parts.values()
        for part in parts
    )


def is_whole(layout: Layout, root: Path, splits: Sequence[str]) -> bool:
    """Whether ``root``, or a folder in it named like the set, holds all of the ``splits``."""
    wanted = [part for split in splits for part in layout.parts[split]]
    return root.is_dir() and any(
        all((place / part).exists() for part in wanted) for level in _levels(layout, root) for place in level
    )


def parts_there(layout: Layout, root: Path) -> int:
    """How many of a layout's folders and files are in ``root``, or in the folder in it that has most of them."""
    parts = {part for parts in layout.parts.values() for part in parts}
    places = [place for level in _levels(layout, root) for place in level] if root.is_dir() else []
    return max((sum((place / part).exists() for part in parts) for place in places), default=0)


def _levels(layout: Layout, root: Path) -> Iterator[list[Path]]:
    """Places to look in, nearest first; a split's own folder counts as the one around it."""
    parts = {part for parts in layout.parts.values() for part in parts}
    level = [root.parent if root.name in parts and not any((root / part).exists() for part in parts) else root]
    yield level
    for _ in range(_DEPTH):
        level = sorted(
            inner for place in level for inner in place.iterdir() if inner.is_dir() and layout.is_named(inner.name)
        )
        if not level:
            return
        yield level


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _no_folder(layout: Layout, root: Path) -> str:
    if root.exists():
        return f"{root}: is a file, expected the folder of {layout.dataset}"
    beside = [path.name for path in root.parent.iterdir()] if root.parent.is_dir() else []
    near = get_close_matches(root.name, beside, n=1)
    return f"{root}: there is no such folder (looked for {layout.dataset})" + (
        f'; did you mean "{near[0]}"?' if near else ""
    )


def _packed(layout: Layout, looked: Sequence[Path]) -> str:
    """Returns a hint at an archive that was not unpacked; empty if there is none."""
    for place in looked:
        for path in sorted(place.iterdir()):
            if path.suffix.lower() in _ARCHIVES and layout.is_named(
                re.sub(r"(\.(zip|tar|tgz|gz))+$", "", path.name.lower())
            ):
                return f". {path} is there: unpack it"
    return ""
