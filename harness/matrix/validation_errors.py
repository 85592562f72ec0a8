"""Validates values of files, and formats the errors for users: what was found, what was expected, how to fix it."""

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from harness.errors import InputError, did_you_mean, nearest
from harness.matrix.key_tree import key_tree, node_at, without_tags
from harness.matrix.source import Document, Key, describe, plain_scalar

MAX_PROBLEMS = 10

Model = TypeVar("Model", bound=BaseModel)

_EXPECTED: dict[str, str] = {
    "float_type": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
    "model_attributes_type": "a mapping (key: value)",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le}",
    "finite_number": "a finite number",
    "string_too_short": "text that is not empty",
    "string_unicode": "text of whole Unicode characters",
    "string_pattern_mismatch": 'at most 80 letters, digits, ".", "_" and "-", the first a letter or digit',
    "too_short": "at least {min_length}",
    "union_tag_not_found": "a mapping with the key {discriminator}",
}
_NUMBERS = {"float_type", "int_type", "int_from_float"}


def refuse(error: ValidationError, model: type[BaseModel], locate: Callable[[Key], str]) -> InputError:
    """Returns one error that lists the problems of a ``model``, a line each; ``locate`` returns the place of a key."""
    tree = key_tree(model)
    problems: dict[tuple[Key, str], None] = {}
    for detail in error.errors(include_url=False):
        key: Key = without_tags(tree, detail["loc"])
        context = detail.get("ctx", {})
        if detail["type"] == "refused":
            key, sentence = (*key, *context.get("path", ())), str(context["message"])
        elif detail["type"] == "extra_forbidden":
            node = node_at(tree, key[:-1])
            if node.kinds and len(detail["loc"]) > 1:
                node = node.kinds.get(str(detail["loc"][-2]), node)
            names = list(node.fields or {})
            sentence = f'"{key[-1]}" is not a key here; {did_you_mean(str(key[-1]), names)}'
        elif detail["type"] == "missing":
            sentence = "missing; a value is required here"
        elif detail["type"] == "value_error":
            sentence = str(context["error"])
        elif detail["type"] == "union_tag_invalid":
            key, sentence = (*key, context["discriminator"].strip("'")), _tags(context)
        elif node_at(tree, key).is_any_scalar:
            sentence = f"found {describe(detail['input'])}, expected a finite number, text, true or false"
        else:
            sentence = f"found {describe(detail['input'])}, expected {_expected(detail['type'], context, detail)}"
            sentence += hint(detail["type"], detail["input"])
        problems[key, sentence] = None
    lines = [f"{locate(key)}: {sentence}" for key, sentence in problems]
    if len(lines) > MAX_PROBLEMS:
        lines[MAX_PROBLEMS:] = [f"and {len(lines) - MAX_PROBLEMS} more"]
    return InputError("\n".join(lines))


def hint(kind: str, found: Any) -> str:
    """Says how to write a value that is text where a number or a truth value was expected."""
    if not isinstance(found, str) or kind not in _NUMBERS | {"bool_type"}:
        return ""
    if not isinstance(plain_scalar(found.strip()), str | None):
        return " (write it without quotes)"
    if kind == "bool_type":
        return " (on, off, yes and no are plain text in YAML 1.2)"
    if re.match(r"\s*[-+]?[0-9.]", found):
        return " (write a plain decimal number, as 12 or 3e-4)"
    return ""


def _expected(kind: str, context: dict[str, Any], detail: Any) -> str:
    if kind == "literal_error":
        names = re.findall(r"'([^']*)'", context["expected"])
        if names and isinstance(detail["input"], str):
            return f"{context['expected'].replace(chr(39), chr(34))}{_nearest(detail['input'], names)}"
        return str(context["expected"]).replace("'", '"')
    template = _EXPECTED.get(kind)
    if template is None:
        return str(detail["msg"])
    values = {name: f"{value:g}" if isinstance(value, float) else value for name, value in context.items()}
    return template.format(**values)


def _tags(context: dict[str, Any]) -> str:
    names = re.findall(r"'([^']*)'", context["expected_tags"])
    return f'found "{context["tag"]}", expected {" or ".join(names)}{_nearest(context["tag"], names)}'


def _nearest(found: str, names: list[str]) -> str:
    near = nearest(found, names)
    return "" if near is None else f'; did you mean "{near}"?'


def validated(model: type[Model], value: Any, document: Document) -> Model:
    """Validates a file, or part of it, against a model.

    Raises:
        InputError: By file, line and key.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise refuse(error, model, document.locate) from None


@contextmanager
def located(document: Document, key: Key) -> Iterator[None]:
    """Errors inside name the place of ``key``."""
    try:
        yield
    except InputError as error:
        raise document.error(key, str(error)) from None


def known(document: Document, key: Key, name: str, what: str, valid: Collection[str]) -> None:
    """Raises unless ``name``, at ``key`` of a file, is one of the valid names of a ``what``."""
    if name not in valid:
        message = did_you_mean(name, valid) if valid else f"the recipe declares no {what}"
        raise document.error(key, f'"{name}" is not a {what}; {message}')
