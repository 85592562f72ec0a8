"""Estimates what a search would train: the trials left in its budget, and the runs that confirm the chosen values.

The points of a sampler that learns are not known beforehand: as many random points are drawn instead, which share
stages in the same way. Pruning is not subtracted.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.api.plan import estimates_of
from harness.api.search import open_study
from harness.api.speeds import known_speeds
from harness.api.studies import PreparedSearch
from harness.errors import InputError
from harness.plan import Plan
from harness.search.result import best_trial
from harness.search.space import Dimension, Params, grid_points

if TYPE_CHECKING:
    from harness.execute import Slot
    from harness.search.trials import Trials

_DRAWS = 10_000


def describe_search_cost(prepared: PreparedSearch, slots: "Sequence[Slot]") -> dict[str, Any]:
    """The stages and epochs that each row would still train, and how long all takes, as plain data.

    Raises:
        InputError: If another process carries out this search.
    """
    with prepared.store.lock(f"study-{prepared.title}") as free:
        if not free:
            raise InputError(f"{prepared.search.document.name}: another process carries out this search; wait for it")
        plans = {trials.row.id: _plan(prepared, trials) for trials in prepared.trials}
    seen: set[str] = set()
    lines = []
    for row, plan in plans.items():
        own = [stage for stage in plan.to_run if stage.fingerprint not in seen]
        seen |= {stage.fingerprint for stage in own}
        lines.append({"row": row, "stages_to_run": len(own), "epochs_to_run": sum(stage.epochs for stage in own)})
    whole = Plan(
        {name: stage for plan in plans.values() for name, stage in plan.stages.items()},
        tuple(run for plan in plans.values() for run in plan.runs),
        frozenset[str]().union(*(plan.cached for plan in plans.values())),
        (),
    )
    return {
        "search": prepared.search.name,
        "trials": prepared.search.budget.trials,
        "seeds": list(prepared.search.seeds),
        "confirm": list(prepared.search.confirm),
        "rows": lines,
        "stages_to_run": len(whole.to_run),
        "epochs_to_run": sum(stage.epochs for stage in whole.to_run),
        "estimates": estimates_of(whole, known_speeds(prepared.store), len(slots)),
    }


def _plan(prepared: PreparedSearch, trials: "Trials") -> Plan:
    """One row's trials, those that there were among them, and the confirmation."""
    search, cached = prepared.search, prepared.store.is_complete
    known: list[dict[str, Any]] = []
    if search.spec.storage is not None or prepared.journal.is_file():
        known = [trial for trial in open_study(prepared, trials).records() if trial["state"] != "infeasible"]
    points: list[Params] = [trial["params"] for trial in known]
    if not points and trials.first:
        points = [trials.first]
    points += _drawn(prepared, search.budget.trials - len(points), points)
    named = {f"trial {number}": point for number, point in enumerate(points)}
    best = best_trial(known, minimize=prepared.metric.lower_is_better)
    ending = {"best": best["params"] if best else next(reversed(points), {}), "reference": trials.reference}
    confirmed = {name: point for name, point in ending.items() if point}
    chosen = trials.plan(named.items(), search.seeds, cached, "choose")
    last = trials.plan(confirmed.items(), search.confirm, cached, "confirm")
    return Plan(
        {**chosen.stages, **last.stages}, (*chosen.runs, *last.runs), chosen.cached | last.cached, (), chosen.assumed
    )


def _drawn(prepared: PreparedSearch, count: int, known: Sequence[Params]) -> list[Params]:
    """Feasible points in place of those that the sampler will propose."""
    search = prepared.search
    if search.spec.sampler == "grid":
        free = (point for point in grid_points(search.space) if search.feasible(point) and point not in known)
        return [point for point, _ in zip(free, range(max(count, 0)), strict=False)]
    generator = np.random.default_rng(search.spec.sampler_seed)
    found: list[Params] = []
    for _ in range(_DRAWS):
        if len(found) >= count:
            break
        point = {key: _draw(dimension, generator) for key, dimension in search.space.items()}
        if search.feasible(point):
            found.append(point)
    return found


def _draw(dimension: Dimension, generator: np.random.Generator) -> Any:
    if dimension.choices:
        return dimension.choices[int(generator.integers(len(dimension.choices)))]
    if values := dimension.grid():
        return values[int(generator.integers(len(values)))]
    low, high = dimension.low, dimension.high
    if dimension.log:
        return dimension.exact(float(np.exp(generator.uniform(np.log(low), np.log(high)))))
    return dimension.exact(float(generator.uniform(low, high)))


def cost_lines(answer: Mapping[str, Any]) -> list[str]:
    """The same as readable lines."""
    from harness.formatting import counted

    def cost(line: Mapping[str, Any]) -> str:
        return f"{counted(line['stages_to_run'], 'stage')}, {counted(line['epochs_to_run'], 'epoch')}"

    lines = [f"{counted(answer['trials'], 'trial')} a row, seeds {answer['seeds']}, confirmed with {answer['confirm']}"]
    lines += [f"row {line['row']}: {cost(line)}" for line in answer["rows"]]
    lines.append(f"To run: {cost(answer)}, if no trial is pruned.")
    return lines + [
        f"On {one['device']}: {one['wall_hours']:.2g} hours with {one['stages_at_a_time']} stages at a time."
        for one in answer["estimates"]
    ]
