"""The tree of a pydantic model's keys: checks a dotted key before any value is read."""

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from harness.errors import did_you_mean
from harness.matrix.naming import unfit_name
from harness.matrix.source import describe


@dataclass(frozen=True)
class Node:
    """A key of the schema and the values that it accepts."""

    fields: Mapping[str, "Node"] | None = None
    """The keys of a model; of several models when a ``kind`` chooses among them."""
    entries: "Node | None" = None
    """The type of each entry of a mapping with free names."""
    kinds: Mapping[str, "Node"] | None = None
    """The models by ``kind``, where a kind chooses; pydantic then names the kind in an error's location."""
    items: "Node | None" = None
    """The type of each item of a list."""
    or_value: bool = False
    """Whether a single value or a list may replace the mapping; pydantic's error locations then contain a tag."""
    is_any_scalar: bool = False
    """Whether a number, text or a truth value is allowed."""
    optional: bool = False
    """Whether null is allowed."""

    @property
    def is_mapping(self) -> bool:
        """Whether this key has keys of its own."""
        return self.fields is not None or self.entries is not None


@cache
def key_tree(model: type[BaseModel]) -> Node:
    """The tree of the keys of ``model``, by alias where a field has one."""
    return Node(fields={field.alias or name: _node(field.annotation) for name, field in model.model_fields.items()})


def _node(annotation: Any) -> Node:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _node(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        if len(members) == 1:
            return replace(_node(members[0]), optional=True)
        models = [node for node in map(_node, members) if node.is_mapping]
        if len(models) == 1:
            return replace(models[0], or_value=True)
        kinds = {kind: _node(member) for member in members for kind in _kinds(member)}
        fields = {name: node for member in kinds.values() for name, node in (member.fields or {}).items()}
        return Node(fields=fields, kinds=kinds) if kinds else Node(is_any_scalar=True)
    if origin is dict:
        return Node(entries=_node(get_args(annotation)[1]))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return key_tree(annotation)
    if origin is list:
        return Node(items=_node(get_args(annotation)[0]))
    return Node()


def _kinds(member: Any) -> tuple[str, ...]:
    """The values of ``kind`` that choose a member of a union; none for a member that is not a model."""
    fields = member.model_fields if isinstance(member, type) and issubclass(member, BaseModel) else {}
    return get_args(fields["kind"].annotation) if "kind" in fields else ()


def unknown_key(tree: Node, key: tuple[str, ...]) -> str | None:
    """Returns why the tree has no such key, as a sentence; None if it has.

    >>> from harness.reid.recipe import Recipe
    >>> unknown_key(key_tree(Recipe), ("model", "stage7"))
    '"stage7" is not a key of model; did you mean "stage6"? (one of: backbone, checkpoint_activations, embedding_dim, \
multi_level, options, output_stride, pooling, preprocessing, stage6, stage6_dilation, weights)'
    >>> unknown_key(key_tree(Recipe), ("losses", "custom", "smooth", "weight")) is None
    True
    """
    node = tree
    for depth, part in enumerate(key):
        above = ".".join(key[:depth])
        if node.fields is not None:
            if part not in node.fields:
                return f'"{part}" is not a key{f" of {above}" if above else ""}; {did_you_mean(part, node.fields)}'
            node = node.fields[part]
        elif node.entries is not None:
            if not part or "." in part:
                return f'"{part}" is not a name for an entry of {above}; expected a name without dots'
            if problem := unfit_name(part):
                return f"no name for an entry of {above}: {problem}"
            node = node.entries
        elif node.items is not None:
            return f'{above} is a list, which is replaced as a whole; it has no key "{part}"'
        else:
            return f'{above} is a single value; it has no key "{part}"'
    return None


def misplaced(tree: Node, key: tuple[str, ...], value: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yields all that is misplaced in ``value``, itself at ``key``: its path within the value, and why.

    Unknown keys, and single values in a mapping's place: those an overlay would hide. Types are pydantic's business.
    """
    if problem := unknown_key(tree, key):
        yield (), problem
        return
    node = node_at(tree, key)
    if isinstance(value, dict) and node.is_mapping:
        for name, inner in value.items():
            for where, problem in misplaced(tree, (*key, name), inner):
                yield (name, *where), problem
    elif node.is_mapping and not (node.or_value or (value is None and node.optional)):
        yield (), f"found {describe(value)}, expected a mapping (key: value)"


def node_at(tree: Node, key: tuple[str | int, ...]) -> Node:
    """The node at a known key."""
    node = tree
    for part in key:
        node = _below(node, part)
    return node


def without_tags(tree: Node, location: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """A pydantic error's location as keys: without the kinds and type names that pydantic puts between them."""
    node, kept = tree, list[str | int]()
    parts = iter(location)
    for part in parts:
        kept.append(part)
        node = _below(node, part)
        if node.kinds or node.or_value:
            next(parts, None)
        elif not node.is_mapping and node.items is None:
            break
    return tuple(kept)


def _below(node: Node, part: str | int) -> Node:
    return (node.fields or {}).get(str(part)) or node.entries or node.items or Node()
