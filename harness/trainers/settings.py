"""The settings of a user's code as a pydantic model: from the types that it annotates, else from the values in YAML."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, TypeAdapter, create_model

from harness.errors import InputError, did_you_mean

_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, validate_default=True)


class Values(dict[str, Any]):
    """Settings as YAML gives them: ``settings["hidden"]`` or ``settings.hidden``."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f'no setting "{name}"; {did_you_mean(name, self)}') from None


def settings_model(declared: Mapping[str, Any], annotations: Iterable[type | None]) -> type[BaseModel]:
    """Returns the model of a recipe's ``settings:``.

    Args:
        declared: The values in YAML: names, defaults and, where nothing annotates them, types.
        annotations: For each step the dataclass or pydantic model that its function annotates, or None.

    Raises:
        InputError: If YAML declares a setting that the annotated code does not have.
    """
    fields: dict[str, tuple[Any, Any]] = {}
    annotated = [annotation for annotation in annotations if annotation is not None]
    for annotation in annotated:
        fields |= _fields_of(annotation)
    for name, value in declared.items():
        if not name.isidentifier():
            raise InputError(f'settings: "{name}": expected a name as Python has them (letters, digits, _)')
        if name in fields:
            fields[name] = (fields[name][0], value)
        elif annotated and all(annotations):
            raise InputError(f'settings: "{name}": the code has no such setting; {did_you_mean(name, fields)}')
        else:
            fields[name] = (_type_of(value, name), value)
    return create_model("Settings", __config__=_STRICT, **fields)  # type: ignore[call-overload, no-any-return]


def settings_for(values: Mapping[str, Any], annotation: type | None) -> Any:
    """Returns plain values as the code wants them: its dataclass, its model, or ``Values``."""
    if annotation is None:
        return _as_values(values)
    return TypeAdapter(annotation).validate_python(dict(values))


def annotation_of(function: Any) -> type | None:
    """Returns the dataclass or pydantic model that a function's first parameter is annotated with; None for another."""
    names = list(getattr(function, "__annotations__", {}))
    code = getattr(function, "__code__", None)
    first = code.co_varnames[0] if code is not None and code.co_argcount else None
    if first is None or first not in names:
        return None
    found = get_type_hints(function).get(first)
    is_typed = dataclasses.is_dataclass(found) or (isinstance(found, type) and issubclass(found, BaseModel))
    return found if isinstance(found, type) and is_typed else None


def _fields_of(annotation: type) -> dict[str, tuple[Any, Any]]:
    if issubclass(annotation, BaseModel):
        return {
            name: (field.annotation, ... if field.is_required() else field.get_default(call_default_factory=True))
            for name, field in annotation.model_fields.items()
        }
    hints = get_type_hints(annotation)
    fields: dict[str, tuple[Any, Any]] = {}
    for field in dataclasses.fields(annotation):  # type: ignore[arg-type]
        default: Any = ...
        if field.default is not dataclasses.MISSING:
            default = field.default
        elif field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        fields[field.name] = (_model_of(hints[field.name]), _plain(default))
    return fields


def _model_of(hint: Any) -> Any:
    """A nested dataclass as a model, so that its keys are known; any other type as it is."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return create_model(hint.__name__, __config__=_STRICT, **_fields_of(hint))  # type: ignore[call-overload]
    return hint


def _plain(default: Any) -> Any:
    return (
        dataclasses.asdict(default) if dataclasses.is_dataclass(default) and not isinstance(default, type) else default
    )


def _type_of(value: Any, name: str) -> Any:
    """The type that a value in YAML declares: a whole number stays one, a mapping becomes a model."""
    if isinstance(value, bool):
        return bool
    if isinstance(value, int | float | str):
        return type(value)
    if isinstance(value, Mapping):
        inner = {key: (_type_of(entry, key), entry) for key, entry in value.items()}
        return create_model(name.title(), __config__=_STRICT, **inner)  # type: ignore[call-overload]
    if isinstance(value, Sequence):
        return list[Any]
    return Any


def _as_values(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Values({key: _as_values(inner) for key, inner in value.items()})
    return [_as_values(item) for item in value] if isinstance(value, list) else value
