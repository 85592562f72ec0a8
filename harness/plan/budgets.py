"""Differences of two rows' trainings besides the factor compared: stages, epochs, steps, samplers.

A comparison is fair if both rows were trained alike. Rows may differ in their training because a factor adds a stage
(a loss with a stage of its own): then its effect holds more epochs and another sampler as well as the loss. Pure
functions over what the stages declare (``StageSpec.epochs`` and ``StageSpec.budget``), so that any trainer's rows get
it. Refuses judging whether a difference matters.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class StageBudget:
    """The training budget of one stage of a row."""

    name: str
    epochs: int = 0
    budget: Mapping[str, Any] = field(default_factory=dict)
    """See ``StageSpec.budget``."""


def also_differs(first: Sequence[StageBudget], second: Sequence[StageBudget]) -> str:
    """Describes in a phrase how the first row's training differs from the second's; empty if it does not.

    Numbers are summed over the stages; other values differ if the stages do not have the same ones, in any order. A
    stage that trains nothing to compare (no epochs, no budget) is passed over.

    >>> shuffled, by_identity = {"sampler": "shuffled"}, {"sampler": "18 identities x 4 images"}
    >>> one = [StageBudget("classify", 150, shuffled)]
    >>> two = [*one, StageBudget("metric", 150, by_identity)]
    >>> also_differs(two, one)
    'also 150 more epochs, stage metric and another sampler'
    >>> also_differs(one, [StageBudget("metric", 150, by_identity)])
    'also stage classify in place of metric and another sampler'
    >>> also_differs([StageBudget("classify", 2)], [StageBudget("classify", 1)])
    'also 1 more epoch'
    >>> also_differs(two, two)
    ''
    """
    rows = [[stage for stage in row if stage.epochs or stage.budget] for row in (first, second)]
    parts = [*_numbers(*rows), *_stages(*rows), *_others(*rows)]
    return f"also {_joined(parts)}" if parts else ""


def declared_budgets(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[StageBudget, ...]]:
    """The budgets by row of a declaration as it was recorded; rows of older records have none."""
    return {str(row["id"]): tuple(StageBudget(**stage) for stage in row.get("training", ())) for row in rows}


def _numbers(first: Sequence[StageBudget], second: Sequence[StageBudget]) -> list[str]:
    sums = [Counter[str](), Counter[str]()]
    for total, row in zip(sums, (first, second), strict=True):
        for stage in row:
            total["epochs"] += stage.epochs
            for name, value in stage.budget.items():
                if _is_number(value):
                    total[name] += value
    differences = []
    for name in dict.fromkeys([*sums[0], *sums[1]]):
        more = sums[0][name] - sums[1][name]
        if more:
            noun = name.replace("_", " ")
            noun = noun.removesuffix("s") if abs(more) == 1 else noun
            differences.append(f"{abs(more):,g} {'more' if more > 0 else 'fewer'} {noun}")
    return differences


def _stages(first: Sequence[StageBudget], second: Sequence[StageBudget]) -> list[str]:
    names = [Counter(stage.name for stage in row) for row in (first, second)]
    added, taken = sorted(names[0] - names[1]), sorted(names[1] - names[0])
    if added and taken:
        return [f"stage {' and '.join(added)} in place of {' and '.join(taken)}"]
    return [*(f"stage {name}" for name in added), *(f"no stage {name}" for name in taken)]


def _others(first: Sequence[StageBudget], second: Sequence[StageBudget]) -> list[str]:
    values = [
        Counter((name, repr(value)) for stage in row for name, value in stage.budget.items() if not _is_number(value))
        for row in (first, second)
    ]
    differing = {name for name, _ in ((values[0] - values[1]) + (values[1] - values[0]))}
    order = dict.fromkeys(name for stage in (*first, *second) for name in stage.budget)
    return [f"another {name.replace('_', ' ')}" for name in order if name in differing]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _joined(parts: Sequence[str]) -> str:
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]
