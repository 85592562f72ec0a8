"""A study's outcome as plain data: read by the report, and by a table that takes its values from it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.files import replace_text
from harness.search.declaration import Search
from harness.search.noise import noise_of

FORMAT = 1


@dataclass(frozen=True)
class Score:
    """The outcome of a point under one seed."""

    value: float | None
    """On held-out identities; None if it has none."""
    stages: tuple[str, ...]
    """Fingerprints of its stages, the evaluation last."""
    reason: str = ""
    """Why there is no value."""
    spent: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    """Seconds on a device and epochs of each of its stages that finished."""


def best_trial(trials: Iterable[Mapping[str, Any]], *, minimize: bool) -> Mapping[str, Any] | None:
    """The complete trial with the best mean over its seeds, the earliest of equal ones; None if none is complete."""
    complete = [trial for trial in trials if trial["state"] == "complete"]
    sign = 1 if minimize else -1
    return min(complete, key=lambda trial: (sign * trial["value"], trial["number"]), default=None)


def stage_costs(trials: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Sums a study's cost on devices, and what its trials would have cost, each trained from nothing to its end.

    ``results`` counts trials x seeds. A trial that was pruned, or failed, would have cost what a complete one does on
    average; without a complete one nothing is known of that, and the unshared figures are 0.
    """
    trials = list(trials)
    spent = {name: cost for trial in trials for name, cost in trial["spent"].items()}
    results = sum(len(trial["chains"]) for trial in trials)
    whole = [chain for trial in trials if trial["state"] == "complete" for chain in trial["chains"]]
    costs = {"results": float(results)}
    for place, unit in enumerate(("seconds", "epochs")):
        costs[unit] = float(sum(cost[place] for cost in spent.values()))
        alone = [sum(spent[name][place] for name in chain) for chain in whole]
        costs[f"unshared_{unit}"] = results * sum(alone) / len(alone) if alone else 0.0
    return costs


def study_noise(trials: Iterable[Mapping[str, Any]]) -> dict[str, float] | None:
    """Estimates how far the seeds of complete trials spread, and how much of the trials' differences is noise."""
    noise = noise_of([trial["values"] for trial in trials if trial["state"] == "complete"])
    return None if noise is None else {"sd": noise.sd, "allowed": noise.allowed, "p_value": noise.p_value}


def confirmed(scores: Mapping[tuple[str, int], Score], name: str) -> list[dict[str, Any]]:
    """The results of a named point under each confirming seed: seed, value, evaluation (its stage), reason."""
    return [
        {"seed": seed, "value": score.value, "evaluation": score.stages[-1], "reason": score.reason}
        for (point, seed), score in scores.items()
        if point == name
    ]


def describe_search(search: Search) -> dict[str, Any]:
    """The question of a search as JSON: the file's settings as they hold under the profile."""
    spec = search.spec
    return {
        "format": FORMAT,
        "name": search.name,
        "title": spec.title,
        "table": search.table.name,
        "tune": spec.tune,
        "metric": spec.metric,
        "sampler": spec.sampler,
        "pruner": None if search.pruner is None else search.pruner.model_dump(),
        "budget": vars(search.budget),
        "seeds": list(search.seeds),
        "confirm": list(search.confirm),
        "held_out": dict(spec.held_out),
        "space": {key: _dimension_text(spec.space[key].model_dump(exclude_none=True)) for key in search.space},
        "constraints": [rule.text for rule in search.constraints],
    }


def write_result(path: Path, record: Mapping[str, Any]) -> None:
    """Writes a study's outcome, renamed into place whole.

    Its ``folders`` are left out: the file may move with its store, or be read on another machine.
    """
    kept = {key: value for key, value in record.items() if key != "folders"}
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, json.dumps(kept, indent=2, ensure_ascii=False, allow_nan=False))


def _dimension_text(dimension: Mapping[str, Any]) -> str:
    if "choices" in dimension:
        return "one of " + ", ".join(map(str, dimension["choices"]))
    step = (
        f", step {dimension['step']}" if "step" in dimension else ", on a logarithmic scale" if dimension["log"] else ""
    )
    return f"{dimension['low']} to {dimension['high']}{step}"
