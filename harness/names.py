"""Names for outside systems: encodes any text as a name that a system accepts, and decodes it again.

Characters that the system accepts are kept; any other becomes its UTF-8 bytes, each written as the escape character and
two hexadecimal digits, as in a URL. Two texts never share a name. A name that would be too long is truncated and ends
with the escape character twice and a digest of the whole text; decoding it needs the candidate texts. Refuses to decide
what a user may call things: that is up to ``harness.matrix``.
"""

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass

_DIGEST = 16
"""Hexadecimal digits of the digest at the end of a truncated name."""


@dataclass(frozen=True)
class Naming:
    """The names that one kind of system accepts.

    >>> keys = Naming(escape=":", also=" _-.", most_bytes=40)
    >>> keys.encode("3(T) größer"), keys.decode("3:28T:29 größer")
    ('3:28T:29 größer', '3(T) größer')
    >>> keys.encode("../../x"), keys.encode("row", avoid={"row"})
    (':2E.:2F..:2Fx', ':72ow')
    """

    escape: str
    """A character that the system accepts; in a text it is always escaped itself."""
    also: str
    """Characters that are kept besides letters and digits."""
    most_bytes: int
    """The longest name, in bytes of UTF-8."""
    folds_case: bool = False
    """Whether the system may treat names as equal that differ in case alone."""
    ascii_only: bool = False

    def encode(self, text: str, avoid: Collection[str] = ()) -> str:
        """Returns the name of a text; never one of ``avoid``, never empty, and never starting with a full stop."""
        is_composed = unicodedata.is_normalized("NFC", text)
        pieces = [letter if self._stays(letter, is_composed) else self._escaped(letter) for letter in text]
        if text and (text[0] == "." or "".join(pieces) in avoid):
            pieces[0] = self._escaped(text[0])
        name = "".join(pieces) or self.escape
        if len(name.encode()) <= self.most_bytes:
            return name
        end = 2 * self.escape + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
        kept, left = [], self.most_bytes - len(end.encode())
        for piece in pieces:
            left -= len(piece.encode())
            if left < 0:
                break
            kept.append(piece)
        return "".join(kept) + end

    def decode(self, name: str, known: Iterable[str] = ()) -> str:
        """Returns the text of a name. A truncated one is looked up among ``known`` texts; if absent, it is returned.

        >>> keys = Naming(escape=":", also=" ", most_bytes=24)
        >>> text = "a text that is much too long for these keys"
        >>> keys.encode(text), keys.decode(keys.encode(text), known=[text])[:16]
        ('a text::f1debfbc35d07f11', 'a text that is m')
        """
        if name == self.escape:
            return ""
        if 2 * self.escape in name:
            return next((text for text in known if self.encode(text) == name), name)
        escaped = re.escape(self.escape) + "[0-9A-F]{2}"
        try:
            return re.sub(f"(?:{escaped})+", self._unescaped, name)
        except UnicodeDecodeError:
            return name

    def _stays(self, letter: str, is_composed: bool) -> bool:
        if letter == self.escape:
            return False
        if letter in self.also:
            return True
        if self.folds_case and letter != letter.casefold():
            return False
        # Some file systems compose letters and accents; characters that they would change are escaped.
        return letter.isalnum() and (letter.isascii() or (is_composed and not self.ascii_only))

    def _escaped(self, letter: str) -> str:
        return "".join(f"{self.escape}{byte:02X}" for byte in letter.encode("utf-8", "surrogatepass"))

    def _unescaped(self, found: re.Match[str]) -> str:
        return bytes.fromhex(found[0].replace(self.escape, "")).decode("utf-8", "surrogatepass")


_FILES = Naming(escape="~", also="_-.", most_bytes=100)
_FOLDED_FILES = Naming(escape="~", also="_-.", most_bytes=100, folds_case=True)


def file_name(text: str) -> str:
    """Returns a part of a file name, of at most 100 bytes, that keeps upper and lower case.

    >>> file_name("table1"), file_name("50% of it"), file_name("a/b")
    ('table1', '50~25~20of~20it', 'a~2Fb')
    """
    return _FILES.encode(text)


def folded_file_name(text: str) -> str:
    """The same for names in one folder that may differ in case alone: upper-case letters are escaped.

    >>> folded_file_name("3(T)"), folded_file_name("3(t)")
    ('3~28~54~29', '3~28t~29')
    """
    return _FOLDED_FILES.encode(text)


_UNWRITABLE = re.compile("[\x00\ud800-\udfff]")


def writable(text: str) -> str:
    r"""Escapes the characters that UTF-8 files and databases refuse: NUL and lone surrogates.

    >>> writable("a\x00b"), writable("img_\udcff.jpg")
    ('a\\u0000b', 'img_\\udcff.jpg')
    """
    return _UNWRITABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
