"""Syntax trees as text: two layouts of the same code give the same text.

The text is the same on every Python that the project supports. It says what code does, not how it is laid out.
"""

import ast
from collections.abc import Iterable


def normalised(tree: ast.AST) -> str:
    """Returns a syntax tree as text, without what changes no result.

    Left out: positions, docstrings and other bare strings, ``pass``, empty fields (newer Pythons add some), and load
    and store contexts (implied by a node's place). Annotations stay: dataclasses and pydantic use them at run time.

    >>> normalised(ast.parse("def f(x):\\n    'Doubles.'\\n    return 2 * x")) == normalised(
    ...     ast.parse("def f( x ): return (2*x)  # doubled")
    ... )
    True
    """
    pieces: list[str] = []
    _append(tree, pieces)
    return "".join(pieces)


_SKIPPED_FIELDS = frozenset({"ctx", "kind", "type_comment", "type_ignores"})


def _append(node: ast.AST, pieces: list[str]) -> None:
    pieces.append(type(node).__name__)
    pieces.append("(")
    for name in node._fields:
        value = getattr(node, name, None)
        if value is None or name in _SKIPPED_FIELDS:
            if isinstance(node, ast.Constant) and name == "value":
                pieces.append("None")
            continue
        kind = type(value)
        if kind is list:
            kept = [item for item in value if not has_no_effect(item, in_text=isinstance(node, ast.JoinedStr))]
            if kept:
                pieces.append(f"{name}=[")
                _append_all(kept, pieces)
                pieces.append("]")
        elif isinstance(value, ast.AST):
            pieces.append(f"{name}=")
            _append(value, pieces)
        else:  # an identifier, a constant, or the small integers of FormattedValue, AnnAssign and comprehensions
            pieces.append(f"{name}={kind.__name__}:{value!a},")
    pieces.append(")")


def _append_all(items: Iterable[object], pieces: list[str]) -> None:
    for item in items:
        if isinstance(item, ast.AST):
            _append(item, pieces)
        else:  # names of ``global`` and ``nonlocal``; None for ``**mapping`` in a dict or a missing default
            pieces.append(ascii(item))
        pieces.append(",")


def has_no_effect(item: object, *, in_text: bool) -> bool:
    """Whether a statement does nothing: a docstring or another bare string, ``pass``.

    Or, ``in_text``, an empty part of an f-string, which only some versions of Python have in the tree.
    """
    if in_text:
        return isinstance(item, ast.Constant) and item.value == ""
    if isinstance(item, ast.Expr):
        return isinstance(item.value, ast.Constant) and isinstance(item.value.value, str)
    return isinstance(item, ast.Pass)
