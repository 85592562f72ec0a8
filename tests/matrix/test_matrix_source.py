"""Strict YAML: YAML 1.2's scalars, bounded structures, errors with file, line and column."""

import doctest
import math
from pathlib import Path

import pytest

from harness.errors import InputError
from harness.matrix import generate, key_tree, naming, source
from harness.matrix.source import Document, read_text, read_value, read_yaml


@pytest.mark.parametrize("module", [source, key_tree, generate, naming])
def test_the_examples_in_the_docstrings_are_true(module):
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3e-4", 0.0003),  # YAML 1.1: the text "3e-4"
        ("1e3", 1000.0),
        ("-1.5E+2", -150.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("12", 12),
        ("-0", 0),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("on", "on"),  # YAML 1.1: True
        ("yes", "yes"),
        ("Off", "Off"),
        ("n", "n"),
        ("012", "012"),  # YAML 1.1: ten
        ("0x10", "0x10"),  # YAML 1.1: sixteen
        ("0o7", "0o7"),
        ("1_000", "1_000"),  # YAML 1.1: a thousand
        ("1:30", "1:30"),  # YAML 1.1: ninety
        ("2018-09-03", "2018-09-03"),  # YAML 1.1: a date
        ("3(T)", "3(T)"),
        ("'12'", "12"),
        ('"true"', "true"),
    ],
)
def test_plain_scalars_follow_yaml_1_2_less_octal_hexadecimal_and_leading_zeros(text, value):
    found = read_value(text, "--set")
    assert found == value
    assert type(found) is type(value)


def test_infinity_and_nan_are_read_and_left_to_the_schema():
    assert read_value(".inf", "x") == math.inf
    assert read_value("-.INF", "x") == -math.inf
    assert math.isnan(read_value(".nan", "x"))


def test_keys_are_text_whatever_they_look_like():
    assert read_value("{on: 1, 012: 2, 3: 4, true: 5, null: 6}", "x") == {
        "on": 1,
        "012": 2,
        "3": 4,
        "true": 5,
        "null": 6,
    }


def test_every_value_knows_its_line():
    document = read_text("a:\n  b: 1\n  c:\n    - 2\n    - {d: 3,\n       e: 4}\n", "f.yaml")
    assert document.lines == {
        (): 1,
        ("a",): 1,
        ("a", "b"): 2,
        ("a", "c"): 3,
        ("a", "c", 0): 4,
        ("a", "c", 1): 5,
        ("a", "c", 1, "d"): 5,
        ("a", "c", 1, "e"): 6,
    }


def test_a_value_without_a_line_takes_that_of_the_nearest_one_around_it():
    document = Document("f.yaml", {}, {(): 1, ("a",): 7})
    assert document.place(("a", "b", 3)) == "f.yaml:7"
    assert str(document.error(("a", "b", 3), "wrong")) == "f.yaml:7: a.b.3: wrong"
    assert document.place(("z",)) == "f.yaml:1"


def test_anchors_and_aliases_work():
    assert read_value("{a: &x [1, 2], b: *x}", "x") == {"a": [1, 2], "b": [1, 2]}


BOMB = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10) if n else 1}]" for n in range(12))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", 'x:2:1: a: "a" is declared twice (first on line 1)'),
        ("a: {b: 1, b: 2}", 'x:1:11: a.b: "b" is declared twice (first on line 1)'),
        (
            "<<: {a: 1}",
            "x:1:1: merge keys (<<) are not part of YAML 1.2; write the values out",
        ),
        ("? [a]\n: 1", "x:1:3: expected a key of plain text"),
        ('"": 1', "x:1:1: found an empty key, expected a name"),
        (
            "a: !!python/name:os.system x",
            'x:1:4: a: found the tag "tag:yaml.org,2002:python/name:os.system"; tags are not accepted '
            "(put text into quotes)",
        ),
        ("--- 1\n--- 2", "x:2:1: a second document begins; expected one document per file"),
        ("a: *b", 'x:1:4: a: found the alias "*b" before any anchor "&b"'),
        ("a: &b [*b]", 'x:1:8: a.0: the alias "*b" is inside its own anchor'),
        (BOMB, "x:6:35: a5.5: more than 200,000 values, aliases counted"),
        ("[" * 100_000, "x:1:42: 0.0.0: nested deeper than 40 levels"),
        ("a: [1", "x:1:6: not valid YAML: while parsing a flow sequence; expected ',' or ']', but got '<stream end>'"),
        ("a: 1\n\tb: 2", "x:2:1: not valid YAML: while scanning for the next token; found character '\\t' that cannot"),
        ("a: b: c", "x:1:5: not valid YAML: mapping values are not allowed here"),
        ("a: 1\nb: \x07", "x:2: found the control character U+0007, expected plain text"),
        ('{a: 1, "b\\x1b": 2}', "x:1:8: found the control character U+001B, expected plain text"),
        ('a: "\\r"', "x:1:4: a: found the control character U+000D, expected plain text"),
        ("\ud800", "x:1: found the control character U+D800, expected plain text"),
    ],
)
def test_what_is_not_plain_yaml_is_refused_by_line_and_column(text, message):
    with pytest.raises(InputError) as refusal:
        read_text(text, "x")
    assert str(refusal.value).startswith(message)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "f.yaml: the file is empty, expected a mapping (key: value)"),
        (b"# nothing\n", "f.yaml: the file is empty, expected a mapping (key: value)"),
        (b"- 1\n", "f.yaml:1: found a list, expected a mapping (key: value)"),
        (b"\n\nhello\n", 'f.yaml:3: found the text "hello", expected a mapping (key: value)'),
        (b"a: 1\nb: \xff\n", "f.yaml:2: found the byte 0xff, expected UTF-8 text"),
        (b"\x89PNG\r\n\x1a\n\x00", "f.yaml:1: found the byte 0x89, expected UTF-8 text"),
        (b"a: " + b"x" * 5_000_000, "f.yaml: larger than 4 MiB; expected a YAML declaration"),
    ],
)
def test_a_file_that_is_no_declaration_is_reported_by_name(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    Path("f.yaml").write_bytes(content)
    with pytest.raises(InputError) as refusal:
        read_yaml(Path("f.yaml"))
    assert str(refusal.value) == message


def test_a_missing_file_names_its_neighbours(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("table1.yaml").touch()
    with pytest.raises(InputError, match=r"^tabel1.yaml: no such file \(in \. there are: table1\.yaml\)$"):
        read_yaml(Path("tabel1.yaml"))
    with pytest.raises(InputError, match=r"found a folder, expected a YAML file"):
        read_yaml(Path())
    with pytest.raises(InputError, match=r"cannot be read: embedded null"):
        read_yaml(Path("a\0b"))


def test_a_byte_order_mark_is_no_content(tmp_path):
    (tmp_path / "f.yaml").write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read_yaml(tmp_path / "f.yaml").value == {"a": 1}
