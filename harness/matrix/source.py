"""Reading YAML strictly: YAML 1.2's core scalars, no tags, no duplicate keys, and the line of every value kept.

What is read is plain Python (dict, list, str, int, float, bool, None). Nothing is constructed by tag, so nothing in a
file can run code; size, depth and the growth of aliases are bounded, so nothing in a file can exhaust the machine.
Every refusal is an ``InputError`` that names file, line and dotted key.

Against YAML 1.1 (PyYAML's own reading): ``on``, ``yes``, ``012``, ``0x10``, ``1_000``, ``1:30`` and dates stay text,
``3e-4`` is a number. Merge keys (``<<``) and tags are refused; anchors and aliases work. A mapping's keys are text.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml

from harness.errors import InputError
from harness.files import NotRegularFileError, regular_file

MAX_BYTES = 4 * 2**20
MAX_DEPTH = 40
MAX_VALUES = 200_000

_UNPRINTABLE = re.compile(r"[^\n\t\x20-\x7E\xA0-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")
"""Characters that no text may hold: control characters but the tabulator and line ends, and halves of characters."""

Key = tuple[str | int, ...]
"""The place of a value in a document: the keys and list indices that lead to it."""

_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_NAMED: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


@dataclass(frozen=True)
class Document:
    """A YAML file as plain values, with the line of each of them."""

    name: str
    """The file as the user named it, or the option that the text came from."""
    value: Any
    lines: dict[Key, int]

    def place(self, key: Key) -> str:
        """``file:line`` of the value at ``key``, or of the nearest one around it."""
        for length in range(len(key), -1, -1):
            line = self.lines.get(key[:length])
            if line is not None:
                return f"{self.name}:{line}" if line else self.name
        return self.name

    def part(self, *key: str) -> "Document":
        """Returns the value at a key as a document of its own."""
        value = self.value
        for name in key:
            value = value[name]
        lines = {where[len(key) :]: line for where, line in self.lines.items() if where[: len(key)] == key}
        return Document(self.name, value, lines)

    def error(self, key: Key, message: str) -> InputError:
        """An error about the value at ``key``: ``file:line: dotted.key: message``."""
        return InputError(f"{self.locate(key)}: {message}")

    def locate(self, key: Key) -> str:
        """Returns ``file:line: dotted.key``, the prefix of every message about a value."""
        dotted = ".".join(map(str, key))
        place = self.place(key)
        return f"{place}: {dotted}" if dotted and dotted != place else place


def read_yaml(path: Path) -> Document:
    """Reads one YAML document whose top is a mapping.

    Raises:
        InputError: if the file is missing, unreadable, empty, too large, not UTF-8, not YAML or not a mapping.
    """
    try:
        with regular_file(path).open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file{_siblings(path)}") from None
    except NotRegularFileError as error:
        raise InputError(f"{path}: found {error.found}, expected a YAML file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(raw) > MAX_BYTES:
        raise InputError(f"{path}: larger than {MAX_BYTES // 2**20} MiB; expected a YAML declaration")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}:{line}: found the byte 0x{raw[error.start]:02x}, expected UTF-8 text") from None
    document = read_text(text, str(path))
    if document.value is None:
        raise InputError(f"{path}: the file is empty, expected a mapping (key: value)")
    if not isinstance(document.value, dict):
        raise InputError(f"{document.place(())}: found {describe(document.value)}, expected a mapping (key: value)")
    return document


def read_text(text: str, name: str) -> Document:
    """Reads YAML from ``text``; messages use ``name`` for the file.

    >>> read_text("{lr: 3e-4, flip: on, crop: 012, deep: true}", "text").value
    {'lr': 0.0003, 'flip': 'on', 'crop': '012', 'deep': True}
    """
    if unprintable := yaml.reader.Reader.NON_PRINTABLE.search(text):
        line = text.count("\n", 0, unprintable.start()) + 1
        raise InputError(f"{name}:{line}: found the control character U+{ord(unprintable[0]):04X}, expected plain text")
    try:
        # libyaml is ten times faster, PyYAML's own parser words its errors better.
        return _Reader(text, name, getattr(yaml, "CSafeLoader", yaml.SafeLoader)).read()
    except yaml.YAMLError:
        try:
            return _Reader(text, name, yaml.SafeLoader).read()
        except yaml.MarkedYAMLError as error:
            problem = "; ".join(part for part in (error.context, error.problem) if part)
            mark = error.problem_mark or error.context_mark
            place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
            raise InputError(f"{place}: not valid YAML: {problem}") from None


def read_value(text: str, name: str) -> Any:
    """The value that ``text`` would have in a YAML file: how ``--set key=value`` is read.

    >>> read_value("3e-4", "--set"), read_value("[1, 2]", "--set"), read_value("imagenet", "--set")
    (0.0003, [1, 2], 'imagenet')
    """
    return read_text(text, name).value


def plain_scalar(text: str) -> Any:
    """The value of an unquoted scalar under YAML 1.2's core schema, less octal, hexadecimal and leading zeros."""
    if text in _NAMED:
        return _NAMED[text]
    if _INT.fullmatch(text):
        return int(text) if len(text) <= 400 else float(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def describe(value: Any) -> str:
    """A value as messages show it: what it is, and which type it has where that may surprise."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        shown = value if len(value) <= 60 else value[:57] + "..."
        return f'the text "{"".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in shown)}"'
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list | tuple) else f"a {type(value).__name__}"


def _siblings(path: Path) -> str:
    """The YAML files beside a missing one, since one of them may be meant."""
    try:
        names = sorted(entry.name for entry in path.parent.iterdir() if entry.suffix in (".yaml", ".yml"))
    except OSError:
        return ""
    return f" (in {path.parent} there are: {', '.join(names[:12])})" if names else ""


@dataclass
class _Anchor:
    value: Any
    size: int
    """How many values it contains, aliases within counted as often as they occur."""


@dataclass
class _Reader:
    """Builds values from a parser's events, iteratively bounded in depth and number."""

    text: str
    name: str
    loader: Any
    lines: dict[Key, int] = field(default_factory=dict)
    anchors: dict[str, _Anchor | None] = field(default_factory=dict)
    values: int = 0

    def read(self) -> Document:
        events = yaml.parse(self.text, Loader=self.loader)
        value: Any = None
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._refuse(event, (), "a second document begins; expected one document per file")
            elif not isinstance(event, yaml.StreamStartEvent | yaml.StreamEndEvent | yaml.DocumentEndEvent):
                value = self._build(event, events, ())
        return Document(self.name, value, self.lines)

    def _build(self, event: Any, events: Iterator[Any], key: Key) -> Any:
        self.lines[key] = event.start_mark.line + 1
        self.values += 1
        if self.values > MAX_VALUES:
            self._refuse(event, key, f"more than {MAX_VALUES:,} values, aliases counted")
        if len(key) > MAX_DEPTH:
            self._refuse(event, key[:3], f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, key)
        if event.tag is not None:
            self._refuse(event, key, f'found the tag "{event.tag}"; tags are not accepted (put text into quotes)')
        before = self.values
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            self._check_letters(event, key)
            value = plain_scalar(event.value) if event.implicit[0] else event.value
        elif isinstance(event, yaml.MappingStartEvent):
            value = self._mapping(events, key)
        else:
            value = []
            while not isinstance(item := next(events), yaml.SequenceEndEvent):
                value.append(self._build(item, events, (*key, len(value))))
        if event.anchor is not None:
            self.anchors[event.anchor] = _Anchor(value, self.values - before + 1)
        return value

    def _mapping(self, events: Iterator[Any], key: Key) -> dict[str, Any]:
        value: dict[str, Any] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            line = event.start_mark.line + 1
            if not isinstance(event, yaml.ScalarEvent):
                self._refuse(event, key, "expected a key of plain text")
            if event.tag is not None:
                self._refuse(event, key, f'found the tag "{event.tag}"; tags are not accepted')
            name = event.value
            inner = (*key, name)
            self._check_letters(event, key)
            if name == "<<" and event.implicit[0]:
                self._refuse(event, key, "merge keys (<<) are not part of YAML 1.2; write the values out")
            if not name:
                self._refuse(event, key, "found an empty key, expected a name")
            if name in value:
                self._refuse(event, inner, f'"{name}" is declared twice (first on line {self.lines[inner]})')
            value[name] = self._build(next(events), events, inner)
            self.lines[inner] = line
        return value

    def _alias(self, event: Any, key: Key) -> Any:
        if event.anchor not in self.anchors:
            self._refuse(event, key, f'found the alias "*{event.anchor}" before any anchor "&{event.anchor}"')
        anchor = self.anchors[event.anchor]
        if anchor is None:
            self._refuse(event, key, f'the alias "*{event.anchor}" is inside its own anchor')
        self.values += anchor.size
        if self.values > MAX_VALUES:
            self._refuse(event, key, f"more than {MAX_VALUES:,} values, aliases counted")
        return anchor.value

    def _check_letters(self, event: Any, key: Key) -> None:
        """Refuses what only an escape ("\\a") can put into a text: no report and no tracker could show it."""
        if found := _UNPRINTABLE.search(event.value):
            self._refuse(event, key, f"found the control character U+{ord(found[0]):04X}, expected plain text")

    def _refuse(self, event: Any, key: Key, message: str) -> NoReturn:
        dotted = ".".join(map(str, key))
        where = f"{self.name}:{event.start_mark.line + 1}:{event.start_mark.column + 1}"
        raise InputError(f"{where}: {dotted}: {message}" if dotted else f"{where}: {message}")
