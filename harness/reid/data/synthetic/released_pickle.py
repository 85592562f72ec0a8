"""Writes pickles as the release of CIFAR-100 has them: what reads ours reads the real ones."""

import struct
from collections.abc import Mapping

import numpy as np


def dump_released(content: Mapping[bytes, object]) -> bytes:
    """A pickle with the very instructions of the release, which Python 2 and numpy 1 wrote.

    Byte strings are Python 2's strings, and arrays are rebuilt by ``numpy.core.multiarray``.

    Args:
        content: Byte strings, whole numbers of 32 bits, lists of them, and uint8 arrays, by name.
    """
    body = b"".join(_dump(key) + _dump(value) for key, value in content.items())
    return b"\x80\x02}(" + body + b"u."


def _dump(value: object) -> bytes:
    """Pickle instructions that push one value."""
    if isinstance(value, bytes):
        return (
            b"U" + struct.pack("<B", len(value)) if len(value) < 256 else b"T" + struct.pack("<i", len(value))
        ) + value
    if isinstance(value, int):
        return b"K" + struct.pack("<B", value) if 0 <= value < 256 else b"J" + struct.pack("<i", value)
    if isinstance(value, list):
        return b"](" + b"".join(map(_dump, value)) + b"e"
    if not isinstance(value, np.ndarray) or value.dtype != np.uint8:
        raise TypeError(f"no instructions for {type(value).__name__}")
    empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    shape = b"(" + b"".join(_dump(int(side)) for side in value.shape) + b"t"
    return empty + b"(K\x01" + shape + dtype + b"\x89" + _dump(np.ascontiguousarray(value).tobytes()) + b"tb"
