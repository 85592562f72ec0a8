"""The settings of a user's code as a pydantic model, made from its annotations, or else from the values in YAML."""

import dataclasses
import inspect
import types
import warnings
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from pathlib import PurePath
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, PlainSerializer, Strict, TypeAdapter, create_model

from harness.errors import InputError, did_you_mean

_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, validate_default=True)


_FROM_TEXT_OR_LIST = (tuple, set, frozenset, Enum, PurePath)
"""Types without a YAML syntax, read from text and lists."""


class Values(dict[str, Any]):
    """Settings as YAML gives them: ``settings["hidden"]`` or ``settings.hidden``, even one called ``items``."""

    def __getattribute__(self, name: str) -> Any:
        return self[name] if dict.__contains__(self, name) else super().__getattribute__(name)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f'no setting "{name}"; {did_you_mean(name, list(dict.keys(self)))}')


def settings_model(declared: Mapping[str, Any], annotations: Iterable[type | None]) -> type[BaseModel]:
    """Returns the model of a recipe's ``settings:``.

    Args:
        declared: The values in YAML: names, defaults and, without annotations, types.
        annotations: For each step the annotated dataclass or pydantic model of its function, or None.

    Raises:
        InputError: If YAML declares a setting that the annotated code does not have.
    """
    fields: dict[str, tuple[Any, Any]] = {}
    annotated = [annotation for annotation in annotations if annotation is not None]
    for annotation in annotated:
        fields |= _fields_of(annotation)
    for name, value in declared.items():
        if not name.isidentifier() or name.startswith("_"):
            rule = "expected a name as Python has them (letters, digits, _), the first a letter"
            raise InputError(f'settings: "{name}": {rule}')
        if name.startswith("model_") and hasattr(BaseModel, name):
            raise InputError(f'settings: "{name}": expected another name, since pydantic uses this one')
        if name in fields:
            fields[name] = (fields[name][0], value)
        elif annotated and all(annotations):
            raise InputError(f'settings: "{name}": the code has no such setting; {did_you_mean(name, fields)}')
        else:
            fields[name] = (_type_of(value, name), value)
    with warnings.catch_warnings():  # a setting may have the name of one of pydantic's old methods (copy, json)
        warnings.filterwarnings("ignore", message='Field name ".*" in "Settings" shadows')
        return create_model("Settings", __config__=_STRICT, **fields)  # type: ignore[call-overload, no-any-return]


def settings_for(values: Mapping[str, Any], annotation: type | None) -> Any:
    """Converts plain values to the type that the code expects: its dataclass, its model, or ``Values``."""
    if annotation is None:
        return _as_values(values)
    return TypeAdapter(annotation).validate_python(dict(values))


def annotation_of(function: Any) -> type | None:
    """Returns the dataclass or pydantic model that a function's first parameter is annotated with; None for another."""
    try:
        parameter = next(iter(inspect.signature(function).parameters.values()))
    except (TypeError, ValueError, StopIteration):  # written in C, or without parameters
        return None
    found = parameter.annotation
    if isinstance(found, str):  # the other parameters' may name what only a type checker imports
        scope = getattr(inspect.unwrap(function), "__globals__", {})
        found = _hints(types.SimpleNamespace(__annotations__={parameter.name: found}), scope)[parameter.name]
    is_typed = dataclasses.is_dataclass(found) or (isinstance(found, type) and issubclass(found, BaseModel))
    return found if isinstance(found, type) and is_typed else None


def _hints(annotated: Any, scope: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Returns the types in an object's annotations.

    Raises:
        InputError: If one is imported only for type checkers.
    """
    try:
        return get_type_hints(annotated, None if scope is None else dict(scope), include_extras=True)
    except NameError as error:
        raise InputError(
            f"the settings' annotation names {error.name}, which is not there when the code runs; "
            "import it outside of `if TYPE_CHECKING`"
        ) from None


def _fields_of(annotation: type) -> dict[str, tuple[Any, Any]]:
    if issubclass(annotation, BaseModel):
        return {
            name: (
                _model_of(_with_metadata(field)),
                ... if field.is_required() else field.get_default(call_default_factory=True),
            )
            for name, field in annotation.model_fields.items()
        }
    hints = _hints(annotation)
    fields: dict[str, tuple[Any, Any]] = {}
    for field in dataclasses.fields(annotation):  # type: ignore[arg-type]
        default: Any = ...
        if field.default is not dataclasses.MISSING:
            default = field.default
        elif field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        fields[field.name] = (_model_of(hints[field.name]), _plain(default))
    return fields


def _with_metadata(field: Any) -> Any:
    """Returns the type of a pydantic field with its bounds, which ``Field(gt=0)`` stores separately."""
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


def _model_of(hint: Any) -> Any:
    """Returns the type for validating a value in YAML: as strict as the annotation, for values that YAML has.

    A nested dataclass becomes a model, so that its keys are checked; a tuple, a set, a path and an enumeration are read
    from a list or from text.
    """
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return create_model(hint.__name__, __config__=_STRICT, **_fields_of(hint))  # type: ignore[call-overload]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return Annotated[(_model_of(arguments[0]), *arguments[1:])]
    if origin in (Union, types.UnionType):
        return Union[tuple(_model_of(argument) for argument in arguments)]  # noqa: UP007 - of a computed tuple
    if isinstance(origin, type) and origin in (list, dict, tuple, set, frozenset):
        inner = tuple(argument if argument is ... else _model_of(argument) for argument in arguments)
        hint = origin[inner]
    kind = origin or hint
    if not (isinstance(kind, type) and issubclass(kind, _FROM_TEXT_OR_LIST)):
        return hint
    in_order = (PlainSerializer(sorted, list[Any]),) if issubclass(kind, set | frozenset) else ()
    return Annotated[(hint, Strict(False), *in_order)]


def _plain(default: Any) -> Any:
    return (
        dataclasses.asdict(default) if dataclasses.is_dataclass(default) and not isinstance(default, type) else default
    )


def _type_of(value: Any, name: str) -> Any:
    """Returns the type of a value in YAML: an integer stays an integer, a mapping becomes a model."""
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
