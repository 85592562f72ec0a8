"""A search file: typed, strict, every mistake named by file and line."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_core import PydanticCustomError

from harness.errors import InputError, did_you_mean
from harness.matrix import Claim
from harness.matrix.declaration import Declaration, read_declaration
from harness.matrix.key_tree import node_at, unknown_key
from harness.matrix.naming import named_after
from harness.matrix.schema import Declared, Names, RowId, Seeds
from harness.matrix.source import Document, Key, describe, read_yaml
from harness.matrix.validation_errors import refuse
from harness.search.constraint import Comparison, parse_comparison
from harness.search.sides import check_claims, compared_rows
from harness.search.space import Dimension

_MOST_POINTS = 10_000
"""Of a grid, and along one of its sides."""
Number = int | float
Scalar = bool | int | float | str


def _held_out_only(value: Any) -> Any:
    if value != "held_out":
        raise PydanticCustomError(
            "refused",
            "{message}",
            {"message": f"found {describe(value)}, expected held_out: a search never sees the test images"},
        )
    return value


class DimensionSpec(Declared):
    """One searched value: ``{low, high, step | log}`` or ``{choices}``."""

    low: Number | None = None
    high: Number | None = None
    step: Annotated[Number, Field(gt=0)] | None = None
    log: bool = False
    choices: list[Scalar] | None = None


class BudgetSpec(Declared):
    """How much a study may cost; with ``tune: per-row`` every row's study gets the same."""

    trials: Annotated[int, Field(gt=0)]
    hours: Annotated[float, Field(gt=0)] | None = None
    device_hours: Annotated[float, Field(gt=0)] | None = None


class PrunerSpec(Declared):
    """When trials are pruned: every so many epochs of their last stage, by one of Optuna's rules."""

    kind: Literal["median", "successive_halving", "hyperband"]
    every: Annotated[int, Field(gt=0)]
    """Epochs between two evaluations on the held-out identities."""


class SearchProfileSpec(Declared):
    """The changes of a profile of the table's recipe to the search."""

    trials: Annotated[int, Field(gt=0)] | None = None
    pruner: PrunerSpec | None = None
    seeds: Seeds | None = None
    confirm: Seeds | None = None


class SearchSpec(Declared):
    """A search file."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")] | None = None
    """By default the file's name without its ending."""
    title: Annotated[str, Field(min_length=1)]
    table: Annotated[str, Field(min_length=1)]
    """The table file whose rows are searched on, relative to this one."""
    tune: Literal["once", "per-row"]
    """``once``: on one row, for all. ``per-row``: each row its own study of the same budget."""
    rows: list[RowId] = Field(default_factory=list)
    claims: Names = Field(default_factory=list)
    """Instead of rows: claims of the table, by their text. The rows that they compare are tuned with equal budgets, and
    each claim is judged at the rows' own values and at the tuned ones."""
    space: Annotated[dict[str, DimensionSpec], Field(min_length=1)]
    constraints: Names = Field(default_factory=list)
    sampler: Literal["grid", "tpe", "random", "cmaes"]
    sampler_seed: Annotated[int, Field(ge=0)] = 0
    pruner: PrunerSpec | None = None
    """None: every trial is trained to its end."""
    budget: BudgetSpec
    objective: Annotated[Literal["held_out"], BeforeValidator(_held_out_only)] = "held_out"
    metric: str
    seeds: Seeds
    """Seeds of every trial; its value is their mean."""
    confirm: Seeds
    """Fresh seeds under which the best values are measured again, beside the reference, on data that chose nothing."""
    reference: dict[str, Scalar] = Field(default_factory=dict)
    """The values to beat (the paper's), one for each key of the space."""
    held_out: dict[str, Scalar] = Field(default_factory=dict)
    """The data held out of training to score on, in the trainer's own terms; one part chooses, the other confirms."""
    storage: str | None = None
    """An RDB address; None: a journal file in the store."""
    profiles: dict[str, SearchProfileSpec] = Field(default_factory=dict)


@dataclass(frozen=True)
class Budget:
    """How much one study may cost."""

    trials: int
    hours: float | None = None
    """Time to wait, of one call of the command."""
    device_hours: float | None = None
    """Time on devices, of the study as a whole."""


@dataclass(frozen=True)
class Search:
    """A search file, read and checked, under one profile."""

    name: str
    spec: SearchSpec
    document: Document
    table: Declaration
    """The table whose rows are searched on."""
    space: dict[str, Dimension]
    constraints: tuple[Comparison, ...]
    rows: tuple[str, ...]
    claims: tuple[Claim, ...]
    """The claims that are judged after equal tuning."""
    pruner: PrunerSpec | None
    pruner_key: Key
    """Where the file declares the pruner."""
    budget: Budget
    seeds: tuple[int, ...]
    confirm: tuple[int, ...]

    def under(self, profile: str, trials: int | None = None) -> "Search":
        """The search as a profile changes it; ``trials`` replaces the number of trials in the budget."""
        changes = self.spec.profiles.get(profile, SearchProfileSpec())
        search = replace(
            self,
            pruner=changes.pruner or self.pruner,
            pruner_key=("profiles", profile, "pruner") if changes.pruner else self.pruner_key,
            budget=replace(self.budget, trials=trials or changes.trials or self.budget.trials),
            seeds=tuple(changes.seeds or self.seeds),
            confirm=tuple(changes.confirm or self.confirm),
        )
        both = set(search.seeds) & set(search.confirm)
        if both:
            message = f"the seeds {sorted(both)} also choose the values; expected fresh ones"
            raise self.document.error(("confirm",), message)
        if search.pruner is not None and len(search.seeds) < 2:
            message = f"goes by the spread of a trial's seeds; expected two or more seeds, found {list(search.seeds)}"
            raise self.document.error(search.pruner_key, message)
        return search

    @property
    def points(self) -> int | None:
        """How many points a grid has; None for another sampler."""
        if self.spec.sampler != "grid":
            return None
        return math.prod(dimension.count or 0 for dimension in self.space.values())

    def feasible(self, params: dict[str, Any]) -> bool:
        """Whether a point satisfies every constraint."""
        return all(rule.violation(params) <= 0 for rule in self.constraints)


def read_search(path: Path) -> Search:
    """Reads a search file.

    Raises:
        InputError: For anything that is wrong in it, by file, line and key.
    """
    document = read_yaml(path)
    try:
        spec = SearchSpec.model_validate(document.value)
    except ValidationError as error:
        raise refuse(error, SearchSpec, document.locate) from None
    table = read_declaration(path.parent / spec.table)
    claims = check_claims(spec, document, table)
    rows = compared_rows(claims) or tuple(spec.rows)
    if spec.tune == "once" and len(rows) > 1:
        raise document.error(("rows",), f"found {len(rows)} rows, expected one with tune: once")
    for place, row in enumerate(rows):
        if row in rows[:place]:
            raise document.error(("rows", place), f'found row "{row}" twice, expected each row once')
    space = {key: _dimension(key, dimension, document, table) for key, dimension in spec.space.items()}
    if spec.sampler == "grid":
        points = 1
        for key, dimension in space.items():
            if dimension.count is None:
                raise document.error(("space", key), "found no step, which the grid needs; expected step or choices")
            points *= dimension.count
        if points > _MOST_POINTS:
            raise document.error(("space",), f"found a grid of {points} points, expected at most {_MOST_POINTS}")
    if spec.reference and set(spec.reference) != set(space):
        raise document.error(("reference",), f"expected a value for each of {', '.join(space)}")
    name, problem = (spec.name, None) if spec.name else named_after(path)
    if problem:
        raise document.error(("name",), problem)
    return Search(
        name=name,
        spec=spec,
        document=document,
        table=table,
        space=space,
        constraints=tuple(_comparison(document, place, space) for place in range(len(spec.constraints))),
        rows=rows,
        claims=claims,
        pruner=spec.pruner,
        pruner_key=("pruner",),
        budget=Budget(spec.budget.trials, spec.budget.hours, spec.budget.device_hours),
        seeds=tuple(spec.seeds),
        confirm=tuple(spec.confirm),
    )


def _dimension(key: str, spec: DimensionSpec, document: Document, table: Declaration) -> Dimension:
    where: Key = ("space", key)
    tree, parts = table.recipe.tree, tuple(key.split("."))
    if problem := unknown_key(tree, parts):
        raise document.error(where, problem)
    if node_at(tree, parts).is_mapping:
        raise document.error(where, "found the key of a mapping, expected that of a single value")
    if parts[0] in table.recipe.trainer.measuring:
        raise document.error(where, "decides how a trial is measured; expected a value that decides how it is trained")
    if spec.choices is not None:
        if (spec.low, spec.high, spec.step) != (None, None, None) or spec.log:
            raise document.error(where, "found choices and a range, expected one of them")
        if len(set(spec.choices)) < max(2, len(spec.choices)):
            raise document.error((*where, "choices"), "expected two or more different values")
        return Dimension(key, choices=tuple(spec.choices))
    if spec.low is None or spec.high is None:
        raise document.error(where, "expected {low, high, step or log} or {choices: [...]}")
    if spec.low >= spec.high:
        raise document.error(where, f"found low {spec.low} and high {spec.high}, expected low below high")
    if spec.log and (spec.step is not None or spec.low <= 0):
        raise document.error(where, "log goes with low above 0 and without step")
    if spec.step is not None:
        _check_steps(spec.low, spec.high, spec.step, where, document)
    whole = all(isinstance(value, int) for value in (spec.low, spec.high, spec.step or 1))
    step = None if spec.step is None else float(spec.step)
    return Dimension(key, (), float(spec.low), float(spec.high), step, spec.log, whole)


def _check_steps(low: Number, high: Number, step: Number, where: Key, document: Document) -> None:
    """Refuses steps that do not end on ``high``: what is searched should be what is written."""
    steps = (high - low) / step
    if steps > _MOST_POINTS:
        raise document.error(
            where, f"found step {step:g}, which makes {steps:g} values; expected at most {_MOST_POINTS}"
        )
    whole = all(isinstance(value, int) for value in (low, high, step))
    if round(steps) < 1 or ((high - low) % step != 0 if whole else abs(steps - round(steps)) > 1e-6):
        last = low + math.floor(steps) * step
        raise document.error(where, f"found high {high:g}, which no step ends on; the last value below it is {last:g}")


def _comparison(document: Document, place: int, space: dict[str, Dimension]) -> Comparison:
    where: Key = ("constraints", place)
    try:
        rule = parse_comparison(document.value["constraints"][place])
    except InputError as error:
        raise document.error(where, str(error)) from None
    for key in rule.keys:
        if key not in space:
            raise document.error(where, f'"{key}" is not searched; {did_you_mean(key, space)}')
        if any(isinstance(choice, str | bool) for choice in space[key].choices):
            raise document.error(where, f'"{key}" is not a number')
    return rule
