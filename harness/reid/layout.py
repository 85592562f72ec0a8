"""The vocabulary of a data set's layout: which files make which split, and what their names say.

A layout is declared in a recipe under ``data.dataset``; the built-in data sets are declared in the same words
(``harness.reid.data.known``). Pure data (pydantic): what is read by it, ``harness.reid.data`` decides.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from harness.errors import did_you_mean
from harness.reid.pattern import IMAGE_SUFFIXES, pattern_expression
from harness.reid.spec import Spec, refusal

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Texts = Annotated[list[str], BeforeValidator(_listed)]
"""A list of text; a single one needs no brackets."""


class SplitSpec(Spec):
    """The files of one split: by their places, or by lists."""

    files: Texts = []
    """Places relative to the data set's folder: ``train/*``, ``**/*.jpg``; a folder means all images below it."""
    list: Texts = []
    """Text files that name the images, one a line."""
    folder: str = ""
    """Where the names in the list begin; empty: in the data set's folder."""
    line: str = "{file}"
    """A line of the list: ``{file}``, and what else it says of the image: ``{file} {identity:int}``."""

    @model_validator(mode="after")
    def _either(self) -> "SplitSpec":
        if bool(self.files) == bool(self.list):
            raise refusal("", "expected either files (places of images) or list (a text file that names them)")
        for key, default in (("folder", ""), ("line", "{file}")):
            if self.files and getattr(self, key) != default:
                raise refusal(key, "belongs to a list; files are paths themselves")
        for key, places in (("files", self.files), ("list", self.list), ("folder", [self.folder])):
            for place in places:
                _check_place(key, place)
        try:
            expression = pattern_expression(self.line, also=("file",))
        except ValueError as error:
            raise refusal("line", str(error)) from None
        if "file" not in expression.groupindex:
            raise refusal("line", f'"{self.line}" has no {{file}}')
        return self


def _check_place(key: str, place: str) -> None:
    if place.startswith("/") or ".." in place.split("/") or "\\" in place:
        raise refusal(key, f'"{place}": expected a place inside the data set\'s folder, with / between folders')


def _form(value: Any) -> str:
    return "mapping" if isinstance(value, Mapping | BaseModel) else "other"


Files = Annotated[
    Annotated[Texts, Tag("other")] | Annotated[SplitSpec, Tag("mapping")],
    Discriminator(_form),
]
"""A split: places of its files, or a mapping that says more."""


class SplitsSpec(Spec):
    """Which files make which split; ``all`` is drawn from."""

    train: Files | None = None
    query: Files | None = None
    gallery: Files | None = None
    test: Files | None = None
    all: Files | None = None

    def declared(self) -> dict[str, SplitSpec]:
        """The splits that are there, in order, each in its full form."""
        found = {name: getattr(self, name) for name in type(self).model_fields}
        return {
            name: split if isinstance(split, SplitSpec) else SplitSpec(files=split)
            for name, split in found.items()
            if split is not None
        }


class MarkSpec(Spec):
    """Which images are meant: by identity, as the names have it, or by place."""

    identity: list[int | str] = []
    files: Texts = []

    @field_validator("files")
    @classmethod
    def _inside(cls, value: list[str]) -> list[str]:
        for place in value:
            _check_place("", place)
        return value


class DrawSpec(Spec):
    """How training and test are drawn from ``splits.all``: by identity; of classes, by image."""

    share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    """Of the identities (or of each class's images) that go to test."""
    seed: int = 0


_SPLITS = {"reid": ("train", "query", "gallery"), "classification": ("train", "test")}


class LayoutSpec(Spec):
    """A user's data set: where its images are and what their names say."""

    name: str
    """Its name in reports; also the name of its folder where ``--data`` is one that holds several sets."""
    folders: Texts = []
    """Further names of its folder."""
    task: Literal["reid", "classification"] = "reid"
    subjects: str = "people"
    """Whose identities they are, for messages."""
    splits: SplitsSpec
    pattern: Texts
    """The end of an image's place: one for each ``/`` a folder more; with ``**/`` its whole place in the data set's
    folder. Of several, the first that fits."""
    suffixes: list[str] = []
    """Suffixes of images, as ``.jpg``; empty: all that can be read."""
    junk: MarkSpec = MarkSpec()
    """Gallery images left out of scoring."""
    distractors: MarkSpec = MarkSpec()
    """Gallery images of nobody in the queries: ranked, and always wrong."""
    apart: bool = False
    """Whether the same identity in training and in test is two people."""
    draw: DrawSpec | None = None

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError(
                f'found "{value}", expected at most 80 letters, digits, ".", "_" and "-", the first a letter or digit'
            )
        return value

    @field_validator("suffixes")
    @classmethod
    def _are_images(cls, value: list[str]) -> list[str]:
        for suffix in value:
            if suffix.lower() not in IMAGE_SUFFIXES:
                raise ValueError(f'"{suffix}" is not a suffix of an image; {did_you_mean(suffix, IMAGE_SUFFIXES)}')
        return value

    @model_validator(mode="after")
    def _has_its_splits(self) -> "LayoutSpec":
        expected, found = _SPLITS[self.task], self.splits.declared()
        if "all" in found:
            if len(found) > 1:
                raise refusal("splits", f"found all and {', '.join(list(found)[:-1])}; expected all alone, or no all")
            if self.apart:
                raise refusal("apart", "found true with splits.all, from which training and test are drawn by identity")
            return self
        if self.draw is not None:
            raise refusal("draw", "there is nothing to draw from: name the files in splits.all")
        for name in found:
            if name not in expected:
                message = (
                    f"a {self.task} set has no such split; expected {', '.join(expected)}, or all to draw them from"
                )
                raise refusal(f"splits.{name}", message)
        missing = [name for name in expected if name not in found]
        if missing and set(found) not in ({"train"}, {"query", "gallery"}):
            raise refusal("splits", f"no {' and '.join(missing)}; expected {', '.join(expected)}, or all to draw from")
        return self

    @model_validator(mode="after")
    def _patterns_say_who(self) -> "LayoutSpec":
        if not self.pattern:
            raise refusal("pattern", "found an empty list, expected what images' names look like")
        for pattern in self.pattern:
            try:
                parts = pattern_expression(pattern).groupindex
            except ValueError as error:
                raise refusal("pattern", str(error)) from None
            for name, split in self.splits.declared().items():
                of_line = pattern_expression(split.line, also=("file",)).groupindex
                if "identity" not in parts and "identity" not in of_line:
                    raise refusal("pattern", f'"{pattern}" has no {{identity}}, and the list of {name} none either')
        with_camera = ["camera" in pattern_expression(pattern).groupindex for pattern in self.pattern]
        if any(with_camera) and not all(with_camera):
            odd = self.pattern[with_camera.index(False)]
            raise refusal("pattern", f'"{odd}" has no {{camera}}, which the others have')
        return self


Declared = Annotated[
    Annotated[str, Tag("other")] | Annotated[LayoutSpec, Tag("mapping")],
    Discriminator(_form),
]
"""A data set: the name of a known one, or a layout."""

Named = str | LayoutSpec | Mapping[str, Any]
"""A data set: a known one's name, ``package.module:function``, or a layout."""


def name_of(dataset: Named) -> str:
    """The name of a data set."""
    if isinstance(dataset, str):
        return dataset
    return dataset.name if isinstance(dataset, LayoutSpec) else str(dataset.get("name", "a layout"))
