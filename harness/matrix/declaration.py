"""Reading a declaration: the table file and its recipe, checked as far as possible without a profile."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.errors import InputError, did_you_mean
from harness.matrix.generate import check_generated, generated_rows
from harness.matrix.levels import Levels, read_mention, setting_of
from harness.matrix.naming import named_after
from harness.matrix.patch import Setting, read_patch
from harness.matrix.recipe import (
    AssumptionSource,
    Profile,
    RecipeSource,
    read_assumptions,
    read_recipe,
)
from harness.matrix.schema import GenerateSpec, TableSpec
from harness.matrix.source import Document, Key, read_yaml
from harness.matrix.validation_errors import known, located, validated


@dataclass(frozen=True)
class Declaration:
    """A table file and its recipe, read and checked, not yet expanded under a profile."""

    path: Path
    name: str
    table: TableSpec
    document: Document
    recipe: RecipeSource
    sets: Mapping[Key, tuple[Setting, ...]]
    """The settings of every ``set`` of the table file, by its place in the file."""
    assumptions: Mapping[str, AssumptionSource]
    """The recipe's, and over them the table's own."""

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
            message = f'"{name}" is not a profile of this table; {did_you_mean(name, self.profiles)}'
            raise InputError(f"{self.path}: {message}")
        return self.profiles[name]

    @cached_property
    def named_factors(self) -> tuple[str, ...]:
        """The factors that a row or a generator names, in the recipe's order: what the table is about."""
        generate = self.table.generate or GenerateSpec()
        generators = [spec for spec in vars(generate).values() if spec is not None]
        mentions = [name for row in self.table.rows for name in row.factors]
        mentions += [name for spec in generators for name in (*spec.factors, *spec.base)]
        named = {read_mention(mention, self.recipe.levels).factor for mention in dict.fromkeys(mentions)}
        return tuple(factor for factor in self.recipe.factors if factor in named)

    def settings(self, profile: str | None) -> tuple[Setting, ...]:
        """The settings below every row's factors: recipe, profile, the table's ``set``, its profile's ``set``."""
        chosen = self.profile(profile)
        own = self.sets.get(("profiles", chosen.name, "set"), ())
        return (*self.recipe.settings, *chosen.settings, *self.sets[("set",)], *own)


def read_declaration(source: Path | Mapping[str, Any]) -> Declaration:
    """Reads a table, from its file or from the values that such a file would hold, and its recipe.

    Args:
        source: The file; or the values of its keys, ``name`` among them, names of files in it relative to the current
            folder.

    Raises:
        InputError: for anything that is wrong in them, by file, line and key.
    """
    if isinstance(source, Path):
        path, document = source, read_yaml(source)
    else:
        path = Path(f"table {source.get('name')}")
        document = Document(str(path), source, {})
    table = validated(TableSpec, document.value, document)
    recipe = read_recipe(document, path.parent)
    name, problem = (table.name, None) if table.name else named_after(path)
    if problem:
        raise document.error(("name",), problem)
    sets: dict[Key, tuple[Setting, ...]] = {("set",): read_patch(document, ("set",), table.set, recipe.tree)}
    for profile, changes in table.profiles.items():
        known(document, ("profiles", profile), profile, "profile", recipe.profiles)
        key: Key = ("profiles", profile, "set")
        sets[key] = read_patch(document, key, changes.set, recipe.tree)
    for index, row in enumerate(table.rows):
        _check_mentions(row.factors, index, document, recipe.levels)
        sets[("rows", index, "set")] = read_patch(document, ("rows", index, "set"), row.set, recipe.tree)
        for profile, change in row.profiles.items():
            known(document, ("rows", index, "profiles", profile), profile, "profile", recipe.profiles)
            key = ("rows", index, "profiles", profile, "set")
            sets[key] = read_patch(document, key, change.set, recipe.tree)
    _check_generated(table, document, recipe.levels)
    _check_ids(table, document, recipe.levels)
    own = read_assumptions(table.assumptions, document, recipe.tree)
    return Declaration(path, name, table, document, recipe, sets, {**recipe.assumptions, **own})


def _check_mentions(mentions: Sequence[str], index: int, document: Document, levels: Levels) -> None:
    """Checks the factors that a row mentions, in a list or as a mapping."""
    source: Key = ("rows", index, "factors")
    written = document.value["rows"][index]["factors"]
    for position, text in enumerate(mentions):
        key: Key = (*source, list(written)[position] if isinstance(written, Mapping) else position)
        with located(document, key):
            setting_of([text], levels)
    with located(document, source):
        setting_of(mentions, levels)


def _check_generated(table: TableSpec, document: Document, levels: Levels) -> None:
    generate = table.generate
    if generate is None:
        if not table.rows:
            raise document.error(("rows",), "found no rows, expected some here or a generate: block")
        return
    if generate == GenerateSpec():
        raise document.error(("generate",), "expected full_factorial, leave_one_out or add_one_in")
    for key, message in check_generated(generate, levels):
        raise document.error(key, message)


def _check_ids(table: TableSpec, document: Document, levels: Levels) -> None:
    """Row ids and cited methods are unique, and claims name rows and methods that there are."""
    lines: dict[str, Key] = {}
    for index, row in enumerate(table.rows):
        if row.id in lines:
            first = document.place(lines[row.id])
            raise document.error(("rows", index, "id"), f'a second row "{row.id}" (the first: {first})')
        lines[row.id] = ("rows", index, "id")
    for generated in generated_rows(table.generate, levels) if table.generate else ():
        if generated.id in lines:
            first = document.place(lines[generated.id])
            raise document.error(generated.source, f'generates a second row "{generated.id}" (the first: {first})')
        lines[generated.id] = generated.source
    _check_cited(table, document, lines)
    _check_claims(table, document, lines)


def _check_cited(table: TableSpec, document: Document, lines: dict[str, Key]) -> None:
    lines = dict(lines)
    for index, cited in enumerate(table.cited):
        if cited.method in lines:
            first = document.place(lines[cited.method])
            message = f'found "{cited.method}", which is already the name of another method or row (the first: {first})'
            raise document.error(("cited", index, "method"), message)
        lines[cited.method] = ("cited", index, "method")


def _check_claims(table: TableSpec, document: Document, rows: Collection[str]) -> None:
    """A claim compares two rows, or a row with a cited method that has a number in its metric."""
    cited = {one.method: one for one in table.cited}
    for index, claim in enumerate(table.claims):
        for side in ("better", "than"):
            key, name = ("claims", index, side), getattr(claim, side)
            known(document, key, name, "row or cited method" if cited else "row", [*rows, *cited])
            if name in cited and claim.metric not in cited[name].values:
                message = (
                    f'the cited method "{name}" has no {claim.metric}; expected one of {", ".join(cited[name].values)}'
                )
                raise document.error(key, message)
        if claim.better == claim.than:
            raise document.error(("claims", index, "than"), f'compares row "{claim.than}" with itself')
        if {claim.better, claim.than} <= cited.keys():
            message = f'compares two cited methods, "{claim.better}" and "{claim.than}"; expected a row on one side'
            raise document.error(("claims", index, "than"), message)
