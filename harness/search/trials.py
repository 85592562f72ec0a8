"""A trial as stages: the row's recipe with the values set and data held out, planned like any other row.

All trials share what their values do not touch: a margin leaves no trace in the first stage, so it is trained once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import getitem
from typing import Any

from pydantic import BaseModel, ValidationError

from harness.errors import InputError
from harness.matrix import Matrix, Row
from harness.matrix.patch import Setting, overlay
from harness.matrix.validation_errors import refuse
from harness.plan import CodeDigest, Plan, Stage, build_plan, chain_of, fingerprint
from harness.search.declaration import Search
from harness.search.space import Params
from harness.trainer import PARTS, Inputs, Part

MAX_EPOCHS = 1_000_000
"""More than any stage has."""


@dataclass(frozen=True)
class Trials:
    """Turns points of the space into plans for one row."""

    search: Search
    matrix: Matrix
    """The table under its profile."""
    row: Row
    inputs: Inputs
    """Of the training data alone: there is nothing else that a trial could read."""
    code_digest: CodeDigest

    def __post_init__(self) -> None:
        """Checks that the space fits the row.

        Raises:
            InputError: If the row refuses an end of a range or a choice, or does not read a value at all.
        """
        for key, dimension in self.search.space.items():
            identities = {self._identity({**self.corner, key: end}) for end in dimension.ends()}
            if len(identities) < 2:
                message = f'changes nothing in row "{self.row.id}", which does not read it'
                raise self.search.document.error(("space", key), message)
        if self.search.claims:
            self._check_tuning()
        elif self.search.spec.reference:
            self.recipe(self.reference, "reference")
        if self.search.pruner is not None and len(self.rungs(self.corner)) == 1:
            (last,) = self.rungs(self.corner)
            message = f"found {self.search.pruner.every}, expected fewer than the {last} epochs of the last stage"
            raise self.search.document.error((*self.search.pruner_key, "every"), message)

    @property
    def identity(self) -> str:
        """Equal for equal questions: what is searched, on which data, measured how, by which code. No budget."""
        search = self.search
        question = {
            "start": self.parts,
            "space": {key: repr(dimension) for key, dimension in search.space.items()},
            "constraints": [rule.text for rule in search.constraints],
            "seeds": list(search.seeds),
            "metric": search.spec.metric,
        }
        if search.claims:  # the first trial, and which points every row is given
            question |= {"first": self.reference, "sampler": [search.spec.sampler, search.spec.sampler_seed]}
        return fingerprint(question)

    @property
    def reference(self) -> Params:
        """The values to beat: those that the file names, or the row's own where claims are judged; empty for none."""
        if not self.search.claims:
            return dict(self.search.spec.reference)
        return own_values(self.row, self.search.space)

    @property
    def parts(self) -> dict[str, str]:
        """The fingerprint of a point's evaluation on each part of the held-out data: equal where it is not divided."""
        return {part: self._identity(self.corner, part) for part in PARTS}

    @property
    def corner(self) -> Params:
        """The point at the first end of every dimension."""
        return {key: dimension.ends()[0] for key, dimension in self.search.space.items()}

    @property
    def first(self) -> Params:
        """The point of the first trial, where not the sampler's: the row's own values; a grid holds them anyway."""
        return self.reference if self.search.claims and self.search.spec.sampler != "grid" else {}

    def plan(
        self, jobs: Iterable[tuple[str, Params]], seeds: Sequence[int], cached: Callable[[str], bool], part: Part
    ) -> Plan:
        """The stages of named points under some seeds, scored on a part; a run's row is the point's name."""
        rows = tuple(replace(self.row, id=name, recipe=self.recipe(params, part=part)) for name, params in jobs)
        wanted = replace(self.matrix, rows=rows, refused=(), seeds=tuple(seeds))
        return build_plan(wanted, self.matrix.trainer, self.inputs, self.code_digest, cached)

    def rungs(self, params: Params) -> dict[int, Params]:
        """The point as it stops after some epochs of its last stage, by epoch; the whole point last.

        Where a recipe stops is one of its values: a point that stops early differs from the whole one in that alone.
        """
        every = self.search.pruner.every if self.search.pruner else MAX_EPOCHS
        stops = self.matrix.trainer.stops(self.recipe(params), every)
        return {epoch: {**params, **settings} for epoch, settings in stops.items()} or {1: params}

    def recipe(self, params: Params, source: str = "space", part: Part = "choose") -> BaseModel:
        """The row's recipe at a point, data held out and scored on a part of it.

        Raises:
            InputError: If it is not a valid recipe.
        """
        document = self.search.document
        settings = [Setting(tuple(key.split(".")), value, document, (source, key)) for key, value in params.items()]
        model = self.matrix.trainer.settings
        try:
            laid = model.model_validate(overlay(self.row.recipe.model_dump(by_alias=True), settings))
        except ValidationError as error:
            raise refuse(error, model, lambda key: document.locate((source, ".".join(map(str, key))))) from None
        try:
            return self.matrix.trainer.hold_out(laid, self.search.spec.held_out, part)
        except ValidationError as error:
            raise refuse(error, model, lambda key: document.locate(("held_out", *key[2:]))) from None
        except InputError as error:
            raise document.error(("held_out",), str(error)) from None

    def _check_tuning(self) -> None:
        """Checks that tuning can keep the row's own values, and confirms on other data than it chooses on.

        Raises:
            InputError: If it cannot.
        """
        document = self.search.document
        for key, value in self.reference.items():
            if not self.search.space[key].holds(value):
                message = f'lacks {value}, the value of row "{self.row.id}"; expected a space that holds it'
                raise document.error(("space", key), message)
        trials, points = self.search.budget.trials, self.search.points
        if points is not None and trials < points:
            message = f"found {trials}, expected {points}, all of the grid: the row's own values are among them"
            raise document.error(("budget", "trials"), message)
        for rule in self.search.constraints:
            if rule.violation(self.reference) > 0:
                message = f'{rule.text} does not hold for the values of row "{self.row.id}"'
                raise document.error(("constraints",), message)
        if len(set(self.parts.values())) < len(PARTS):
            message = (
                "the trainer scores both parts alike; expected other data to confirm on: held_out: {choose, confirm}"
            )
            raise document.error(("claims",), message)

    def _identity(self, params: Params, part: Part = "choose") -> str:
        return self.chain(params, part)[-1].fingerprint

    def chain(self, params: Params, part: Part = "choose") -> tuple[Stage, ...]:
        """Returns the stages of one point under seed 0, the evaluation last."""
        row = replace(self.row, recipe=self.recipe(params, part=part))
        return tuple(chain_of(row, 0, self.matrix.trainer, self.inputs, self.code_digest))


def own_values(row: Row, keys: Iterable[str]) -> Params:
    """A row's own values of some dotted keys."""
    settings: Mapping[str, Any] = row.recipe.model_dump(by_alias=True)
    return {key: reduce(getitem, key.split("."), settings) for key in keys}
