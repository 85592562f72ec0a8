"""Tables for the tests of planning: the paper's Table 1 in small, and the pieces it is made of."""

from typing import Any

from harness.matrix.matrix import Claim, Matrix, Row
from harness.plan import Plan, build_plan
from harness.reid.metrics import METRICS
from harness.reid.recipe import Recipe
from harness.reid.stages import CODE_ROOTS
from harness.reid.trainer import TRAINER
from harness.trainer import Inputs

DATA = Inputs(
    name="market1501",
    contents={"train": "a" * 32, "query": "b" * 32, "gallery": "c" * 32},
    sizes={"train": 100, "query": 20, "gallery": 50, "classes": 10},
)
FACTORS = ("Softmax", "Quadruplet", "Triplet", "DIL", "SAC", "Multi")
TABLE1 = {
    "1": ("Softmax",),
    "2": ("Quadruplet",),
    "3": ("Softmax", "Quadruplet"),
    "3(T)": ("Softmax", "Triplet"),
    "4": ("Softmax", "DIL", "Multi"),
    "5": ("Softmax", "Quadruplet", "DIL", "Multi"),
    "6": ("Softmax", "DIL", "SAC", "Multi"),
    "7": ("Quadruplet", "DIL", "SAC", "Multi"),
    "8": ("Softmax", "Quadruplet", "DIL", "SAC", "Multi"),
}
_PATCHES: dict[str, dict[str, Any]] = {
    "Softmax": {"losses": {"softmax": {"weight": 1.0}}},
    "Quadruplet": {"losses": {"quadruplet": {"weight": 1.0}}},
    "Triplet": {"losses": {"triplet": {"weight": 1.0}}},
    "DIL": {"model": {"output_stride": 8, "stage6": True}},
    "SAC": {"losses": {"sac": {"weight": 1.0}}},
    "Multi": {"model": {"multi_level": True}},
}
_BASE: dict[str, Any] = {
    "data": {"dataset": "market1501", "height_px": 64, "width_px": 32},
    "model": {"backbone": "resnet18", "weights": "none", "embedding_dim": 32},
    "losses": {},
    "stages": {
        "classify": {
            "losses": ["softmax", "sac"],
            "epochs": 4,
            "sampler": {"kind": "shuffled", "batch_size": 16},
            "optimizer": {"lr": 0.1},
        },
        "metric": {
            "losses": ["softmax", "triplet", "quadruplet", "sac"],
            "needs_one_of": ["triplet", "quadruplet"],
            "epochs": 6,
            "sampler": {"kind": "identities", "identities": 4, "images": 4},
            "optimizer": {"lr": 0.0001, "lr_from_scratch": 0.1},
        },
    },
    "evaluation": {"protocol": "market"},
}


def merged(base: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in patch.items():
        result[key] = merged(result.get(key, {}), value) if isinstance(value, dict) else value
    return result


def recipe(factors: tuple[str, ...], patch: dict[str, Any] | None = None) -> Recipe:
    values = _BASE
    for factor in factors:
        values = merged(values, _PATCHES[factor])
    return Recipe.model_validate(merged(values, patch or {}))


def row(row_id: str, factors: tuple[str, ...], patch: dict[str, Any] | None = None) -> Row:
    return Row(row_id, {name: name in factors for name in FACTORS}, recipe(factors, patch), {})


def matrix(rows: tuple[Row, ...], seeds: tuple[int, ...] = (0,), claims: tuple[Claim, ...] = ()) -> Matrix:
    return Matrix(
        name="table1",
        title="Ablation",
        profile="demo",
        rows=rows,
        refused=(),
        seeds=seeds,
        metrics=("mAP",),
        measured=METRICS["market"],
        claims=claims,
        cited=(),
        assumptions=(),
        overrides={},
        synthetic=None,
        dataset="market1501",
        trainer=TRAINER,
    )


def table1(seeds: tuple[int, ...] = (0,)) -> Matrix:
    return matrix(tuple(row(name, factors) for name, factors in TABLE1.items()), seeds)


def code(references: tuple[str, ...]) -> str:
    """A digest of code that does not change with it: ``ttt...`` of trainings, ``eee...`` of evaluations."""
    return ("t" if references[0] == CODE_ROOTS["train"] else "e") * 32


def planned(table: Matrix, cached: frozenset[str] = frozenset()) -> Plan:
    return build_plan(table, TRAINER, DATA, code, cached.__contains__)
