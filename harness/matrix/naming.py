"""Rules for names in a declaration, so that users can distinguish, type and list them.

Any printable text is valid; ``harness.names`` makes it fit outside systems.
"""

import unicodedata
from pathlib import Path

from harness.names import file_name, folded_file_name

MOST_LETTERS = 80


def unfit_name(name: str) -> str | None:
    """Why a row, factor, profile, stage or loss cannot have this name, as a sentence; None if it can.

    >>> unfit_name("3(T) + 50 %"), unfit_name("a, b")
    (None, "found 'a, b', expected 1 to 80 printable characters without commas, outer or double spaces")
    """
    if not (
        0 < len(name) <= MOST_LETTERS and name.isprintable() and "," not in name and name == " ".join(name.split())
    ):
        expected = f"1 to {MOST_LETTERS} printable characters without commas, outer or double spaces"
        return f"found {name[:MOST_LETTERS]!r}, expected {expected}"
    if not unicodedata.is_normalized("NFC", name):
        return f'found "{name}" with accents apart from their letters, expected composed letters (Unicode NFC)'
    return None


def named_after(path: Path) -> tuple[str, str | None]:
    """The name that a file gives its table or search, and why it cannot be one, as a sentence."""
    name = unicodedata.normalize("NFC", path.stem)
    if name.isprintable():
        return name, None
    return name, f"the file's own name is {name!r}; expected printable characters, or another name here"


def study_file(name: str, profile: str) -> str:
    """Returns the name of a study's files under a profile; no two studies and profiles share it.

    >>> study_file("margins", "demo"), study_file("margins", "a-b/c")
    ('margins-demo', 'margins-a~2Db~2Fc')
    """
    return f"{file_name(name)}-{folded_file_name(profile).replace('-', '~2D')}"
