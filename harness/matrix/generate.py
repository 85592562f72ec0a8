"""Rows that are worked out: full factorial, leave-one-out, add-one-in."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from harness.matrix.schema import GenerateSpec
from harness.matrix.source import Key

MAX_FACTORS = 13
"""A full factorial of more would have over 8,192 rows."""


@dataclass(frozen=True)
class GeneratedRow:
    """A generated row: its id says how it came about."""

    id: str
    factors: tuple[str, ...]
    source: Key


def generated_rows(spec: GenerateSpec) -> Iterator[GeneratedRow]:
    """The rows of a ``generate:`` block, in its order; constraints are not looked at here.

    A factor that is named both in ``factors`` and in ``base`` stays on.

    >>> spec = GenerateSpec.model_validate({"leave_one_out": {"factors": ["DIL", "SAC"], "base": ["Softmax"]}})
    >>> [row.id for row in generated_rows(spec)]
    ['full', 'full - DIL', 'full - SAC']
    """
    generators = (
        ("full_factorial", spec.full_factorial, _full_factorial),
        ("leave_one_out", spec.leave_one_out, _leave_one_out),
        ("add_one_in", spec.add_one_in, _add_one_in),
    )
    for name, declared, rows in generators:
        if declared is not None:
            varied = tuple(factor for factor in declared.factors if factor not in declared.base)
            for row, on in rows(tuple(declared.base), varied):
                yield GeneratedRow(row, on, ("generate", name))


_Rows = Iterator[tuple[str, tuple[str, ...]]]
"""Ids of rows, each with the factors that are on."""


def _full_factorial(base: tuple[str, ...], varied: tuple[str, ...]) -> _Rows:
    for switches in product((False, True), repeat=len(varied)):
        on = (*base, *(name for name, switch in zip(varied, switches, strict=True) if switch))
        yield " + ".join(on) or "none", on


def _leave_one_out(base: tuple[str, ...], varied: tuple[str, ...]) -> _Rows:
    yield "full", (*base, *varied)
    for left_out in varied:
        yield f"full - {left_out}", (*base, *(name for name in varied if name != left_out))


def _add_one_in(base: tuple[str, ...], varied: tuple[str, ...]) -> _Rows:
    yield "base", base
    for added in varied:
        yield f"base + {added}", (*base, added)
