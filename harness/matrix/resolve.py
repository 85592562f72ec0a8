"""Resolving one row's recipe: the layers in their order, each value remembering the line that set it."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from harness.errors import InputError
from harness.loaded import load_current
from harness.matrix.declaration import Declaration
from harness.matrix.factors import Factor
from harness.matrix.key_tree import Node
from harness.matrix.levels import Level
from harness.matrix.levels import Setting as Factors
from harness.matrix.patch import Setting, Values, differences, locate_origin, overlay, read_patch, touches
from harness.matrix.recipe import Profile
from harness.matrix.source import Document, Key, read_value
from harness.matrix.studies import Studies
from harness.matrix.validation_errors import refuse


def read_overrides(overrides: Mapping[str, Any], tree: Node) -> tuple[Setting, ...]:
    """``--set`` as settings of single values; text is read as YAML reads it."""
    settings: list[Setting] = []
    for key, text in overrides.items():
        value = read_value(text, f"--set {key}") if isinstance(text, str) else text
        values = dict(_single_values(key, value))
        settings += read_patch(Document("--set", values, {}), (), values, tree)
    return tuple(settings)


def _single_values(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """A mapping value by value, since a factor may govern some of them; one with a ``kind`` stays whole."""
    if isinstance(value, Mapping) and value and "kind" not in value:
        for name, inner in value.items():
            yield from _single_values(f"{key}.{name}", inner)
    else:
        yield key, value


@dataclass
class Resolver:
    """Resolves rows' recipes over what they have in common."""

    table: Path
    """The table file, for messages."""
    model: type[BaseModel]
    """The trainer's settings."""
    factors: Mapping[str, Factor]
    settings: tuple[Setting, ...]
    """The base of every row: recipe, profile, the table's ``set``."""
    overrides: tuple[Setting, ...]
    """``--set``, laid last."""
    studies: Studies
    """Where ``{from: STUDY}`` is looked up."""

    def __post_init__(self) -> None:
        self.base: Values = overlay({}, self.settings)
        factors = self.factors.values()
        self.governed = {
            override.key: {factor.name: levels for factor in factors if (levels := _governing(factor, override.key))}
            for override in self.overrides
        }
        self.applied: set[tuple[str, ...]] = set()

    def recipe(self, row: str, factors: Factors, row_settings: Sequence[Setting]) -> BaseModel:
        """The recipe of the row with the id ``row`` that sets the ``factors`` so.

        Raises:
            InputError: if it is not a valid recipe: each wrong value by the line that set it.
        """
        settings, values = self.settings, self.base
        for name, factor in self.factors.items():
            own = factor.patches[factors[name]]
            settings, values = (*settings, *own), overlay(values, own)
            if factor.apply is not None and factors[name]:
                changed, values = _apply(factor, self._validated(values, settings, row))
                settings = (*settings, *changed)
        last = (*row_settings, *self._overrides_of(factors))
        return self._validated(overlay(values, last), (*settings, *last), row)

    def values(self, factors: Factors, row_settings: Sequence[Setting]) -> Values:
        """The values of such a row, not validated, without what a factor's function would change."""
        return overlay(self.base, self._above_base(factors, row_settings))

    def place(self, factors: Factors, row_settings: Sequence[Setting], key: str) -> str:
        """``file:line: dotted.key`` of what gives such a row the value at ``key``."""
        return locate_origin((*self.settings, *self._above_base(factors, row_settings)), tuple(key.split(".")))

    def _above_base(self, factors: Factors, row_settings: Sequence[Setting]) -> Iterator[Setting]:
        for name, factor in self.factors.items():
            yield from factor.patches[factors[name]]
        yield from row_settings
        yield from self._overrides_of(factors)

    def _overrides_of(self, factors: Factors) -> Iterator[Setting]:
        for override in self.overrides:
            governed = self.governed[override.key]
            if not governed or any(factors[name] in levels for name, levels in governed.items()):
                self.applied.add(override.key)
                yield override

    def check_overrides(self) -> None:
        """An override that no row takes is refused rather than recorded as if one had."""
        for override in self.overrides:
            governed = sorted(self.governed[override.key])
            if governed and override.key not in self.applied:
                key = ".".join(override.key)
                reason = f"{key} belongs to {', '.join(governed)}, which no row turns on"
                raise InputError(f"--set {key}: changes no row of this table: {reason}")

    def _validated(self, values: Values, settings: Sequence[Setting], row: str) -> BaseModel:
        values = self.studies.fill(values, row, lambda key: locate_origin(settings, key))
        try:
            return self.model.model_validate(values)
        except ValidationError as error:
            refusal = refuse(error, self.model, lambda key: locate_origin(settings, key))
            raise InputError(f'{refusal}\n(in row "{row}" of {self.table})') from None


def resolver_of(
    declaration: Declaration, profile: Profile, overrides: Mapping[str, Any] | None, studies: Studies
) -> Resolver:
    """The resolver of a table's rows under a profile, ``--set`` laid last."""
    recipe, settings = declaration.recipe, declaration.settings(profile.name)
    laid_last = read_overrides(overrides or {}, recipe.tree)
    return Resolver(declaration.path, recipe.trainer.settings, recipe.factors, settings, laid_last, studies)


def _governing(factor: Factor, key: tuple[str, ...]) -> tuple[Level, ...]:
    """The levels of a factor whose rows take an override of the value at ``key``; none if it does not set the value.

    Raises:
        InputError: If several levels set it: one value would make them one.
    """
    setting = [level for level, own in factor.patches.items() if any(touches(each, key) for each in own)]
    if not any(isinstance(level, str) for level in setting):
        return (True,) if setting else ()
    if len(setting) > 1:
        dotted, levels = ".".join(key), " and ".join(map(str, setting))
        where = factor.document.place((*factor.source, "levels"))
        reason = f"{factor.name} sets it by level ({levels}), and one value would make them all the same"
        raise InputError(f"--set {dotted}: {reason}; change them at {where}")
    return tuple(setting)


def _apply(factor: Factor, recipe: BaseModel) -> tuple[tuple[Setting, ...], Values]:
    """Calls a factor's own function on the whole recipe, defaults filled in; what it changed, and the result."""
    source: Key = (*factor.source, "apply")
    place = factor.document.locate(source)
    try:
        function = load_current(str(factor.apply))
    except InputError as error:
        raise InputError(f"{place}: {error}") from error
    before = recipe.model_dump(by_alias=True)
    try:
        after = function(deepcopy(before))
    except Exception as error:
        raise InputError(f"{place}: {factor.apply} failed: {type(error).__name__}: {error}") from error
    if not isinstance(after, dict):
        raise InputError(f"{place}: {factor.apply} returned {type(after).__name__}, expected the recipe as a dict")
    changed = tuple(Setting(key, value, factor.document, source) for key, value in differences(before, after))
    return changed, after
