"""``harness plan``: what a run would do, and what its rows can tell, without running anything."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.console import print_json
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

if TYPE_CHECKING:
    from rich.table import Table

    from harness.cli.wiring import Prepared
    from harness.plan import Identified, Plan, Speeds


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
    from harness.cli.costs import row_costs
    from harness.cli.slots import slots_for
    from harness.cli.speeds import known_speeds, probe_speeds
    from harness.cli.wiring import prepare
    from harness.plan import identify_matrix, plan_to_json

    prepared = prepare(
        table,
        profile=profile,
        data=data,
        rows=listed(rows, "--rows"),
        seeds=seeds_of(seeds),
        overrides=assignments(set_),
        store=store,
        trust_version=reuse == "version",
    )
    answer = plan_to_json(prepared.plan, prepared.matrix)
    for stage in answer["stages"]:
        stage["seeds"] = sorted({run.seed for run in prepared.plan.runs_of(stage["fingerprint"])})
    costs = row_costs(prepared)
    for row in answer["rows"]:
        row.update(costs[row["id"]])
    slots = slots_for(workers)
    if probe:
        probe_speeds(prepared, slots)
    answer["estimates"] = _estimates(prepared.plan, known_speeds(prepared.store), len(slots))
    answer["version_differences"] = [vars(difference) for difference in prepared.version_differences]
    told = identify_matrix(prepared.matrix, prepared.plan, prepared.allowed)
    answer["identified"] = _identified_json(told)
    if json:
        print_json(answer)
    else:
        _print(answer, prepared)


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


def _identified_json(told: "Identified") -> dict[str, Any]:
    return {
        "main_effects": list(told.main_effects),
        "matched_pairs": [vars(pair) for pair in told.pairs],
        "aliases": [{"factors": list(alias.factors), "reason": alias.reason} for alias in told.aliases],
        "claims": [
            {"text": status.claim.text, "identifiable": status.identifiable, "reason": status.reason}
            for status in told.claims
        ],
        "one_row_more": None
        if told.suggestion is None
        else {name: list(getattr(told.suggestion, name)) for name in ("factors", "main_effects", "paired")},
    }


def _print(answer: Mapping[str, Any], prepared: "Prepared") -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 140
    console.print(f"{answer['title']} · profile {answer['profile']} · {prepared.matrix.dataset} in {prepared.root}")
    console.print(_rows_table(answer), _stages_table(answer))
    sharing = answer["sharing"]
    console.print(
        f"{sharing['stages']} stages instead of {sharing['stages_unshared']}, {sharing['epochs']} epochs instead of "
        f"{sharing['epochs_unshared']}: sharing saves {sharing['epochs_saved']} epochs. "
        f"To train now: {sharing['epochs_to_run']} epochs."
    )
    for line in _told_estimates(answer):
        console.print(line, markup=False)
    for row in answer["refused"]:
        console.print(f"Refused: row {row['id']} ({', '.join(row['factors'])}): {row['constraint']}")
    identified = answer["identified"]
    console.print(f"Main effects these rows can tell: {', '.join(identified['main_effects']) or 'none'}.")
    for alias in identified["aliases"]:
        console.print(f"{alias['reason']}.")
    for claim in identified["claims"]:
        if not claim["identifiable"]:
            console.print(f'Claim out of reach: "{claim["text"]}": {claim["reason"]}.')
    if identified["claims"]:
        within = sum(claim["identifiable"] for claim in identified["claims"])
        console.print(f"Claims these rows can judge: {within} of {len(identified['claims'])}.")
    if (more := identified["one_row_more"]) is not None:
        gains = [("main effect of", more["main_effects"]), ("first pair of rows for", more["paired"])]
        told = "; ".join(f"{gain} {', '.join(names)}" for gain, names in gains if names)
        console.print(f"One row more would add most: {' + '.join(more['factors'])} ({told}).")


def _told_estimates(answer: Mapping[str, Any]) -> Iterator[str]:
    """The cost in sentences, with where the speeds come from."""
    if not any(stage["state"] == "to run" for stage in answer["stages"]):
        return
    if not answer["estimates"]:
        yield "No estimate: no such stage was measured yet. --probe measures this machine by a few steps of each kind."
    for told in answer["estimates"]:
        device, at_a_time, probed = (told[name] for name in ("device", "stages_at_a_time", "stages_of_probed_speed"))
        waits = f", {_duration(told['wall_hours'])} with {at_a_time} stages at a time" if at_a_time > 1 else ""
        yield f"Estimate on {device}: {_duration(told['device_hours'])} of stages' time{waits}."
        if probed:
            yield f"  {probed} stages as measured by a probe of {told['probe_steps']} steps on {device}."
        if told["stages_of_unknown_speed"]:
            yield f"  {told['stages_of_unknown_speed']} stages of unknown speed are not counted."


def _rows_table(answer: Mapping[str, Any]) -> "Table":
    from rich.table import Table

    table = Table(title="Rows", title_justify="left")
    for title in ("row", "factors on", "seeds", "parameters", "multiply-adds"):
        table.add_column(title, justify="right" if title in {"parameters", "multiply-adds"} else "left")
    for row in answer["rows"]:
        seeds = ", ".join(str(run["seed"]) for run in row["runs"])
        name = f"{row['id']} {row['label']}".strip()
        table.add_row(
            name,
            " ".join(row["factors"]),
            seeds,
            f"{row['parameters'] / 1e6:.2f} M",
            f"{row['multiply_adds'] / 1e9:.3f} G",
        )
    return table


def _stages_table(answer: Mapping[str, Any]) -> "Table":
    from rich.table import Table

    table = Table(title="Stages, each once", title_justify="left")
    for title in ("stage", "fingerprint", "for rows", "seeds", "epochs", "images", "state"):
        table.add_column(title, justify="right" if title in {"epochs", "images"} else "left")
    for stage in answer["stages"]:
        epochs = str(stage["epochs"]) if stage["kind"] == "train" else "–"
        table.add_row(
            stage["name"],
            stage["fingerprint"][:8],
            ", ".join(stage["rows"]),
            ", ".join(str(seed) for seed in stage["seeds"]),
            epochs,
            f"{stage['images']:,}",
            stage["state"],
        )
    return table


def _duration(hours: float) -> str:
    return f"{60 * hours:.1f} minutes" if hours < 2 else f"{hours:.1f} hours"
