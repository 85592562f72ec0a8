"""The assumptions of a table, each with the value that its rows really use."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel

from harness.matrix.declaration import Declaration
from harness.matrix.matrix import Assumption, Row
from harness.matrix.patch import Values, touches, value_at
from harness.matrix.recipe import Profile
from harness.matrix.resolve import Resolver


def assumptions_of(
    declaration: Declaration, profile: Profile, resolver: Resolver, rows: Sequence[Row], seeds: tuple[int, ...]
) -> tuple[Assumption, ...]:
    """The assumptions with their values as the rows use them; a value that the profile or --set gave says so."""
    assumptions: list[Assumption] = []
    for key, source in declaration.assumptions.items():
        if source.here:
            assumptions.append(Assumption(key, source.here, source.reason, setting=False))
            continue
        if key == "seeds":
            assumptions.append(Assumption(key, list(seeds), source.reason))
            continue
        value = _assumed(resolver.base, rows, key)
        path = tuple(key.split("."))
        changed_by = [
            name
            for name, settings in ((f"the profile {profile.name}", profile.settings), ("--set", resolver.overrides))
            if any(touches(setting, path) for setting in settings)
        ]
        reason = f"{source.reason} (here set by {' and '.join(changed_by)})" if changed_by else source.reason
        alternatives = tuple(setting.value for setting in source.alternatives)
        assumptions.append(Assumption(key, value, reason, alternatives))
    return tuple(assumptions)


def _assumed(base: Values, rows: Sequence[Row], key: str) -> Any:
    if not rows:
        return value_at(base, key.split("."))
    found: dict[str, tuple[Any, list[str]]] = {}
    for row in rows:
        value = value_of(row.recipe, key)
        found.setdefault(repr(value), (value, []))[1].append(row.id)
    if len(found) == 1:
        return next(iter(found.values()))[0]
    values = (f"{value} (rows {', '.join(ids)})" for value, ids in found.values())
    return f"varies: {'; '.join(values)}"


def value_of(recipe: BaseModel, key: str) -> Any:
    """The value of a dotted key in a resolved recipe, defaults included."""
    value: Any = recipe
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else getattr(value, _field(value, part), None)
    return value.model_dump(by_alias=True) if hasattr(value, "model_dump") else value


def _field(model: Any, part: str) -> str:
    """The attribute behind a key: a field may have another name in YAML."""
    return _aliases(type(model)).get(part, part) if isinstance(model, BaseModel) else part


@cache
def _aliases(model: type[BaseModel]) -> Mapping[str, str]:
    """The names of the fields that have another name in YAML, by that name."""
    return {field.alias: name for name, field in model.model_fields.items() if field.alias is not None}
