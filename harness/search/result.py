"""A study's outcome as plain data: what the report and the table that takes its values from it read."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.search.declaration import Search
from harness.search.loop import Score

FORMAT = 1


def best_trial(trials: Iterable[Mapping[str, Any]], *, minimize: bool) -> Mapping[str, Any] | None:
    """The complete trial with the best mean over its seeds, the earliest of equal ones; None if none is complete."""
    complete = [trial for trial in trials if trial["state"] == "complete"]
    sign = 1 if minimize else -1
    return min(complete, key=lambda trial: (sign * trial["value"], trial["number"]), default=None)


def stage_costs(
    chains: Iterable[tuple[str, ...]], seconds: Mapping[str, float], epochs: Mapping[str, int]
) -> dict[str, float]:
    """What a study cost on devices, and what the same trainings would have cost without sharing stages.

    Args:
        chains: The stages behind each result, one for each trial and seed.
        seconds: What each stage took; a stage that did not finish is missing and costs nothing here.
        epochs: What each stage trained.
    """
    chains = list(chains)
    distinct = {name for chain in chains for name in chain}
    return {
        "results": float(len(chains)),
        "seconds": sum(seconds.get(name, 0.0) for name in distinct),
        "unshared_seconds": sum(seconds.get(name, 0.0) for chain in chains for name in chain),
        "epochs": float(sum(epochs.get(name, 0) for name in distinct)),
        "unshared_epochs": float(sum(epochs.get(name, 0) for chain in chains for name in chain)),
    }


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
        "pruner": spec.pruner,
        "budget": vars(search.budget),
        "seeds": list(search.seeds),
        "confirm": list(search.confirm),
        "held_out": spec.held_out.model_dump(),
        "space": {key: _told(spec.space[key].model_dump(exclude_none=True)) for key in search.space},
        "constraints": [rule.text for rule in search.constraints],
        "reference": dict(spec.reference),
    }


def write_result(path: Path, record: Mapping[str, Any]) -> None:
    """Writes a study's outcome, renamed into place whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False), encoding="utf-8")
    part.replace(path)


def _told(dimension: Mapping[str, Any]) -> str:
    if "choices" in dimension:
        return "one of " + ", ".join(map(str, dimension["choices"]))
    step = (
        f", step {dimension['step']}" if "step" in dimension else ", on a logarithmic scale" if dimension["log"] else ""
    )
    return f"{dimension['low']} to {dimension['high']}{step}"
