"""Names for outside systems: accepted, never shared by two texts, and read back."""

import doctest

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness import names
from harness.names import Naming, file_name, folded_file_name, writable

KEYS = Naming(escape=":", also=" _-.", most_bytes=60)
TEXTS = st.text(max_size=80)


@given(st.lists(TEXTS, min_size=1, max_size=4, unique=True))
@example(["..", ".", "", "a" * 300, "🙂" * 40, "~2F", "/", ":2F", "::"])
@example(["a\u0301", "\u00e1", "\u1100\u1161", "\uac00"])
@settings(deadline=None)
def test_every_text_is_read_back_from_its_name_and_no_two_share_one(texts: list[str]) -> None:
    found = [KEYS.encode(text) for text in texts]
    assert [KEYS.decode(name, texts) for name in found] == texts
    assert len(set(found)) == len(texts)
    for name in found:
        assert name
        assert not name.startswith(".")
        assert len(name.encode()) <= 60
        assert all(letter.isalnum() or letter in ": _-." for letter in name)


@given(st.text(min_size=1, max_size=20), st.sets(st.text(max_size=20)))
def test_a_name_that_is_taken_is_avoided_and_still_read_back(text: str, taken: set[str]) -> None:
    name = KEYS.encode(text, avoid=taken | {text})
    assert name not in taken | {text}
    assert KEYS.decode(name, [text]) == text


@given(st.lists(TEXTS, min_size=2, max_size=4, unique=True))
@example(["A", "a"])
@example(["\u00df", "SS", "ss"])
@example(["\u00e9", "e\u0301", "\u00c9"])
def test_files_of_different_texts_are_different_to_every_file_system(texts: list[str]) -> None:
    import unicodedata

    found = {unicodedata.normalize("NFD", folded_file_name(text)).casefold() for text in texts}
    assert len(found) == len(texts)
    for text in texts:
        assert len(f".{file_name(text)}-rank-lists-{folded_file_name(text)}.json.part".encode()) <= 255
        assert "/" not in file_name(text)


@pytest.mark.parametrize("name", [":GG", ":FF", "::0123456789abcdef", "a:", ":"])
def test_what_no_text_gives_stays_as_it_is_and_is_no_error(name: str) -> None:
    assert KEYS.decode(name) == ("" if name == ":" else name)


@given(st.text(alphabet=st.characters()))
def test_what_is_writable_can_be_written(text: str) -> None:
    assert "\x00" not in writable(text).encode("utf-8").decode("utf-8")


def test_the_examples_of_the_docstrings_hold() -> None:
    found = doctest.testmod(names)
    assert (found.attempted > 0, found.failed) == (True, 0)
