"""Reading a recipe: its file and those that it extends, the trainer that they name, factors, profiles, assumptions.

The files are read from the one that extends nothing to the one that the table names; values, profiles, metrics and
assumptions are laid over each other one by one, and a factor of the same name replaces the other's.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from harness.errors import InputError, did_you_mean
from harness.matrix.factors import Factor, check_factors, read_factor
from harness.matrix.key_tree import Node, key_tree, unknown_key
from harness.matrix.levels import Levels
from harness.matrix.naming import unfit_name
from harness.matrix.patch import Setting, overlay, read_patch
from harness.matrix.schema import AssumptionSpec, ProfileSpec, RecipeHeader
from harness.matrix.source import Document, Key, describe, read_yaml
from harness.matrix.validation_errors import refuse
from harness.trainer import Trainer
from harness.trainers import DEFAULT, Declared, load_trainer

MAX_EXTENDS = 8
_OF_A_NAMED_TRAINER = ("settings", "metrics", "inputs", "held_out")
"""The keys of a recipe file that say something of the trainer that it names."""


@dataclass(frozen=True)
class Profile:
    """A named overlay of the recipe."""

    name: str
    description: str = ""
    settings: tuple[Setting, ...] = ()
    synthetic: BaseModel | None = None


@dataclass(frozen=True)
class AssumptionSource:
    """An assumption before its value is known."""

    key: str
    reason: str
    here: str = ""
    """What the code does, for a choice that is not a setting."""
    alternatives: tuple[Setting, ...] = ()
    """Other values of the setting."""


@dataclass(frozen=True)
class RecipeSource:
    """A recipe file with all that it extends, before any profile or factor is laid over it."""

    trainer: Trainer
    settings: tuple[Setting, ...]
    factors: Mapping[str, Factor]
    profiles: Mapping[str, Profile]
    assumptions: Mapping[str, AssumptionSource]

    @property
    def levels(self) -> Levels:
        """The levels of every factor."""
        return {name: tuple(factor.patches) for name, factor in self.factors.items()}

    @property
    def tree(self) -> Node:
        """The keys of the trainer's settings."""
        return key_tree(self.trainer.settings)


@dataclass(frozen=True)
class _File:
    """One recipe file, split into what it says of its values and the rest."""

    document: Document
    header: RecipeHeader
    values: Mapping[str, Any]
    at: Key
    """Where the values are in the file: at its top, or under ``settings``."""


def read_recipe(table: Document, folder: Path) -> RecipeSource:
    """Reads a table's recipe and those that it extends.

    Args:
        table: The table, whose ``recipe`` names the file, or is the recipe.
        folder: The folder that the file's name is relative to.

    Raises:
        InputError: For anything that is wrong in the files, by file, line and key.
    """
    recipe = table.value["recipe"]
    if isinstance(recipe, str):
        documents = _documents(folder / recipe, (table, ("recipe",)), ())
    else:
        documents = _extended(table.part("recipe"), folder, ())
    naming = next((document for document in reversed(documents) if "trainer" in document.value), None)
    sections: Iterable[str] = ()
    if naming is None:
        trainer = load_trainer(Declared(DEFAULT, folder))
        sections = trainer.settings.model_fields
        files = [_read_file(document, sections) for document in documents]
    else:
        files = [_read_file(document, ()) for document in documents]
        trainer = _declared_trainer(files, naming)
    tree = key_tree(trainer.settings)
    settings = tuple(setting for file in files for setting in read_patch(file.document, file.at, file.values, tree))
    if not settings and naming is None:
        named = ", ".join(list(tree.fields or ())[:3])
        found = f"found {describe(recipe)}, expected a recipe, but it holds no recipe values ({named}, ...)"
        raise table.error(("recipe",), found)
    factors: dict[str, Factor] = {}
    profiles: dict[str, Profile] = {}
    assumptions: dict[str, AssumptionSource] = {}
    for file in files:
        document, header = file.document, file.header
        factors |= {name: read_factor(name, spec, document, tree) for name, spec in header.factors.items()}
        check_factors(factors)
        for name, profile in header.profiles.items():
            profiles[name] = _profile(name, profile, document, profiles.get(name), trainer)
        assumptions |= read_assumptions(header.assumptions, document, tree)
    return RecipeSource(trainer, settings, factors, profiles, assumptions)


def _documents(path: Path, named_by: tuple[Document, Key], below: tuple[Path, ...]) -> list[Document]:
    """Reads the files of a recipe, the one that extends nothing first."""
    naming, key = named_by
    found = f"found {describe(naming.value[key[0]])}"
    if not _is_file(path):
        path_shown = describe(str(path)).removeprefix("the text ")
        raise naming.error(key, f"{found}, expected a recipe file (looked for {path_shown})")
    below = (*below, path.resolve())
    if len(set(below)) < len(below) or len(below) > MAX_EXTENDS:
        raise naming.error(key, f"{found}, expected a recipe file that does not extend this one")
    return _extended(read_yaml(path), path.parent, below)


def _extended(document: Document, folder: Path, below: tuple[Path, ...]) -> list[Document]:
    """A recipe's own document, after those that it extends."""
    extended = document.value.get("extends")
    if extended is None:
        return [document]
    if not isinstance(extended, str):
        raise document.error(("extends",), f"found {describe(extended)}, expected text")
    return [*_documents(folder / extended, (document, ("extends",)), below), document]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, or with a null byte
        return False


def _read_file(document: Document, sections: Iterable[str]) -> _File:
    """Splits a file into its values and its header.

    Args:
        document: The file.
        sections: The keys at its top that are values, for the default trainer; none where they are under ``settings``.
    """
    known = set(sections)
    at_top = {key: value for key, value in document.value.items() if key in known}
    rest = {key: value for key, value in document.value.items() if key not in known}
    for key in _OF_A_NAMED_TRAINER if known else ():
        if key in rest:
            raise document.error((key,), "belongs to a recipe that names its trainer (trainer: package.module:name)")
    header = _header(rest, document, known)
    return _File(document, header, at_top if known else header.settings, () if known else ("settings",))


def _header(value: Mapping[str, Any], document: Document, sections: Collection[str]) -> RecipeHeader:
    """Validates the header; ``sections`` are further keys that are valid beside it, for the message."""
    try:
        return RecipeHeader.model_validate(value)
    except ValidationError as error:
        for detail in error.errors() if sections else ():
            if detail["type"] == "extra_forbidden" and len(detail["loc"]) == 1:
                key = str(detail["loc"][0])
                fields = [name for name in RecipeHeader.model_fields if name not in _OF_A_NAMED_TRAINER]
                message = did_you_mean(key, [*fields, *sections])
                raise document.error((key,), f'"{key}" is not a key of a recipe file; {message}') from None
        raise refuse(error, RecipeHeader, document.locate) from None


def _declared_trainer(files: list[_File], naming: Document) -> Trainer:
    """Makes the trainer that the files name, of all that they declare for it."""
    headers = [file.header for file in files]
    defaults: Mapping[str, Any] = {}
    for file in files:
        defaults = overlay(
            defaults, [Setting((name,), value, file.document, ()) for name, value in file.values.items()]
        )
    declared = Declared(
        spec=naming.value["trainer"],
        folder=Path(naming.name).parent,
        settings=defaults,
        metrics={key: metric for header in headers for key, metric in header.metrics.items()},
        inputs=next((tuple(header.inputs) for header in reversed(headers) if header.inputs), ()),
        held_out=next((header.held_out for header in reversed(headers) if header.held_out), {}),
    )
    try:
        return load_trainer(declared)
    except InputError as error:
        raise naming.error(("trainer",), str(error)) from error


def _profile(name: str, spec: ProfileSpec, document: Document, base: Profile | None, trainer: Trainer) -> Profile:
    if problem := unfit_name(name):
        raise document.error(("profiles", name), problem)
    base = base or Profile(name)
    settings = read_patch(document, ("profiles", name, "patch"), spec.patch, key_tree(trainer.settings))
    synthetic = base.synthetic
    if spec.synthetic is not None:
        key: Key = ("profiles", name, "synthetic")
        if trainer.synthetic is None:
            raise document.error(key, "this recipe's trainer makes no synthetic data")
        try:
            synthetic = trainer.synthetic.model_validate(spec.synthetic)
        except ValidationError as error:
            raise refuse(error, trainer.synthetic, lambda inner: document.locate((*key, *inner))) from None
    return Profile(name, spec.description or base.description, (*base.settings, *settings), synthetic)


def read_assumptions(
    declared: Mapping[str, AssumptionSpec], document: Document, tree: Node
) -> dict[str, AssumptionSource]:
    """Reads an ``assumptions:`` block: what is chosen (a setting, ``seeds``, or anything else), and why."""
    return {key: _assumption(key, spec, document, tree) for key, spec in declared.items()}


def _assumption(key: str, spec: AssumptionSpec, document: Document, tree: Node) -> AssumptionSource:
    where: Key = ("assumptions", key)
    problem = None if key == "seeds" else unknown_key(tree, tuple(key.split(".")))
    if problem and not spec.here:
        hint = "" if "." in key else "; a choice that is not a setting says what is done, as here: TEXT"
        raise document.error(where, problem + hint)
    if spec.here and not problem:
        raise document.error((*where, "here"), f"{key} is a setting, whose value is shown by itself: leave this out")
    if not spec.why.strip():
        raise document.error(where, "found no reason, expected a sentence")
    if spec.alternatives and (spec.here or key == "seeds"):
        raise document.error((*where, "alternatives"), "belongs to an assumption about a setting")
    found: list[Setting] = []
    for index, value in enumerate(spec.alternatives):
        (setting,) = read_patch(document, (*where, "alternatives"), {key: value}, tree)
        found.append(replace(setting, source=(*where, "alternatives", index)))
    return AssumptionSource(key, spec.why.strip(), spec.here.strip(), tuple(found))
