"""Reading a declaration: the table file and its recipe files, checked as far as that goes without a profile."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from harness.errors import InputError, did_you_mean
from harness.matrix.generate import MAX_FACTORS, generated_rows
from harness.matrix.matrix import Synthetic
from harness.matrix.naming import named_after, unfit_name
from harness.matrix.patch import Setting, overlay, read_patch, value_at
from harness.matrix.schema import FactorSpec, GenerateSpec, ProfileSpec, RecipeHeader, TableSpec
from harness.matrix.source import Document, Key, describe, read_yaml
from harness.matrix.vocabulary import key_tree, unknown_key
from harness.matrix.wording import refuse
from harness.recipe import Recipe

MAX_EXTENDS = 8

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Factor:
    """A toggle of the ablation, read and checked."""

    name: str
    description: str
    on: tuple[Setting, ...]
    off: tuple[Setting, ...]
    requires: tuple[str, ...]
    excludes: tuple[str, ...]
    apply: str | None
    document: Document
    source: Key


@dataclass(frozen=True)
class Profile:
    """A named overlay of the recipe."""

    name: str
    description: str = ""
    settings: tuple[Setting, ...] = ()
    synthetic: Synthetic | None = None


@dataclass(frozen=True)
class AssumptionSource:
    """An assumption before its value is known."""

    key: str
    reason: str


@dataclass(frozen=True)
class RecipeSource:
    """A recipe file with all that it extends, before any profile or factor is laid over it."""

    settings: tuple[Setting, ...]
    factors: Mapping[str, Factor]
    profiles: Mapping[str, Profile]
    assumptions: Mapping[str, AssumptionSource]


@dataclass(frozen=True)
class Declaration:
    """A table file and its recipe, read and checked, not yet expanded under a profile."""

    path: Path
    name: str
    table: TableSpec
    document: Document
    recipe: RecipeSource
    sets: Mapping[Key, tuple[Setting, ...]]
    """The settings of every ``set`` of the table file, by where it stands."""

    @property
    def profiles(self) -> Mapping[str, Profile]:
        """The profiles to choose from, in declared order; a recipe without any has one, ``default``, that is empty."""
        return self.recipe.profiles or {"default": Profile("default")}

    def profile(self, name: str | None) -> Profile:
        """The profile called ``name``; for None the first one declared.

        Raises:
            InputError: if there is none of that name.
        """
        if name is None:
            return next(iter(self.profiles.values()))
        if name not in self.profiles:
            raise InputError(f'{self.path}: "{name}" is no profile of this table; {did_you_mean(name, self.profiles)}')
        return self.profiles[name]

    def settings(self, profile: str | None) -> tuple[Setting, ...]:
        """What holds for every row before its factors: recipe, profile, the table's ``set``, its profile's ``set``."""
        chosen = self.profile(profile)
        own = self.sets.get(("profiles", chosen.name, "set"), ())
        return (*self.recipe.settings, *chosen.settings, *self.sets[("set",)], *own)

    def dataset(self, profile: str | None) -> str:
        """The data set that the recipe names under a profile, without expanding any row."""
        settings = self.settings(profile)
        found = value_at(overlay({}, settings), ("data", "dataset"))
        if not isinstance(found, str):
            raise InputError(f"{self.path}: data.dataset: found {describe(found)}, expected the name of a data set")
        return found


def read_declaration(path: Path) -> Declaration:
    """Reads a table file and the recipe that it names.

    Raises:
        InputError: for anything that is wrong in them, by file, line and key.
    """
    document = read_yaml(path)
    table = _validated(TableSpec, document.value, document)
    recipe = read_recipe(path.parent / table.recipe, (document, ("recipe",)))
    name, problem = (table.name, None) if table.name else named_after(path)
    if problem:
        raise document.error(("name",), problem)
    sets: dict[Key, tuple[Setting, ...]] = {("set",): read_patch(document, ("set",), table.set)}
    for profile, changes in table.profiles.items():
        _known(document, ("profiles", profile), profile, "profile", recipe.profiles)
        key: Key = ("profiles", profile, "set")
        sets[key] = read_patch(document, key, changes.set)
    for index, row in enumerate(table.rows):
        for position, factor in enumerate(row.factors):
            _known(document, ("rows", index, "factors", position), factor, "factor", recipe.factors)
        sets[("rows", index, "set")] = read_patch(document, ("rows", index, "set"), row.set)
        for profile, change in row.profiles.items():
            _known(document, ("rows", index, "profiles", profile), profile, "profile", recipe.profiles)
            key = ("rows", index, "profiles", profile, "set")
            sets[key] = read_patch(document, key, change.set)
    _check_generated(table, document, recipe.factors)
    _check_ids(table, document)
    _assumptions(table.assumptions, document)
    return Declaration(path, name, table, document, recipe, sets)


def read_recipe(path: Path, named_by: tuple[Document, Key], below: tuple[Path, ...] = ()) -> RecipeSource:
    """Reads a recipe file and those that it extends.

    Args:
        path: The file.
        named_by: The value that names the file, for messages about it.
        below: The files that extend this one, resolved.

    Raises:
        InputError: for anything that is wrong in the files, by file, line and key.
    """
    naming, key = named_by
    found = f"found {describe(naming.value[key[0]])}"
    if not _is_file(path):
        path_shown = describe(str(path)).removeprefix("the text ")
        raise naming.error(key, f"{found}, expected a recipe file (looked for {path_shown})")
    below = (*below, path.resolve())
    if len(set(below)) < len(below) or len(below) > MAX_EXTENDS:
        raise naming.error(key, f"{found}, expected a recipe file that does not extend this one")
    document = read_yaml(path)
    header = _validated(
        RecipeHeader, {key: value for key, value in document.value.items() if key not in Recipe.model_fields}, document
    )
    base = RecipeSource((), {}, {}, {})
    if header.extends is not None:
        base = read_recipe(path.parent / header.extends, (document, ("extends",)), below)
    values = {key: value for key, value in document.value.items() if key in Recipe.model_fields}
    settings = (*base.settings, *read_patch(document, (), values))
    if not settings:
        raise naming.error(key, f"{found}, expected a recipe file, but it holds no recipe values (data, model, ...)")
    factors = {**base.factors, **{name: _factor(name, spec, document) for name, spec in header.factors.items()}}
    _check_factors(factors)
    profiles = dict(base.profiles)
    for name, spec in header.profiles.items():
        profiles[name] = _profile(name, spec, document, profiles.get(name))
    assumptions = {**base.assumptions, **_assumptions(header.assumptions, document)}
    return RecipeSource(settings, factors, profiles, assumptions)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, or with a null byte
        return False


def _validated(model: type[Model], value: Any, document: Document) -> Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        if model is RecipeHeader:
            _name_recipe_keys(error, document)
        raise refuse(error, model, document.tell) from None


def _name_recipe_keys(error: ValidationError, document: Document) -> None:
    """For an unknown key at the top of a recipe file: the recipe's own sections are valid names as well."""
    for detail in error.errors():
        if detail["type"] == "extra_forbidden" and len(detail["loc"]) == 1:
            key = str(detail["loc"][0])
            told = did_you_mean(key, [*RecipeHeader.model_fields, *Recipe.model_fields])
            raise document.error((key,), f'"{key}" is no key of a recipe file; {told}') from None


def _known(document: Document, key: Key, name: str, what: str, valid: Iterable[str]) -> None:
    if name not in (valid := list(valid)):
        told = did_you_mean(name, valid) if valid else f"the recipe declares no {what}"
        raise document.error(key, f'"{name}" is no {what}; {told}')


def _factor(name: str, spec: FactorSpec, document: Document) -> Factor:
    source: Key = ("factors", name)
    if problem := unfit_name(name):
        raise document.error(source, problem)
    if spec.apply is not None and not all(part.strip() for part in spec.apply.partition(":")):
        raise document.error((*source, "apply"), f'found "{spec.apply}", expected "package.module:name"')
    return Factor(
        name=name,
        description=spec.description,
        on=read_patch(document, (*source, "patch"), spec.patch),
        off=read_patch(document, (*source, "off"), spec.off),
        requires=tuple(spec.requires),
        excludes=tuple(spec.excludes),
        apply=spec.apply,
        document=document,
        source=source,
    )


def _check_factors(factors: Mapping[str, Factor]) -> None:
    for factor in factors.values():
        for kind, names in (("requires", factor.requires), ("excludes", factor.excludes)):
            for position, name in enumerate(names):
                key = (*factor.source, kind, position)
                _known(factor.document, key, name, "factor", factors)
                if name == factor.name:
                    raise factor.document.error(key, f"{name} {kind} itself")
        if both := set(factor.requires) & set(factor.excludes):
            raise factor.document.error(factor.source, f"both requires and excludes {', '.join(sorted(both))}")


def _profile(name: str, spec: ProfileSpec, document: Document, base: Profile | None) -> Profile:
    if problem := unfit_name(name):
        raise document.error(("profiles", name), problem)
    base = base or Profile(name)
    settings = read_patch(document, ("profiles", name, "patch"), spec.patch)
    synthetic = spec.synthetic and Synthetic(**spec.synthetic.model_dump())
    return Profile(name, spec.description or base.description, (*base.settings, *settings), synthetic or base.synthetic)


def _assumptions(declared: Mapping[str, str], document: Document) -> dict[str, AssumptionSource]:
    for key, reason in declared.items():
        where: Key = ("assumptions", key)
        problem = None if key == "seeds" else unknown_key(key_tree(Recipe), tuple(key.split(".")))
        if problem:
            raise document.error(where, problem)
        if not reason.strip():
            raise document.error(where, "found no reason, expected a sentence")
    return {key: AssumptionSource(key, reason.strip()) for key, reason in declared.items()}


def _check_generated(table: TableSpec, document: Document, factors: Mapping[str, Factor]) -> None:
    generate = table.generate
    if generate is None:
        if not table.rows:
            raise document.error(("rows",), "found no rows, expected some here or a generate: block")
        return
    if generate == GenerateSpec():
        raise document.error(("generate",), "expected full_factorial, leave_one_out or add_one_in")
    if generate.full_factorial and len(generate.full_factorial.factors) > MAX_FACTORS:
        found = len(generate.full_factorial.factors)
        raise document.error(
            ("generate", "full_factorial", "factors"), f"found {found} factors, expected at most {MAX_FACTORS}"
        )
    for kind, spec in document.value["generate"].items():
        for key, names in (spec or {}).items():
            for position, name in enumerate(names):
                _known(document, ("generate", kind, key, position), name, "factor", factors)


def _check_ids(table: TableSpec, document: Document) -> None:
    """Row ids and cited methods are unique, and claims name rows that there are."""
    lines: dict[str, Key] = {}
    for index, row in enumerate(table.rows):
        if row.id in lines:
            first = document.place(lines[row.id])
            raise document.error(("rows", index, "id"), f'a second row "{row.id}" (the first: {first})')
        lines[row.id] = ("rows", index, "id")
    for generated in generated_rows(table.generate) if table.generate else ():
        if generated.id in lines:
            first = document.place(lines[generated.id])
            raise document.error(generated.source, f'generates a second row "{generated.id}" (the first: {first})')
        lines[generated.id] = generated.source
    rows = list(lines)
    for index, cited in enumerate(table.cited):
        if cited.method in lines:
            first = document.place(lines[cited.method])
            told = f'found "{cited.method}", which is already the name of another method or row (the first: {first})'
            raise document.error(("cited", index, "method"), told)
        lines[cited.method] = ("cited", index, "method")
    for index, claim in enumerate(table.claims):
        for side in ("better", "than"):
            _known(document, ("claims", index, side), getattr(claim, side), "row", rows)
        if claim.better == claim.than:
            raise document.error(("claims", index, "than"), f'compares row "{claim.than}" with itself')
