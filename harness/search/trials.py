"""A trial as stages: the row's recipe with the values set and identities held out, planned like any other row.

All trials share what their values do not touch: a margin leaves no trace in the first stage, so it is trained once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from harness.matrix import Matrix, Row
from harness.matrix.patch import Setting, overlay
from harness.matrix.wording import refuse
from harness.plan import DataIdentity, Plan, build_plan, fingerprint, stages_of
from harness.reid.recipe import Recipe
from harness.search.declaration import Search
from harness.search.space import Params


@dataclass(frozen=True)
class Trials:
    """Turns points of the space into plans for one row."""

    search: Search
    matrix: Matrix
    """The table under its profile."""
    row: Row
    data: DataIdentity
    """Of the training split alone: there is nothing else that a trial could read."""
    code: Mapping[str, str]
    weights_identity: Callable[[str, str], str]

    def __post_init__(self) -> None:
        """Checks that the space fits the row.

        Raises:
            InputError: If the row refuses an end of a range or a choice, or does not read a value at all.
        """
        start = {key: dimension.ends()[0] for key, dimension in self.search.space.items()}
        for key, dimension in self.search.space.items():
            identities = {self._identity({**start, key: end}) for end in dimension.ends()}
            if len(identities) < 2:
                told = f'changes nothing in row "{self.row.id}", which does not read it'
                raise self.search.document.error(("space", key), told)
        if self.search.spec.reference:
            self.recipe(dict(self.search.spec.reference), "reference")
        if self.search.pruner is not None and len(self.rungs(start)) == 1:
            (last,) = self.rungs(start)
            told = f"found {self.search.pruner.every}, expected fewer than the {last} epochs of the last stage"
            raise self.search.document.error((*self.search.pruner_key, "every"), told)

    @property
    def identity(self) -> str:
        """Equal for equal questions: what is searched, on which data, measured how, by which code. No budget."""
        search = self.search
        return fingerprint(
            {
                "start": self._identity({key: dimension.ends()[0] for key, dimension in search.space.items()}),
                "space": {key: repr(dimension) for key, dimension in search.space.items()},
                "constraints": [rule.text for rule in search.constraints],
                "seeds": list(search.seeds),
                "metric": search.spec.metric,
            }
        )

    def plan(self, jobs: Iterable[tuple[str, Params]], seeds: Sequence[int], cached: Callable[[str], bool]) -> Plan:
        """The stages of named points under some seeds; a run's row is the point's name."""
        rows = tuple(replace(self.row, id=name, recipe=self.recipe(params)) for name, params in jobs)
        wanted = replace(self.matrix, rows=rows, refused=(), seeds=tuple(seeds))
        return build_plan(wanted, self.data, self.code, self.weights_identity, cached)

    def rungs(self, params: Params) -> dict[int, Params]:
        """The point as it stops after some epochs of its last stage, by epoch; the whole point last.

        Where a recipe stops is one of its values: a point that stops early differs from the whole one in that alone.
        """
        recipe = self.recipe(params)
        stage = recipe.trained_stages()[-1]
        last, pruner = recipe.stages[stage].last_epoch, self.search.pruner
        stops = [] if pruner is None else range(pruner.every, last, pruner.every)
        return {epoch: {**params, f"stages.{stage}.stop_after": epoch} for epoch in stops} | {last: params}

    def recipe(self, params: Params, source: str = "space") -> Recipe:
        """The row's recipe at a point, identities held out.

        Raises:
            InputError: If it is no valid recipe.
        """
        search = self.search
        document = search.document
        held_out: dict[str, Any] = search.spec.held_out.model_dump()
        settings = [
            Setting(("data", "held_out"), held_out, document, ("held_out",)),
            *(Setting(tuple(key.split(".")), value, document, (source, key)) for key, value in params.items()),
        ]
        try:
            return Recipe.model_validate(overlay(self.row.recipe.model_dump(by_alias=True), settings))
        except ValidationError as error:
            raise refuse(error, Recipe, lambda key: document.tell((source, ".".join(map(str, key))))) from None

    def _identity(self, params: Params) -> str:
        model = self.row.recipe.model
        weights = self.weights_identity(model.backbone, model.weights)
        row = replace(self.row, recipe=self.recipe(params))
        return stages_of(row, 0, self.data, self.code, weights)[-1].fingerprint
