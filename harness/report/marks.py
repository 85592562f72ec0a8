"""Markdown's marks: any text shown as it is, values as code, tables and pictures. CommonMark with GitHub's tables."""

import re
from collections.abc import Sequence
from urllib.parse import quote

TICK = "✓"
NOTHING = "—"

_INLINE = r"[\\`*~$]|&(?=#?\w+;)|<(?=[A-Za-z/!?])|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|(?<=\s)#(?=#*$)"
_SPECIAL = re.compile(rf"({_INLINE}|\](?=\())")
_SPECIAL_IN_BRACKETS = re.compile(rf"({_INLINE}|[\[\]])")
_FIRST = re.compile(r"(\d{0,9})(?:(?<=\d)[.)](?=\s|$)|(?<!\d)(?:[-+](?=[\s-]|$)|#{1,6}(?=\s|$)|>|\[))")
"""Beginnings of a text that would be read as a list, a heading, a quotation or a definition."""
_BACKSLASHED = r"\\\1"
_NUMBER = re.compile(r"\**[+−]?\d|—$|< |\*[a-z ]+\*$")


def escaped(text: object) -> str:
    r"""Text that Markdown shows as it is, all white space as single spaces.

    >>> escaped("a*b <b> &amp; `c`"), escaped("1. [x] - y"), escaped("- [x](y)")
    ('a\\*b \\<b> \\&amp; \\`c\\`', '1\\. [x] - y', '\\- [x\\](y)')
    """
    shown = _SPECIAL.sub(_BACKSLASHED, " ".join(str(text).split()))
    if first := _FIRST.match(shown):
        shown = f"{first[1]}\\{shown[len(first[1]) :]}"
    return shown


def code(value: object) -> str:
    """A value as code, all white space as single spaces.

    >>> code("a|b"), code("a`b"), code("")
    ('`a|b`', '``a`b``', '(empty)')
    """
    text = " ".join(str(value).split())
    if not text:
        return "(empty)"
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def picture(caption: str, path: str) -> str:
    """A picture; ``path`` is that of its file beside the page."""
    return f"![{_SPECIAL_IN_BRACKETS.sub(_BACKSLASHED, ' '.join(caption.split()))}]({quote(path, safe='/~')})"


def link(text: str, path: str) -> str:
    """A link to a file beside the page."""
    return f"[{_SPECIAL_IN_BRACKETS.sub(_BACKSLASHED, ' '.join(text.split()))}]({quote(path, safe='/~')})"


def pipe_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A pipe table of cells in Markdown; columns of numbers are aligned to the right, columns of ticks centred.

    MLflow's description takes a rule of fewer than two dashes for plain text, and shows no table.
    """
    rule = ["---"] * len(header)
    for column in range(1, len(header)):
        cells = [line[column] for line in lines if line[column]]
        if header[column] == "rows" or not cells:
            continue
        if all(cell == TICK for cell in cells):
            rule[column] = ":---:"
        elif all(_NUMBER.match(cell) for cell in cells):
            rule[column] = "---:"
    rows = (header, rule, *lines)
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows)


def telling_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table without the columns that say nothing in any line."""
    kept = [column for column in range(len(header)) if any(line[column] not in ("", NOTHING) for line in lines)]
    return pipe_table([header[column] for column in kept], [[line[column] for column in kept] for line in lines])


def number(value: float | None) -> str:
    """A number with its sign and two digits, or a dash."""
    return NOTHING if value is None else f"{value:+.2f}".replace("-", "−")


def bullets(lines: Sequence[str]) -> str:
    """A list, of text that is escaped already."""
    return "\n".join(f"- {line}" for line in lines)
