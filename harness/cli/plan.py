"""``harness plan``: what a run would do, and what its rows can tell, without running anything."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

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
    from harness.plan import Identified


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
    json: JsonOption = False,
) -> None:
    """Show what a run would train: every stage once, what is shared or cached, its cost, what the rows can tell."""
    from harness.cli.costs import row_costs
    from harness.cli.wiring import prepare
    from harness.plan import estimate, identify_matrix, measured_speeds, plan_to_json

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
    finished = [
        (entry.stage, entry.result)
        for entry in prepared.store.list_entries()
        if entry.stage is not None and entry.result is not None
    ]
    speeds = measured_speeds(finished)
    slots = workers or 1
    answer["estimates"] = [
        {
            "device": told.device,
            "device_hours": told.device_seconds / 3600,
            "wall_hours": told.wall_seconds / 3600,
            "stages_of_unknown_speed": len(told.unknown),
        }
        for device in sorted({device for device, _ in speeds})
        for told in [estimate(prepared.plan, speeds, device, slots)]
        if len(told.unknown) < len(prepared.plan.to_run)
    ]
    answer["version_differences"] = [vars(difference) for difference in prepared.version_differences]
    told = identify_matrix(prepared.matrix, prepared.plan, prepared.allowed)
    answer["identified"] = _identified_json(told)
    if json:
        print_json(answer)
    else:
        _print(answer, prepared)


def _identified_json(told: "Identified") -> dict[str, Any]:
    return {
        "main_effects": list(told.main_effects),
        "matched_pairs": [vars(pair) for pair in told.pairs],
        "aliases": [{"factors": list(alias.factors), "reason": alias.reason} for alias in told.aliases],
        "claims": [
            {"text": status.claim.text, "identifiable": status.identifiable, "reason": status.reason}
            for status in told.claims
        ],
        "one_row_more": None if told.suggestion is None else list(told.suggestion.factors),
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
    for told in answer["estimates"]:
        unknown = told["stages_of_unknown_speed"]
        without = f" ({unknown} stages of unknown speed not counted)" if unknown else ""
        console.print(f"Estimate on {told['device']}: {_duration(told['device_hours'])} of device time{without}.")
    for row in answer["refused"]:
        console.print(f"Refused: row {row['id']} ({', '.join(row['factors'])}): {row['constraint']}")
    identified = answer["identified"]
    console.print(f"Main effects these rows can tell: {', '.join(identified['main_effects']) or 'none'}.")
    for alias in identified["aliases"]:
        console.print(f"{alias['reason']}.")
    for claim in identified["claims"]:
        if not claim["identifiable"]:
            console.print(f'Claim out of reach: "{claim["text"]}": {claim["reason"]}.')
    if identified["one_row_more"] is not None:
        console.print(f"One row more would add most: {' + '.join(identified['one_row_more'])}.")


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
