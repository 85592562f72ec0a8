"""Describes, as plain data, what a run would do and which effects its rows identify."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.api.costs import row_costs
from harness.api.listener import Listener
from harness.api.prepare import Prepared
from harness.api.settle import declared_of
from harness.api.speeds import known_speeds, probe_speeds
from harness.api.why import explain
from harness.plan import (
    Identified,
    Plan,
    Speeds,
    StageBudget,
    Suggestion,
    also_differs,
    budgets_of,
    estimate,
    identify_matrix,
    most_informative_row,
    plan_to_json,
)
from harness.settle import EFFECTS, expected, most_runs

if TYPE_CHECKING:
    from harness.execute import Slot


def describe_plan(
    prepared: Prepared, slots: "Sequence[Slot]", listener: Listener, *, probe: bool = False, why: bool = False
) -> dict[str, Any]:
    """Returns a plan as plain data, without running anything but probes.

    Args:
        prepared: The table.
        slots: Where stages would run, for the time that it takes.
        listener: Receives the progress of probes.
        probe: Whether to measure this machine first, by a few steps of each kind of stage, where no finished stage
            gives its speed.
        why: Whether to add to each stage to run ``why`` it is; see ``harness.api.why``.

    Returns:
        ``rows`` with their runs and costs, ``stages``, ``sharing``, ``refused``, ``estimates`` by device,
        ``version_differences`` of cached stages, and what the rows identify (``identified``). A stage that was
        interrupted has ``resumes_at`` (step and epoch), and only what is left of it counts.
    """
    plan, matrix = prepared.plan, prepared.matrix
    answer = plan_to_json(plan, matrix)
    costs = row_costs(prepared)
    for row in answer["rows"]:
        row.update(costs[row["id"]])
    if probe:
        probe_speeds(prepared, slots, listener)
    done = _add_progress(answer, prepared)
    if why:
        reasons = explain(prepared)
        for stage in answer["stages"]:
            stage["why"] = reasons.get(stage["fingerprint"])
    answer["estimates"] = estimates_of(plan, known_speeds(prepared.store), len(slots), done)
    answer["version_differences"] = [vars(difference) for difference in prepared.version_differences]
    planned = {run.row for run in plan.runs}
    settings = [row.factors for row in matrix.rows if row.id in planned]
    suggestion = most_informative_row(settings, prepared.allowed, matrix.levels)
    answer["controls"] = _controls_json(prepared)
    answer["identified"] = _identified_json(identify_matrix(matrix, plan), suggestion, budgets_of(plan))
    return answer


def _controls_json(prepared: Prepared) -> list[dict[str, Any]]:
    """Each control with the claims that it is for, and what it costs beyond the other rows."""
    plan, controls = prepared.plan, [row.id for row in prepared.matrix.rows if row.control]
    listed: list[dict[str, Any]] = []
    for row in controls:
        own = {name for run in plan.runs if run.row == row for name in run.stages}
        others = {name for run in plan.runs if run.row not in controls for name in run.stages}
        extra = [stage for stage in plan.to_run if stage.fingerprint in own - others]
        pairs = {(one.better, one.than) for one in prepared.matrix.controls if one.row == row}
        claims = [one.text for one in prepared.matrix.claims if (one.better, one.than) in pairs]
        epochs = sum(stage.epochs for stage in extra)
        listed.append(
            {"row": row, "claims": claims, "reason": "", "stages_to_run": len(extra), "epochs_to_run": epochs}
        )
    for one in prepared.matrix.controls:
        if not one.row:
            claims = [c.text for c in prepared.matrix.claims if (c.better, c.than) == (one.better, one.than)]
            listed.append({"row": "", "claims": claims, "reason": one.reason, "stages_to_run": 0, "epochs_to_run": 0})
    return listed


def describe_settling(prepared: Prepared, most: int | None, slots: "Sequence[Slot]") -> dict[str, Any]:
    """Returns what settling the table takes at most, and what to expect if its comparisons differed by so much.

    Args:
        prepared: The table, with its own rows and seeds.
        most: Most seeds of a row; None: the table's own number.
        slots: Where stages would run.

    Raises:
        InputError: If there is nothing to settle.
    """
    declared = declared_of(prepared, most, None)
    longest = prepared.with_runs(most_runs(declared), None).plan
    return {
        "comparisons": len(declared.comparisons),
        "margins": sum(one.within is not None for one in declared.comparisons),
        "looks": list(declared.sizes),
        "runs_declared": len(declared.rows) * len(declared.seeds),
        "runs_at_most": len(longest.runs),
        "stages_at_most": len(longest.stages),
        "estimates_at_most": estimates_of(longest, known_speeds(prepared.store), len(slots)),
        "expected": [vars(expected(declared, effect)) for effect in EFFECTS],
    }


def _add_progress(answer: dict[str, Any], prepared: Prepared) -> dict[str, float]:
    """Adds where interrupted stages resume; returns the share of each that is done."""
    from harness.execute.progress import interrupted_stages

    interrupted = {} if prepared.plan.assumed else interrupted_stages(prepared.store, prepared.plan.to_run)
    for stage in answer["stages"]:
        place = interrupted.get(stage["fingerprint"])
        stage["resumes_at"] = None if place is None else {"step": place.step, "epoch": place.epoch}
        if place is not None:
            answer["sharing"]["epochs_to_run"] -= place.fraction * stage["epochs"]
    return {fingerprint: place.fraction for fingerprint, place in interrupted.items()}


def estimates_of(
    plan: Plan, speeds: Speeds, slots: int, done: Mapping[str, float] | None = None
) -> list[dict[str, Any]]:
    """Estimates the plan's cost on each device on which a stage of it was measured."""
    return [
        {
            "device": cost.device,
            "device_hours": cost.device_seconds / 3600,
            "wall_hours": cost.wall_seconds / 3600,
            "stages_at_a_time": slots,
            "stages_of_unknown_speed": len(cost.unknown),
            "stages_of_probed_speed": len(cost.probed),
            "probe_steps": cost.probe_steps,
        }
        for device in sorted({device for device, _ in speeds})
        for cost in [estimate(plan, speeds, device, slots, done)]
        if len(cost.unknown) < len(plan.to_run)
    ]


def _identified_json(
    identified: Identified, suggestion: Suggestion | None, budgets: Mapping[str, Sequence[StageBudget]]
) -> dict[str, Any]:
    def also(first: str, second: str) -> str:
        return also_differs(budgets.get(first, ()), budgets.get(second, ())) if {first, second} <= set(budgets) else ""

    return {
        "main_effects": list(identified.main_effects),
        "matched_pairs": [{**vars(pair), "also": also(pair.on, pair.off)} for pair in identified.pairs],
        "aliases": [{"factors": list(alias.factors), "reason": alias.reason} for alias in identified.aliases],
        "claims": [
            {
                "text": status.claim.text,
                "identifiable": status.identifiable,
                "reason": status.reason,
                "also": also(status.claim.better, status.claim.than),
            }
            for status in identified.claims
        ],
        "one_row_more": None
        if suggestion is None
        else {name: list(getattr(suggestion, name)) for name in ("factors", "main_effects", "paired")},
    }
