"""A made-up experiment whose truth is known: snapshots for the report's tests."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from harness.reid.metrics import METRICS
from harness.track.snapshot import RunRecord, Snapshot
from harness.units import Units, write_units

MEASURED = {key: asdict(metric) for known in METRICS.values() for key, metric in known.items()}
FACTORS = ("Softmax", "Quadruplet", "Triplet", "DIL", "SAC", "Multi")
TABLE1 = {
    "1": (["Softmax"], 68.5, 83.7),
    "2": (["Quadruplet"], 60.6, 77.2),
    "3": (["Softmax", "Quadruplet"], 73.5, 87.3),
    "3(T)": (["Softmax", "Triplet"], 71.6, 84.3),
    "4": (["Softmax", "DIL", "Multi"], 72.7, 85.6),
    "5": (["Softmax", "Quadruplet", "DIL", "Multi"], 78.4, 90.5),
    "6": (["Softmax", "DIL", "SAC", "Multi"], 76.7, 88.2),
    "7": (["Quadruplet", "DIL", "SAC", "Multi"], 66.0, 80.3),
    "8": (["Softmax", "Quadruplet", "DIL", "SAC", "Multi"], 81.6, 92.8),
}
CLAIMS = (
    {"text": "SAC helps the full method", "better": "8", "than": "5", "metric": "mAP", "by": 3.2},
    {"text": "Quadruplet beats triplet", "better": "3", "than": "3(T)", "metric": "mAP", "by": 1.9},
    {"text": "Softmax alone beats quadruplet alone", "better": "1", "than": "2", "metric": "mAP", "by": 7.9},
    {"text": "Quadruplet beats triplet in Rank-1", "better": "3", "than": "3(T)", "metric": "rank1", "by": 3.0},
)


def table1(**changes: Any) -> dict[str, Any]:
    """The declaration of Table 1 as the tracker keeps it."""
    return {
        "name": "table1",
        "title": "Ablation experiments on Market-1501",
        "profile": "paper",
        "dataset": "market1501",
        "synthetic": None,
        "seeds": [0, 1, 2],
        "metrics": ["mAP", "rank1"],
        "measured": MEASURED,
        "rows": [
            {
                "id": row,
                "label": "",
                "note": "the ticks are inferred" if row == "4" else "",
                "factors": {factor: factor in on for factor in FACTORS},
                "paper": {"mAP": mean, "rank1": rank1},
            }
            for row, (on, mean, rank1) in TABLE1.items()
        ],
        "refused": [{"id": "9", "factors": ["Softmax", "SAC"], "constraint": "SAC requires DIL"}],
        "claims": list(CLAIMS),
        "cited": [],
        "assumptions": [{"key": "stages.classify.epochs", "value": 150, "reason": "three drops of the learning rate"}],
        "overrides": {},
        "notes": [],
        **changes,
    }


PROVENANCE = {
    "profile": "paper",
    "dataset": "market1501",
    "dataset_fingerprint": "d41d8cd98f00",
    "synthetic": "false",
    "code_digest": "5feceb66ffc8",
    "commit": "0123abc",
    "dirty": "false",
    "device": "NVIDIA H100",
    "python": "3.11.9",
    "library torch": "2.13.0",
}


def run(row: str, seed: int, metrics: Mapping[str, float], **changes: Any) -> RunRecord:
    """A finished run."""
    tags = {f"harness.{key}": value for key, value in PROVENANCE.items()}
    values: dict[str, Any] = {
        "run_id": f"run-{row}-{seed}",
        "row": row,
        "seed": seed,
        "status": "finished",
        "reason": "",
        "metrics": dict(metrics),
        "params": {"row": row, "seed": str(seed)},
        "tags": tags,
        "artifacts": None,
        "url": None,
    }
    return RunRecord(**{**values, **changes})


def snapshot(declaration: Mapping[str, Any], runs: Sequence[RunRecord], **provenance: str) -> Snapshot:
    """A snapshot of these runs."""
    return Snapshot("parent-1", declaration["name"], declaration, {**PROVENANCE, **provenance}, tuple(runs))


def answers(
    rng: np.random.Generator, mean: float, seed_effect: float, difficulty: np.ndarray, noise: float = 0.5
) -> dict[str, np.ndarray]:
    """Per-query results like a re-identification test's: bounded, skewed, with queries that are hard for every row."""
    logit = np.log(mean / (1 - mean)) + seed_effect + difficulty + noise * rng.standard_normal(len(difficulty))
    precision = 1 / (1 + np.exp(-logit))
    rank = np.where(rng.random(len(difficulty)) < precision**0.5, 1, rng.integers(2, 30, len(difficulty)))
    return {"average_precision": precision, "first_hit_rank": rank, "inp": precision**2}


def table1_runs(folder: Path, *, seeds: Sequence[int] = (0, 1, 2), identities: int = 60) -> list[RunRecord]:
    """Runs of Table 1 near the paper's numbers, with their per-query files."""
    ids = np.repeat(np.arange(identities), 4)
    world = np.random.default_rng(1)
    difficulty = np.repeat(world.normal(0, 1.2, identities), 4) + world.normal(0, 0.6, len(ids))
    runs = []
    for index, (row, (on, mean, _)) in enumerate(TABLE1.items()):
        for seed in seeds:
            rng = np.random.default_rng([index, seed])
            found = answers(rng, mean / 100, rng.normal(0, 0.05), difficulty)
            place = folder / f"{row}-{seed}"
            place.mkdir(parents=True)
            rank1 = (found["first_hit_rank"] == 1).astype(float)
            values = {"mAP": found["average_precision"], "rank1": rank1, "mINP": found["inp"]}
            write_units(place, Units(values, np.arange(len(ids)), ids, "queries", "identities"))
            metrics = {
                "mAP": float(found["average_precision"].mean()),
                "rank1": float(rank1.mean()),
                "mINP": float(found["inp"].mean()),
                "parameters": 25.6e6 + 12e6 * ("DIL" in on),
                "multiply_adds": 4.1e9 * (4 if "DIL" in on else 1),
                "images_per_s": 900.0 - 600 * ("DIL" in on) + seed,
                "seconds": 5400.0 * (3 if "DIL" in on else 1),
                "peak_memory_mb": 11_200.0,
            }
            runs.append(run(row, seed, metrics, artifacts=place))
    return runs
