"""``harness search``: finds the best values of a recipe on held-out training identities."""

from pathlib import Path
from typing import Annotated, Any

import typer

from harness.api.engine import Engine
from harness.cli.ending import seconds_left
from harness.cli.options import (
    DEFAULT_STORE,
    AddressOption,
    DataOption,
    ExecutorOption,
    JsonOption,
    OutOption,
    ProfileOption,
    StageCpusOption,
    StageGpusOption,
    StoreOption,
    WorkersOption,
    read_folders,
)
from harness.display.console import print_json

SearchArgument = Annotated[Path, typer.Argument(metavar="SEARCH.yaml", help="The search file.", show_default=False)]
TrialsOption = Annotated[
    int | None,
    typer.Option(
        "--trials", metavar="N", min=1, help="Trials of each study, including existing ones.", show_default=False
    ),
]


def search(
    file: SearchArgument,
    profile: ProfileOption = None,
    data: DataOption = None,
    trials: TrialsOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be trained, and train nothing.")] = False,
    workers: WorkersOption = None,
    executor: ExecutorOption = "local",
    address: AddressOption = None,
    stage_cpus: StageCpusOption = None,
    stage_gpus: StageGpusOption = None,
    store: StoreOption = DEFAULT_STORE,
    out: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Search recipe values on identities held out from training; the test images are never read.

    If the search names claims of its table, both sides get the same trials, and the report shows each effect at the
    rows' own values and after tuning. Run again, it resumes the same study; with more --trials, it continues.
    Exit code 1 if no trial has a result.
    """
    from harness.api.search import run_search
    from harness.api.studies import prepare_search
    from harness.display.listener import TerminalListener

    engine, listener = Engine(executor, workers, address, stage_cpus, stage_gpus), TerminalListener(seconds_left)
    prepared = prepare_search(
        file, profile=profile, data=read_folders(data), trials=trials, store=store, listener=listener
    )
    if dry_run:
        from harness.api.search_cost import cost_lines, describe_search_cost
        from harness.api.slots import slots_for

        answer = describe_search_cost(prepared, slots_for(workers))
        if json:
            print_json(answer)
        else:
            typer.echo("\n".join(cost_lines(answer)))
        return
    record, written = run_search(prepared, engine, out, listener)
    if json:
        print_json({**record, "reports": [str(path) for path in written]})
    else:
        _show(record, written)
    if any(study["best"] is None for study in record["studies"]):
        raise typer.Exit(1)


def _show(record: dict[str, Any], written: list[Path]) -> None:
    from rich.console import Console

    from harness.report.metrics import metric_of
    from harness.report.search_page import compare
    from harness.report.tuned import effect_text, tuned_claims

    metric = metric_of(record["measured"], record["metric"])
    console = Console(highlight=False, soft_wrap=True)
    for study in record["studies"]:
        best = study["best"]
        message = "no trial has a result"
        if best is not None:
            values = ", ".join(f"{key} {value}" for key, value in best["params"].items())
            message = (
                f"best of {len(study['trials'])} trials: {values}; against the reference: {compare(record, study)[0]}"
            )
        console.print(f"row {study['row']}: {message}")
        for trial in study["trials"]:
            if trial["state"] == "failed":
                console.print(f"trial {trial['number']}: {trial['reason']}")
    for claim in tuned_claims(record):
        own, tuned = (effect_text(effect, metric) for effect in (claim.own, claim.tuned))
        console.print(f"{claim.text}: {own} at the rows' own values, {tuned} tuned")
    message = f"the report: {written[0]}; the trials side by side (parallel coordinates): python -m harness ui"
    console.print(message)
