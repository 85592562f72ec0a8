"""``harness sensitivity``: which verdicts change with which assumption."""

from typing import Annotated, Any

import typer

from harness.api import SENSITIVITY_FORMATS
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
    SeedsOption,
    SetOption,
    StoreOption,
    TableArgument,
    WorkersOption,
    assignments,
    listed,
    read_folders,
    seeds_of,
)
from harness.display.console import notices, print_json
from harness.formatting import counted

_FORMATS = ",".join(SENSITIVITY_FORMATS)


def sensitivity(
    table: TableArgument,
    assumptions: Annotated[
        str | None,
        typer.Option(
            "--assumptions",
            metavar="KEY,KEY",
            help="Only these assumptions. Default: all that declare alternatives.",
            show_default=False,
        ),
    ] = None,
    claims: Annotated[
        list[str] | None,
        typer.Option(
            "--claims", metavar="TEXT", help="Only this claim, by its text; may be repeated.", show_default=False
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be trained, and train nothing.")] = False,
    profile: ProfileOption = None,
    data: DataOption = None,
    seeds: SeedsOption = None,
    set_: SetOption = None,
    workers: WorkersOption = None,
    executor: ExecutorOption = "local",
    address: AddressOption = None,
    store: StoreOption = DEFAULT_STORE,
    out: OutOption = None,
    formats: Annotated[str, typer.Option("--format", metavar=_FORMATS, help="Formats of the page.")] = _FORMATS,
    json: JsonOption = False,
) -> None:
    """Judge a table's claims again under each alternative of each assumption, one at a time.

    Trains only the rows that claims need, and stages that variations share only once. Run again, it resumes
    where it stopped. Exit code 1 if a row has no result.
    """
    from harness.api.sensitivity import describe_sensitivity, prepare_sensitivity, run_sensitivity
    from harness.api.slots import slots_for
    from harness.display.listener import TerminalListener
    from harness.report.sensitivity import sensitivity_to_json

    engine, listener = Engine(executor, workers, address), TerminalListener(seconds_left)
    prepared = prepare_sensitivity(
        table,
        assumptions=listed(assumptions, "--assumptions"),
        claims=claims or None,
        seeds=seeds_of(seeds),
        overrides=assignments(set_),
        formats=listed(formats, "--format") or [],
        may_assume=dry_run,
        listener=listener,
        profile=profile,
        data=read_folders(data),
        store=store,
    )
    if dry_run:
        answer = describe_sensitivity(prepared, slots_for(workers))
        if json:
            print_json(answer)
        else:
            _show_cost(answer)
        return
    found, written = run_sensitivity(prepared, engine, out, listener)
    if json:
        print_json({**sensitivity_to_json(found), "reports": [str(path) for path in written]})
    else:
        console = notices()
        console.print(f"{found.title}: {found.summary}")
        console.print(f"the report: {written[0]}")
    if not found.whole:
        raise typer.Exit(1)


def _show_cost(answer: dict[str, Any]) -> None:
    def cost(line: dict[str, Any]) -> str:
        epochs = f", {counted(line['epochs_to_run'], 'epoch')}" if line["epochs_to_run"] else ""
        return f"{counted(line['stages_to_run'], 'stage')}{epochs}"

    lines = [f"{counted(len(answer['claims']), 'claim')}, rows {', '.join(answer['rows'])}, seeds {answer['seeds']}"]
    for line in answer["variations"]:
        name = f"{line['assumption']} = {line['value']}" if line["assumption"] else "as assumed"
        lines.append(f"{name}: {'no stage of these rows reads it' if line['unread'] else cost(line)}")
    lines.append(f"To run: {cost(answer)}.")
    lines += [
        f"On {one['device']}: {one['wall_hours']:.2g} hours with {one['stages_at_a_time']} stages at a time."
        for one in answer["estimates"]
    ]
    for text in lines:
        typer.echo(text)
