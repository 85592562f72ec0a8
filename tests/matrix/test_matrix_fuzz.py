"""Whatever the text, a declaration is read or refused by an InputError of readable length: nothing else escapes."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import InputError
from harness.matrix import load_matrix, matrix_to_json
from harness.matrix.source import read_text, read_yaml

ABLATIONS = Path(__file__).parents[2] / "ablations"
TABLE = (ABLATIONS / "table1.yaml").read_text()
RECIPE = (ABLATIONS / "recipes" / "market1501.yaml").read_text()
FRAGMENTS = [
    *"[]{}:,-?&*!|>'\"%@`#\n\t ~",
    *(": ", "- ", "<<: ", "&a ", "*a", "!!int ", "---\n", "...\n", "\n  ", "null", "true", "on", "012", "3e-4", ".nan"),
    *("1e999", "'", "3(T)", "Softmax", "mAP", "a.b", "factors", "rows:", "set:", "\x00", "\ufeff", "\u2028", "é", "😀"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("fuzz")
    shutil.copytree(ABLATIONS / "recipes", path / "recipes")
    return path


def read_or_refuse(read, *arguments, **options) -> bool:
    """Whether it is read, or refused in a message of a sane length; any other exception is a failure."""
    try:
        read(*arguments, **options)
    except InputError as refusal:
        return 0 < len(str(refusal)) < 8000
    return True


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join))
def test_fragments_of_yaml_are_read_or_refused(text):
    assert read_or_refuse(read_text, text, "fuzz.yaml")


@given(st.binary(max_size=200))
def test_bytes_are_read_or_refused(folder, content):
    (folder / "bytes.yaml").write_bytes(content)
    assert read_or_refuse(read_yaml, folder / "bytes.yaml")


edits = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 12), st.sampled_from(FRAGMENTS) | st.text(max_size=4)),
    min_size=1,
    max_size=4,
)


def edited(text: str, changes: list[tuple[float, int, str]]) -> str:
    """``text`` with pieces cut out and others put in their place."""
    for place, length, new in changes:
        start = int(place * len(text))
        text = text[:start] + new + text[start + length :]
    return text


@given(edits)
def test_an_edited_table_is_expanded_or_refused(folder, changes):
    (folder / "table.yaml").write_text(edited(TABLE, changes), encoding="utf-8", errors="surrogatepass")
    assert read_or_refuse(lambda path: matrix_to_json(load_matrix(path, profile="demo")), folder / "table.yaml")


@given(edits)
def test_an_edited_recipe_is_expanded_or_refused(folder, changes):
    text = edited(RECIPE, changes)
    (folder / "recipes" / "edited.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
    (folder / "other.yaml").write_text(TABLE.replace("market1501.yaml", "edited.yaml"))
    assert read_or_refuse(load_matrix, folder / "other.yaml", profile="demo")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(FRAGMENTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FRAGMENTS), inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from(
    [
        "model",
        "model.stage6",
        "stages",
        "stages.classify.sampler",
        "stages.new",
        "losses.custom",
        "losses.custom.mine",
        "losses.custom.mine.options.x",
        "data.held_out",
        "evaluation.rerank.lambda",
        "augment.mean",
        "",
        "..",
    ]
)


@given(st.dictionaries(keys, values | st.text(max_size=8), max_size=3))
def test_any_override_is_taken_or_refused(overrides):
    assert read_or_refuse(load_matrix, ABLATIONS / "table1.yaml", profile="demo", rows=["8"], overrides=overrides)
