"""The data that a trainer reads: where it was found, what identifies it, and how it is requested."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel


@dataclass(frozen=True)
class Inputs:
    """An input of a trainer besides its settings, identified by content rather than by path."""

    name: str = ""
    """The data set's display name; empty for a trainer that reads none."""
    contents: Mapping[str, str] = field(default_factory=dict)
    """A digest of the contents of each part (``train``, ``query``; a file's declared path)."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Counts that the trainer reports (images of a split, classes)."""
    root: Path | None = None
    """The folder of the data on this machine."""
    made: str = ""
    """Describes synthetic data ("synthetic, 300 identities, seed 0"); empty for real data."""
    notes: tuple[str, ...] = ()
    """Notes on the data for readers of the results."""
    assumed: bool = False
    """Whether nothing was read: sizes are a release's, contents unknown. Such inputs can be planned with, never run."""
    sets: tuple["Inputs", ...] = ()
    """Each data set by itself, where rows read several: ``contents`` and ``sizes`` then have ``NAME/PART`` as keys."""
    code: Mapping[str, str] = field(default_factory=dict)
    """A digest of each file or folder of code that no import leads to, such as a command's script."""

    @property
    def places(self) -> str:
        """The folders of the data on this machine, as text; empty for none."""
        return ", ".join(str(one.root) for one in self.sets or (self,) if one.root)


@dataclass(frozen=True)
class Found:
    """Where data sets are."""

    roots: Mapping[str, Path] = field(default_factory=dict)
    """The folder of each data set that was found, by its name."""
    looked: Sequence[Path] = ()
    """The places searched."""
    missing: Sequence[str] = ()
    """The names of the data sets that were not found."""


@dataclass(frozen=True)
class InputRequest:
    """The arguments of ``Trainer.inputs``."""

    settings: Sequence[BaseModel]
    """The settings of all rows of the table."""
    roots: Mapping[str, Path]
    """The folders that ``find`` returned; empty: generate the synthetic data, or read what the settings name."""
    synthetic: BaseModel | None
    """The profile's ``synthetic:`` block."""
    store: Path
    """The store's folder on this machine; trainers may write to its ``cache`` and ``data``."""
    training_only: bool = False
    """Whether only training data may be read, for a search."""
    progress: Callable[[str, int, int], None] = lambda _what, _done, _all: None
    """Callback: a description of the work, how much is done, and of how much."""
