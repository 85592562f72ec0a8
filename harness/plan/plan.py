"""From a table to the fewest stages that fill it, and what a reader wants to know of them before anything runs.

Owns sharing (every stage once), what is cached and what must run. Refuses running anything.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import InputError
from harness.matrix.matrix import Matrix, RefusedRow, Row
from harness.plan.code import code_digest
from harness.plan.effects import Identified, identify
from harness.plan.stage import Plan, Run, Stage
from harness.plan.stages import DataIdentity, UntrainableRowError, images_of, stages_of


def code_identity(rows: Iterable[Row], roots: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Digest of the code behind each kind of stage, and behind each of a user's own losses that a row turns on.

    Args:
        rows: The rows to plan.
        roots: Modules that carry out each kind of stage (``train``, ``evaluate``); their imports are followed.
    """
    digests = {kind: code_digest(tuple(modules)) for kind, modules in roots.items()}
    return digests | {reference: code_digest((reference,)) for reference in _references(rows)}


def version_identity(rows: Iterable[Row], kinds: Iterable[str], version: str) -> dict[str, str]:
    """A hand-kept version in the place of every digest of ``code_identity``: changed code meets old results.

    Its fingerprints never meet those of a digest.
    """
    return dict.fromkeys((*kinds, *_references(rows)), f"version {version}")


def build_plan(
    matrix: Matrix,
    data: DataIdentity,
    code: Mapping[str, str],
    weights_identity: Callable[[str, str], str],
    is_cached: Callable[[str], bool],
) -> Plan:
    """The fewest stages that fill ``matrix``, parents first.

    Args:
        matrix: The table: its rows and seeds.
        data: Identity of the data set that all rows read.
        code: See ``code_identity`` or ``version_identity``.
        weights_identity: Of a backbone's name and a recipe's ``model.weights``: what identifies the weights' contents.
        is_cached: Whether the store holds the result of a fingerprint.

    Raises:
        InputError: If no row is left to train, or a row's weights are not found.
    """
    stages: dict[str, Stage] = {}
    images: dict[str, int] = {}
    runs: list[Run] = []
    refused = list(matrix.refused)
    for row in matrix.rows:
        try:
            weights = weights_identity(row.recipe.model.backbone, row.recipe.model.weights)
        except InputError as error:
            raise InputError(f'{matrix.name}: row "{row.id}": model.{error}') from error
        for seed in matrix.seeds:
            try:
                chain = stages_of(row, seed, data, code, weights)
            except UntrainableRowError as error:
                on = tuple(factor for factor, is_on in row.factors.items() if is_on)
                refused.append(RefusedRow(row.id, on, str(error)))
                break
            runs.append(Run(row.id, seed, tuple(stage.fingerprint for stage in chain)))
            for stage in chain:
                if stage.fingerprint not in stages:
                    stages[stage.fingerprint] = stage
                    images[stage.fingerprint] = images_of(stage, row.recipe, data)
    if not runs:
        told = "; ".join(f"{row.id}: {row.constraint}" for row in refused) or "it declares no rows or no seeds"
        raise InputError(f"{matrix.name}: no row can be trained: {told}")
    cached = frozenset(name for name in stages if is_cached(name))
    return Plan(stages, tuple(runs), cached, images, tuple(refused))


@dataclass(frozen=True)
class Sharing:
    """What planning saves against training every run from nothing."""

    stages: int
    """Stages that the plan holds, each once."""
    stages_unshared: int
    """Stages that all runs would hold, each its own."""
    epochs: int
    epochs_unshared: int
    epochs_to_run: int
    """Epochs left after what the store already holds."""


def sharing_of(plan: Plan) -> Sharing:
    """Counts what sharing and the store save."""
    used = [plan.stages[fingerprint] for run in plan.runs for fingerprint in run.stages]
    return Sharing(
        stages=len(plan.stages),
        stages_unshared=len(used),
        epochs=sum(stage.epochs for stage in plan.stages.values()),
        epochs_unshared=sum(stage.epochs for stage in used),
        epochs_to_run=sum(stage.epochs for stage in plan.to_run),
    )


def identify_matrix(matrix: Matrix, plan: Plan) -> Identified:
    """Which effects and claims the plan's rows can tell; see ``effects.identify``."""
    planned = {run.row for run in plan.runs}
    rows = [row for row in matrix.rows if row.id in planned]
    return identify(
        {row.id: row.factors for row in rows},
        beside={row.id: repr(sorted(row.set.items())) for row in rows},
        claims=matrix.claims,
        refused={row.id: row.constraint for row in plan.refused},
    )


def plan_to_json(plan: Plan, matrix: Matrix) -> dict[str, Any]:
    """The plan as plain data: rows with their stages, stages with the rows that share them, sums, refusals."""
    shared: dict[str, dict[str, None]] = {fingerprint: {} for fingerprint in plan.stages}
    chains: dict[str, list[dict[str, Any]]] = {row.id: [] for row in matrix.rows}
    for run in plan.runs:
        chains[run.row].append({"seed": run.seed, "stages": list(run.stages)})
        for name in run.stages:
            shared[name][run.row] = None
    to_run = {stage.fingerprint for stage in plan.to_run}
    sharing = sharing_of(plan)
    return {
        "table": matrix.name,
        "title": matrix.title,
        "profile": matrix.profile,
        "seeds": list(matrix.seeds),
        "rows": [
            {"id": row.id, "label": row.label, "factors": _on(row.factors), "runs": chains[row.id]}
            for row in matrix.rows
            if chains[row.id]
        ],
        "stages": [
            {
                "fingerprint": name,
                "kind": stage.kind,
                "name": stage.name,
                "parent": stage.parent,
                "rows": list(shared[name]),
                "epochs": stage.epochs,
                "images": plan.images.get(name, 0),
                "state": "cached" if name in plan.cached else "to run" if name in to_run else "not needed",
                "settings": stage.settings,
            }
            for name, stage in plan.stages.items()
        ],
        "sharing": {
            **vars(sharing),
            "stages_saved": sharing.stages_unshared - sharing.stages,
            "epochs_saved": sharing.epochs_unshared - sharing.epochs,
        },
        "refused": [{"id": r.id, "factors": list(r.factors), "constraint": r.constraint} for r in plan.refused],
    }


def _on(factors: Mapping[str, bool]) -> Collection[str]:
    return [factor for factor, is_on in factors.items() if is_on]


def _references(rows: Iterable[Row]) -> list[str]:
    """References to the users' own losses that some row turns on."""
    losses = (loss for row in rows for loss in row.recipe.losses.custom.values())
    return sorted({loss.implementation for loss in losses if loss.weight > 0.0})
