"""From a table to the fewest stages that fill it, and what a reader wants to know of them before anything runs.

Owns sharing (every stage once), what is cached and what must run. Refuses running anything.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from itertools import product
from typing import Any

from harness.code import refuse_uncovered
from harness.errors import InputError
from harness.matrix.levels import mentioned
from harness.matrix.matrix import Matrix, RefusedRow, Row
from harness.plan.budgets import StageBudget
from harness.plan.fingerprint import fingerprint
from harness.plan.identifiable import Identified, identify
from harness.plan.stage import Plan, Run, Stage
from harness.trainer import Inputs, Trainer, UntrainableError

CodeDigest = Callable[[tuple[str, ...]], str]
"""The identity of the code behind references: ``harness.code.code_digest``, or a hand-kept version."""


def build_plan(
    matrix: Matrix,
    trainer: Trainer,
    inputs: Inputs,
    code_digest: CodeDigest,
    is_cached: Callable[[str], bool],
    runs: Iterable[tuple[str, int]] | None = None,
) -> Plan:
    """Returns the fewest stages that fill ``matrix``, parents first.

    Args:
        matrix: The table: its rows and seeds.
        trainer: Declares the stages of each run.
        inputs: What the trainer reads.
        code_digest: Of the code references that a stage declares.
        is_cached: Whether the store holds the result of a fingerprint.
        runs: Rows and seeds, in order; None: every row under every seed of the matrix.

    Raises:
        InputError: If no row is left to train, or the trainer refuses a row's settings.
    """
    stages: dict[str, Stage] = {}
    planned: list[Run] = []
    refused = {row.id: row for row in matrix.refused}
    rows = {row.id: row for row in matrix.rows}
    for name, seed in product(rows, matrix.seeds) if runs is None else runs:
        if name in refused:
            continue
        row = rows[name]
        try:
            chain = chain_of(row, seed, trainer, inputs, code_digest)
        except UntrainableError as error:
            refused[name] = RefusedRow(name, mentioned(row.factors), str(error))
            continue
        except InputError as error:
            raise InputError(f'{matrix.name}: row "{name}": {error}') from error
        planned.append(Run(name, seed, tuple(stage.fingerprint for stage in chain)))
        for stage in chain:
            stages.setdefault(stage.fingerprint, stage)
    if not planned:
        listed = (f"{row.id}: {row.constraint}" for row in refused.values())
        reasons = "; ".join(listed) or "it declares no rows or no seeds"
        raise InputError(f"{matrix.name}: no row can be trained: {reasons}")
    cached = frozenset(name for name in stages if not inputs.assumed and is_cached(name))
    return Plan(stages, tuple(planned), cached, tuple(refused.values()), inputs.assumed)


def chain_of(row: Row, seed: int, trainer: Trainer, inputs: Inputs, code_digest: CodeDigest) -> list[Stage]:
    """Returns the stages of a row under one seed, each with its identity.

    Raises:
        InputError: See ``Trainer.stages``; and for code that no fingerprint covers.
    """
    chain: list[Stage] = []
    for spec in trainer.stages(row.recipe, seed, inputs):
        refuse_uncovered(spec.code)
        chain.append(Stage.of(spec, code_digest(spec.code), chain[-1].fingerprint if chain else None))
    return chain


def code_of(plan: Plan) -> str:
    """Returns one digest of all code that a plan's stages run."""
    return fingerprint(sorted({str(stage.settings["code"]) for stage in plan.stages.values()}))


@dataclass(frozen=True)
class Sharing:
    """The savings of planning against training every run from scratch."""

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
    """Returns the effects and claims that the plan's rows identify; see ``identifiable.identify``."""
    planned = {run.row for run in plan.runs}
    rows = [row for row in matrix.rows if row.id in planned]
    return identify(
        {row.id: row.factors for row in rows},
        cited=[one.method for one in matrix.cited],
        levels=matrix.levels,
        beside={row.id: (repr(sorted(row.set.items())), row.id if row.control else "") for row in rows},
        claims=matrix.claims,
        refused={row.id: row.constraint for row in plan.refused},
    )


def budgets_of(plan: Plan) -> dict[str, tuple[StageBudget, ...]]:
    """Returns the stages that each row trains, those of its first run; see ``budgets.also_differs``."""
    found: dict[str, tuple[StageBudget, ...]] = {}
    for run in plan.runs:
        stages = (plan.stages[name] for name in run.stages)
        if run.row not in found:
            found[run.row] = tuple(StageBudget(stage.name, stage.epochs, stage.budget) for stage in stages)
    return found


def plan_to_json(plan: Plan, matrix: Matrix) -> dict[str, Any]:
    """The plan as plain data: rows with their stages, stages with the rows that share them, sums, refusals.

    On assumed inputs the states are "unknown", and so are the fingerprints: ``unknown-1``, ``unknown-2``
    distinguish stages.
    """
    shown = {name: f"unknown-{number}" if plan.assumed else name for number, name in enumerate(plan.stages, start=1)}
    shared: dict[str, dict[str, None]] = {fingerprint: {} for fingerprint in plan.stages}
    chains: dict[str, list[dict[str, Any]]] = {row.id: [] for row in matrix.rows}
    for run in plan.runs:
        chains[run.row].append({"seed": run.seed, "stages": [shown[name] for name in run.stages]})
        for name in run.stages:
            shared[name][run.row] = None
    to_run = {stage.fingerprint for stage in plan.to_run}
    sharing = sharing_of(plan)
    return {
        "table": matrix.name,
        "title": matrix.title,
        "profile": matrix.profile,
        "assumed_data": plan.assumed,
        "seeds": list(matrix.seeds),
        "rows": [
            {"id": row.id, "label": row.label, "factors": list(mentioned(row.factors)), "runs": chains[row.id]}
            for row in matrix.rows
            if chains[row.id]
        ],
        "stages": [
            {
                "fingerprint": shown[name],
                "kind": stage.kind,
                "name": stage.name,
                "parent": shown[stage.parent] if stage.parent else None,
                "seeds": sorted({run.seed for run in plan.runs_of(name)}),
                "rows": list(shared[name]),
                "epochs": stage.epochs,
                "amount": stage.amount,
                "state": "unknown" if plan.assumed else _state(name, plan, to_run),
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


def _state(name: str, plan: Plan, to_run: Collection[str]) -> str:
    return "cached" if name in plan.cached else "to run" if name in to_run else "not needed"
