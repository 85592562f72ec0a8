"""The identity of a setting: a canonical, typed, versioned encoding of plain data, and its BLAKE2b digest.

Owns what it means for two configurations to be equal. Two values are equal when they have the same type and Python
calls them equal: 1, 1.0, True and "1" are four values, 0.0 and -0.0 are one, a tuple is a list, the order of a
mapping's keys says nothing. Text is compared code point by code point (no Unicode normalisation: a needless training
costs less than a wrong result). Refuses anything that is not plain data, since nothing else has an identity that
another process or machine would share.
"""

import hashlib
import math
import struct
from collections.abc import Mapping
from typing import Any

VERSION = 1
"""Raised when the encoding changes: no old fingerprint then meets a new one."""

_DIGEST_BYTES = 16


def fingerprint(value: Any) -> str:
    """The identity of plain data, 32 hexadecimal characters, the same in every process and on every machine.

    Args:
        value: None, bool, int, float, str, bytes, and lists, tuples and mappings (with str keys) of them.

    Raises:
        TypeError: For any other type; names the path to it, such as ``$.model.weights[0]``.
        ValueError: For a NaN, which equals nothing, itself included.

    >>> fingerprint({"lr": 0.1, "epochs": 2}) == fingerprint({"epochs": 2, "lr": 0.1})
    True
    >>> fingerprint({"lr": 1}) == fingerprint({"lr": 1.0})
    False
    """
    person = f"harness-{VERSION}".encode()
    return hashlib.blake2b(canonical(value), digest_size=_DIGEST_BYTES, person=person).hexdigest()


def canonical(value: Any) -> bytes:
    """The encoding behind `fingerprint`: a type letter, then the content with its length; no two values share one.

    >>> canonical([1, "a", None])
    b'l3:i1;s1:an'
    """
    pieces: list[bytes] = []
    _encode(value, "$", pieces)
    return b"".join(pieces)


def _encode(value: Any, path: str, pieces: list[bytes]) -> None:
    kind = type(value)  # exact types: a subclass (an enum, a NumPy scalar) may mean more than its base says
    if value is None:
        pieces.append(b"n")
    elif kind is bool:
        pieces.append(b"t" if value else b"f")
    elif kind is int:
        pieces.append(b"i%d;" % value)
    elif kind is float:
        if math.isnan(value):
            raise ValueError(f"{path} is NaN, which equals nothing, itself included; expected a number")
        pieces.append(b"d" + struct.pack(">d", value + 0.0))  # -0.0 + 0.0 is 0.0
    elif kind is str:
        encoded = value.encode("utf-8", "surrogatepass")
        pieces.append(b"s%d:" % len(encoded) + encoded)
    elif kind is bytes:
        pieces.append(b"b%d:" % len(value) + value)
    elif kind is list or kind is tuple:
        pieces.append(b"l%d:" % len(value))
        for index, item in enumerate(value):
            _encode(item, f"{path}[{index}]", pieces)
    elif isinstance(value, Mapping):
        for key in value:
            if type(key) is not str:
                raise TypeError(f"{path} has the key {key!r} of type {type(key).__name__}; expected str")
        pieces.append(b"m%d:" % len(value))
        for key in sorted(value):
            _encode(key, path, pieces)
            _encode(value[key], f"{path}.{key}", pieces)
    else:
        raise TypeError(
            f"{path} is of type {kind.__name__}, which has no fingerprint; "
            "expected None, bool, int, float, str, bytes, or a list, tuple or mapping of them"
        )
