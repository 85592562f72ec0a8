"""``harness plan``: what a run would do and which effects its rows identify, without running anything."""

from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import (
    DEFAULT_STORE,
    DataOption,
    JsonOption,
    MaxSeedsOption,
    ProfileOption,
    ReuseOption,
    RowsOption,
    SeedsOption,
    SetOption,
    SettleOption,
    StoreOption,
    TableArgument,
    WorkersOption,
    assignments,
    listed,
    read_folders,
    refuse_with_settle,
    refuse_without_settle,
    seeds_of,
)
from harness.display.console import print_json

if TYPE_CHECKING:
    from harness.trainer import Inputs


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
            help="First run a few steps of each kind of stage whose speed on this machine is unknown.",
        ),
    ] = False,
    why: Annotated[
        bool,
        typer.Option(
            "--why", help="Show how each stage to run differs from the nearest finished one: code, data, settings."
        ),
    ] = False,
    settle: SettleOption = False,
    max_seeds: MaxSeedsOption = None,
    json: JsonOption = False,
) -> None:
    """Show what a run would train: every stage once, what is shared or cached, its cost, identifiable effects."""
    from harness.api.plan import describe_plan, describe_settling
    from harness.api.prepare import prepare
    from harness.api.slots import slots_for
    from harness.cli.show_plan import show_plan
    from harness.cli.show_settling import show_settling
    from harness.cli.show_why import show_why
    from harness.display.listener import TerminalListener

    refuse_without_settle(settle, max_seeds, None)
    refuse_with_settle(settle, rows, seeds)
    listener = TerminalListener()
    prepared = prepare(
        table,
        profile=profile,
        data=read_folders(data),
        rows=listed(rows, "--rows"),
        seeds=seeds_of(seeds),
        overrides=assignments(set_),
        store=store,
        trust_version=reuse == "version",
        may_assume=True,
        listener=listener,
    )
    slots = slots_for(workers)
    answer = describe_plan(prepared, slots, listener, probe=probe, why=why)
    if settle:
        answer["settle"] = describe_settling(prepared, max_seeds, slots)
    if json:
        print_json(answer)
    else:
        show_plan(answer, _data(prepared.matrix.dataset, prepared.inputs))
        if why:
            show_why(answer["stages"])
        if settle:
            show_settling(answer["settle"])


def _data(dataset: str, inputs: "Inputs") -> str:
    """The data set and where it is, as text."""
    if inputs.assumed:
        return f"{dataset}, assumed to be the release"
    if inputs.made:
        return f"{dataset} ({inputs.made})"
    return f"{dataset} in {inputs.places}" if dataset else ""
