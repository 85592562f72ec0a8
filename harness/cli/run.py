"""``harness run``: fills a table."""

import typer

from harness.api.engine import Engine
from harness.cli.ending import seconds_left
from harness.cli.options import (
    DEFAULT_FORMATS,
    DEFAULT_STORE,
    AddressOption,
    BudgetOption,
    CachedOption,
    DataOption,
    ExecutorOption,
    FormatOption,
    JsonOption,
    MaxSeedsOption,
    OutOption,
    ProfileOption,
    ReuseOption,
    RowsOption,
    SeedsOption,
    SetOption,
    SettleOption,
    StageCpusOption,
    StageGpusOption,
    StoreOption,
    TableArgument,
    WorkersOption,
    assignments,
    listed,
    read_folders,
    refuse_with_settle,
    refuse_without_settle,
    seconds_of,
    seeds_of,
)
from harness.display.console import notices, print_json


def run(
    table: TableArgument,
    profile: ProfileOption = None,
    data: DataOption = None,
    rows: RowsOption = None,
    seeds: SeedsOption = None,
    set_: SetOption = None,
    workers: WorkersOption = None,
    executor: ExecutorOption = "local",
    address: AddressOption = None,
    stage_cpus: StageCpusOption = None,
    stage_gpus: StageGpusOption = None,
    store: StoreOption = DEFAULT_STORE,
    out: OutOption = None,
    formats: FormatOption = DEFAULT_FORMATS,
    reuse: ReuseOption = "code",
    cache: CachedOption = True,
    settle: SettleOption = False,
    max_seeds: MaxSeedsOption = None,
    budget: BudgetOption = None,
    json: JsonOption = False,
) -> None:
    """Train what a table still lacks, track every run, write the report.

    Run again, it resumes where it stopped, and repeats nothing that is done. Exit code 1 if a row has no result.
    There is no report while the tracker does not answer.
    """
    from harness.api.prepare import prepare
    from harness.api.run import report_formats, run_table
    from harness.api.settle import Settling
    from harness.display.listener import TerminalListener
    from harness.display.tables import show_results, show_settled, show_table

    refuse_without_settle(settle, max_seeds, budget)
    refuse_with_settle(settle, rows, seeds)
    budget_s, wanted = seconds_of(budget), report_formats(listed(formats, "--format") or ())
    engine, listener = Engine(executor, workers, address, stage_cpus, stage_gpus), TerminalListener(seconds_left)
    prepared = prepare(
        table,
        profile=profile,
        data=read_folders(data),
        rows=listed(rows, "--rows"),
        seeds=seeds_of(seeds),
        overrides=assignments(set_),
        store=store,
        trust_version=reuse == "version",
        listener=listener,
    )
    settling = Settling(prepared, max_seeds, budget_s, listener) if settle else None
    ended = run_table(prepared, engine, out, listener, {"decoded_once": cache}, settling=settling, formats=wanted)
    console = notices()
    if not ended.trained and not ended.failed:
        console.print("nothing to train: every stage is already finished")
    for note in ended.notes:
        console.print(f"note: {note}")
    if ended.undelivered:
        console.print(ended.undelivered)
    answer = ended.to_json()
    if json:
        print_json(answer)
    elif ended.report is None:
        show_results(prepared.matrix, answer["rows"])
    else:
        show_table(ended.report, {run.row for run in prepared.plan.runs})
        show_settled(ended.report)
        page = "".join(f"; a page to share: {path}" for path in ended.written if path.suffix == ".html")
        console.print(f"the report: {ended.written[0]}{page}; side by side: python -m harness ui")
    if ended.failed:
        raise typer.Exit(1)
