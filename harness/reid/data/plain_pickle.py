"""Reads pickles that hold numbers, text, containers and numeric arrays, and nothing else.

No name that a pickle asks for is ever imported: the few that CIFAR's own files need are answered by classes of this
module, which only check and keep what they are given. Anything else is refused by name. Works for files written by
Python 2 and 3 and by numpy 1 and 2.
"""

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import InputError
from harness.files import regular_file

_NUMERIC = frozenset("biuf")


class _DType:
    """Replaces ``numpy.dtype``."""

    def __init__(self, code: str | bytes, *_: object) -> None:
        text = code.decode("ascii") if isinstance(code, bytes) else code
        if not isinstance(text, str) or text[:1] not in _NUMERIC or not text[1:].isdigit():
            raise pickle.UnpicklingError(f"dtype {text!r} is not numeric")
        self.dtype = np.dtype(text)

    def __setstate__(self, state: tuple[object, ...]) -> None:
        order = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
        if order == ">":
            self.dtype = self.dtype.newbyteorder(">")


class _Array:
    """Replaces ``numpy.ndarray``; ``value`` is the array once its state was read."""

    def __init__(self) -> None:
        self.value: NDArray[Any] = np.zeros(0)

    def __setstate__(self, state: tuple[object, ...]) -> None:
        shape, dtype, fortran, data = state[-4:]
        if not isinstance(dtype, _DType) or not isinstance(shape, tuple) or not isinstance(data, bytes):
            raise pickle.UnpicklingError("an array that is not made of plain numbers")
        self.value = np.frombuffer(data, dtype.dtype).reshape(shape, order="F" if fortran else "C")


def _reconstruct(*_: object) -> _Array:
    """Replaces ``numpy.core.multiarray._reconstruct``."""
    return _Array()


def _frombuffer(data: bytes, dtype: _DType, shape: tuple[int, ...], order: str) -> _Array:
    """Replaces ``numpy.core.numeric._frombuffer``, which newer pickles use."""
    array = _Array()
    array.__setstate__((shape, dtype, order == "F", bytes(data)))
    return array


def _encode(text: str, encoding: str) -> bytes:
    """Replaces ``_codecs.encode``, by which Python 3 writes bytes into old pickles."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"encoding {encoding!r}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Replaces ``bytes``, by which Python 3 writes empty bytes into old pickles."""
    return b""


_NAMES: Mapping[tuple[str, str], Any] = {
    ("numpy", "dtype"): _DType,
    ("numpy", "ndarray"): _Array,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.numeric", "_frombuffer"): _frombuffer,
    ("numpy._core.numeric", "_frombuffer"): _frombuffer,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
    ("builtins", "bytes"): _no_bytes,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str, /) -> Any:
        try:
            return _NAMES[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which plain data does not need") from None


def load_plain_pickle(path: Path) -> dict[str, Any]:
    """The mapping that a pickle holds, with text keys; arrays are numpy's, text of Python 2 stays bytes.

    Raises:
        InputError: If the file cannot be read, is damaged, or holds anything but plain data.
    """
    try:
        content = _Unpickler(io.BytesIO(regular_file(path).read_bytes()), encoding="bytes").load()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except Exception as error:  # a damaged pickle raises nearly anything
        raise InputError(f"{path}: refused or damaged pickle ({type(error).__name__}: {error})") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}, expected a dict")
    return {
        key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key): value.value
        if isinstance(value, _Array)
        else value
        for key, value in content.items()
    }
