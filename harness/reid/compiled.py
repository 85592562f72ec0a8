"""How the harness compiles its inner loops: numba, without the GIL, cached on disk where there is a place to write."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """``function`` as machine code, compiled at its first call and kept for the next process.

    The cache lies beside the source or, if that folder is read-only, in the user's cache folder. With neither
    writable the function is recompiled in every process instead of failing.
    """
    return _compile(function, fastmath=False)


def compiled_reduction(function: Callable[P, R]) -> Callable[P, R]:
    """Like ``compiled``, and free to reorder sums so that they use vector registers.

    Every call of one such function sums in the same order, so equal inputs give equal bits; two different functions
    may not. Code that relies on exact ties must take all values from one function.
    """
    return _compile(function, fastmath={"reassoc", "nsz"})


def _compile(function: Callable[P, R], fastmath: bool | set[str]) -> Callable[P, R]:
    try:
        fast: Callable[P, R] = numba.njit(nogil=True, cache=True, fastmath=fastmath)(function)
    except RuntimeError:  # numba found no folder it may cache in
        fast = numba.njit(nogil=True, fastmath=fastmath)(function)
    return fast
