"""Markdown that shows any text unchanged, read by an independent parser."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from harness.report.marks import code, escaped, link, picture, pipe_table

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
SIGNS = st.text("-+*#>[]()!`|\\_~&;<1.) =:$a", max_size=9)


def shown(token: Token) -> str:
    """The visible text of one piece of text or code; any other token is unintended markup."""
    parts = token.children or []
    assert {part.type for part in parts} <= {"text", "text_special", "code_inline"}, parts
    return "".join(part.content for part in parts)


@given((st.text(max_size=20) | SIGNS).map(lambda text: " ".join(text.replace("\0", "").split())).filter(bool))
@example("[a]: b")
@example("a\\|b")
@example("\\")
@example("1. x")
@example("h ##")
@example("&amp;")
@example("``|`")
def test_any_text_is_shown_unchanged_wherever_it_occurs(text: str) -> None:
    table = pipe_table(["a", "b"], [["x", escaped(text)], [code(text), "y"]])
    page = f"# {escaped(text)}\n\n- {escaped(text)}\n- x {escaped(text)}: y\n\n{escaped(text)}\n\n{table}\n\nend\n"
    tokens = PARSER.parse(page)
    pieces = [shown(token) for token in tokens if token.type == "inline"]
    assert pieces == [text, text, f"x {text}: y", text, "a", "b", "x", text, text, "y", "end"]
    assert {token.tag for token in tokens} <= {"h1", "ul", "li", "p", "table", "thead", "tbody", "tr", "th", "td", ""}


@given((st.text(max_size=20) | SIGNS).map(lambda text: " ".join(text.replace("\0", "").split())).filter(bool))
def test_any_caption_is_kept_in_a_picture_and_in_a_link(text: str) -> None:
    for made, kind in ((picture(text, "f (1)/é~.png"), "image"), (link(text, "f (1)/é~.png"), "link_open")):
        _, inline, _ = PARSER.parse(made)
        first, *rest = inline.children or []
        assert first.type == kind
        assert first.attrGet("src" if kind == "image" else "href") == "f%20%281%29/%C3%A9~.png"
        inner = first.children if kind == "image" else rest[:-1]
        assert "".join(part.content for part in inner or []) == text


@pytest.mark.parametrize(("value", "expected"), [("", "(empty)"), (True, "`True`"), ("a\nb", "`a b`")])
def test_a_value_is_shown_as_code_on_one_line(value: object, expected: str) -> None:
    assert code(value) == expected
