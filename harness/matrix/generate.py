"""Rows that are worked out: full factorial, leave-one-out, add-one-in."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from harness.matrix.schema import AddOneInSpec, FullFactorialSpec, GenerateSpec, LeaveOneOutSpec
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

    >>> [row.id for row in generated_rows(GenerateSpec.model_validate({"leave_one_out": {"from": ["DIL", "SAC"]}}))]
    ['full', 'full - DIL', 'full - SAC']
    """
    if spec.full_factorial is not None:
        yield from _full_factorial(spec.full_factorial)
    if spec.leave_one_out is not None:
        yield from _leave_one_out(spec.leave_one_out)
    if spec.add_one_in is not None:
        yield from _add_one_in(spec.add_one_in)


def _full_factorial(spec: FullFactorialSpec) -> Iterator[GeneratedRow]:
    toggled = [name for name in spec.factors if name not in spec.always]
    for switches in product((False, True), repeat=len(toggled)):
        on = (*spec.always, *(name for name, switch in zip(toggled, switches, strict=True) if switch))
        yield GeneratedRow(" + ".join(on) or "none", on, ("generate", "full_factorial"))


def _leave_one_out(spec: LeaveOneOutSpec) -> Iterator[GeneratedRow]:
    full = tuple(spec.from_)
    yield GeneratedRow("full", full, ("generate", "leave_one_out"))
    for left_out in full:
        rest = tuple(name for name in full if name != left_out)
        yield GeneratedRow(f"full - {left_out}", rest, ("generate", "leave_one_out"))


def _add_one_in(spec: AddOneInSpec) -> Iterator[GeneratedRow]:
    base = tuple(spec.base)
    yield GeneratedRow("base", base, ("generate", "add_one_in"))
    for added in spec.factors:
        if added not in base:
            yield GeneratedRow(f"base + {added}", (*base, added), ("generate", "add_one_in"))
