"""A matrix as JSON: what is recorded with a table's runs, and all that a report needs of the declaration."""

from dataclasses import asdict
from typing import Any

import yaml
from pydantic import BaseModel

from harness.matrix.matrix import Matrix


def recipe_to_yaml(recipe: BaseModel) -> str:
    """A resolved recipe as YAML, in the order of the vocabulary."""
    text: str = yaml.safe_dump(recipe.model_dump(mode="json", by_alias=True), sort_keys=False, allow_unicode=True)
    return text


def matrix_to_json(matrix: Matrix) -> dict[str, Any]:
    """The whole matrix as plain JSON values; rows carry their resolved recipe.

    Keys: name, title, profile, dataset, synthetic, seeds, metrics, measured (each metric's title, direction and unit),
    levels (of the factors that are not just on or off, the default first), rows (id, label, note, factors, paper, set,
    recipe, and control where it is one), refused (id, factors, constraint), controls (better, than, of, row, reason;
    where the table asks for them), claims (text, better, than, metric, by, within, note), cited (method, values,
    note), assumptions (key, value, reason, alternatives, setting), overrides, notes.
    """
    return {
        "name": matrix.name,
        "title": matrix.title,
        "profile": matrix.profile,
        "dataset": matrix.dataset,
        "synthetic": matrix.synthetic.model_dump() if matrix.synthetic else None,
        "seeds": list(matrix.seeds),
        "metrics": list(matrix.metrics),
        "measured": {key: asdict(metric) for key, metric in matrix.measured.items()},
        "levels": {factor: list(levels) for factor, levels in matrix.levels.items()},
        "rows": [
            {
                "id": row.id,
                "label": row.label,
                "note": row.note,
                "factors": dict(row.factors),
                "paper": dict(row.paper),
                "set": dict(row.set),
                **({"control": True} if row.control else {}),
                "recipe": row.recipe.model_dump(mode="json", by_alias=True),
            }
            for row in matrix.rows
        ],
        "refused": [
            {"id": row.id, "factors": list(row.factors), "constraint": row.constraint} for row in matrix.refused
        ],
        **({"controls": [asdict(control) for control in matrix.controls]} if matrix.controls else {}),
        "claims": [asdict(claim) for claim in matrix.claims],
        "cited": [{"method": cited.method, "values": dict(cited.values), "note": cited.note} for cited in matrix.cited],
        "assumptions": [asdict(assumption) for assumption in matrix.assumptions],
        "overrides": dict(matrix.overrides),
        "notes": list(matrix.notes),
    }
