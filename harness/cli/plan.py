"""``harness plan``: what a run would do, and what its rows can tell, without running anything."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.options import (
    DEFAULT_STORE,
    DataOption,
    JsonOption,
    ProfileOption,
    ReuseOption,
    RowsOption,
    SeedsOption,
    SetOption,
    StoreOption,
    TableArgument,
    WorkersOption,
    assignments,
    listed,
    seeds_of,
)
from harness.display.console import print_json

if TYPE_CHECKING:
    from harness.plan import Identified, Plan, Speeds, Suggestion


def plan(
    table: TableArgument,
    profile: ProfileOption = None,
    data: DataOption = None,
    rows: RowsOption = None,
    seeds: SeedsOption = None,
    set_: SetOption = None,
    workers: WorkersOption = None,
    store: StoreOption = DEFAULT_STORE,
    reuse: ReuseOption = "code",
    probe: Annotated[
        bool,
        typer.Option(
            "--probe",
            help="Measure this machine first, by a few steps of each kind of stage, where no finished stage tells.",
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Show what a run would train: every stage once, what is shared or cached, its cost, what the rows can tell."""
    from harness.api.costs import row_costs
    from harness.api.prepare import prepare
    from harness.api.slots import slots_for
    from harness.api.speeds import known_speeds, probe_speeds
    from harness.cli.show_plan import show_plan
    from harness.display.listener import TerminalListener
    from harness.plan import identify_matrix, most_telling_row, plan_to_json

    listener = TerminalListener()
    prepared = prepare(
        table,
        profile=profile,
        data=data,
        rows=listed(rows, "--rows"),
        seeds=seeds_of(seeds),
        overrides=assignments(set_),
        store=store,
        trust_version=reuse == "version",
        listener=listener,
    )
    answer = plan_to_json(prepared.plan, prepared.matrix)
    for stage in answer["stages"]:
        stage["seeds"] = sorted({run.seed for run in prepared.plan.runs_of(stage["fingerprint"])})
    costs = row_costs(prepared)
    for row in answer["rows"]:
        row.update(costs[row["id"]])
    slots = slots_for(workers)
    if probe:
        probe_speeds(prepared, slots, listener)
    answer["estimates"] = _estimates(prepared.plan, known_speeds(prepared.store), len(slots))
    answer["version_differences"] = [vars(difference) for difference in prepared.version_differences]
    planned = {run.row for run in prepared.plan.runs}
    settings = [row.factors for row in prepared.matrix.rows if row.id in planned]
    suggestion = most_telling_row(settings, prepared.allowed, prepared.matrix.levels)
    answer["identified"] = _identified_json(identify_matrix(prepared.matrix, prepared.plan), suggestion)
    if json:
        print_json(answer)
    else:
        show_plan(answer, f"{prepared.matrix.dataset} in {prepared.inputs.root}" if prepared.matrix.dataset else "")


def _estimates(plan: "Plan", speeds: "Speeds", slots: int) -> list[dict[str, Any]]:
    """What the plan costs on each device that any of its stages was measured on."""
    from harness.plan import estimate

    return [
        {
            "device": told.device,
            "device_hours": told.device_seconds / 3600,
            "wall_hours": told.wall_seconds / 3600,
            "stages_at_a_time": slots,
            "stages_of_unknown_speed": len(told.unknown),
            "stages_of_probed_speed": len(told.probed),
            "probe_steps": told.probe_steps,
        }
        for device in sorted({device for device, _ in speeds})
        for told in [estimate(plan, speeds, device, slots)]
        if len(told.unknown) < len(plan.to_run)
    ]


def _identified_json(told: "Identified", suggestion: "Suggestion | None") -> dict[str, Any]:
    return {
        "main_effects": list(told.main_effects),
        "matched_pairs": [vars(pair) for pair in told.pairs],
        "aliases": [{"factors": list(alias.factors), "reason": alias.reason} for alias in told.aliases],
        "claims": [
            {"text": status.claim.text, "identifiable": status.identifiable, "reason": status.reason}
            for status in told.claims
        ],
        "one_row_more": None
        if suggestion is None
        else {name: list(getattr(suggestion, name)) for name in ("factors", "main_effects", "paired")},
    }
