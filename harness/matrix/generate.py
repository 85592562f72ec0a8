"""Generated rows: full factorial, leave-one-out, add-one-in."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from math import prod

from harness.errors import InputError
from harness.matrix.levels import Levels, level_name, named, read_mention
from harness.matrix.schema import GenerateSpec, GeneratorSpec
from harness.matrix.source import Key

MOST_ROWS = 8192


@dataclass(frozen=True)
class GeneratedRow:
    """A generated row: its id says how it came about."""

    id: str
    factors: tuple[str, ...]
    source: Key


def generated_rows(spec: GenerateSpec, levels: Levels) -> Iterator[GeneratedRow]:
    """The rows of a ``generate:`` block, in its order; constraints are not looked at here.

    A factor that is named both in ``factors`` and in ``base`` stays as ``base`` has it.

    >>> spec = GenerateSpec.model_validate({"leave_one_out": {"factors": ["DIL", "SAC"], "base": ["Softmax"]}})
    >>> toggle = (False, True)
    >>> [row.id for row in generated_rows(spec, {"Softmax": toggle, "DIL": toggle, "SAC": toggle})]
    ['full', 'full - DIL', 'full - SAC']
    """
    for name, declared, rows in _declared(spec):
        for row, mentions in rows(tuple(declared.base), _varied(declared, levels)):
            yield GeneratedRow(row, mentions, ("generate", name))


def check_generated(spec: GenerateSpec, levels: Levels) -> Iterator[tuple[Key, str]]:
    """Yields what no generator can vary: where it is declared, and why."""
    for name, declared, _ in _declared(spec):
        for key, mentions in (("factors", declared.factors), ("base", declared.base)):
            for position, text in enumerate(mentions):
                where: Key = ("generate", name, key, position)
                try:
                    mention = read_mention(text, levels)
                except InputError as error:
                    yield where, str(error)
                    return
                if mention.level is False:
                    yield where, f'found "{text}", expected a factor that is on'
                    return
                if mention.level is None and (key == "base" or name == "leave_one_out"):
                    expected = " or ".join(level_name(mention.factor, own) for own in named(levels[mention.factor]))
                    yield where, f'found "{text}", which has levels; expected one of them: {expected}'
                    return
        count = prod(len(own) for own in _varied(declared, levels))
        if name == "full_factorial" and count > MOST_ROWS:
            yield ("generate", name, "factors"), f"found {count} combinations, expected at most {MOST_ROWS}"


_Rows = Iterator[tuple[str, tuple[str, ...]]]
"""Ids of rows, each with the factors that it mentions."""
_Generator = Callable[[tuple[str, ...], "_Varied"], _Rows]
_Varied = tuple[tuple[str | None, ...], ...]
"""For each varied factor its levels as a row mentions them; None: not at all."""


def _declared(spec: GenerateSpec) -> Iterable[tuple[str, GeneratorSpec, "_Generator"]]:
    generators = (
        ("full_factorial", spec.full_factorial, _full_factorial),
        ("leave_one_out", spec.leave_one_out, _leave_one_out),
        ("add_one_in", spec.add_one_in, _add_one_in),
    )
    return [(name, declared, rows) for name, declared, rows in generators if declared is not None]


def _varied(declared: GeneratorSpec, levels: Levels) -> _Varied:
    fixed = {read_mention(text, levels).factor for text in declared.base}
    varied: list[tuple[str | None, ...]] = []
    for text in declared.factors:
        mention = read_mention(text, levels)
        if mention.factor in fixed:
            continue
        if mention.level is None:
            own = levels[mention.factor]
            varied.append(tuple(None if level is False else level_name(mention.factor, level) for level in own))
        else:
            varied.append((None, text))
    return tuple(varied)


def _full_factorial(base: tuple[str, ...], varied: _Varied) -> _Rows:
    for combination in product(*varied):
        mentions = (*base, *filter(None, combination))
        yield " + ".join(mentions) or "none", mentions


def _leave_one_out(base: tuple[str, ...], varied: _Varied) -> _Rows:
    full = tuple(levels[-1] or "" for levels in varied)
    yield "full", (*base, *full)
    for left_out in full:
        yield f"full - {left_out}", (*base, *(name for name in full if name != left_out))


def _add_one_in(base: tuple[str, ...], varied: _Varied) -> _Rows:
    yield "base", base
    for levels in varied:
        for added in filter(None, levels[1:]):
            yield f"base + {added}", (*base, added)
