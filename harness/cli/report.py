"""``harness report``: the tables, from the tracker's runs."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from harness.cli.options import (
    DEFAULT_FORMATS,
    DEFAULT_STORE,
    DataOption,
    FormatOption,
    JsonOption,
    OutOption,
    ProfileOption,
    StoreOption,
    listed,
    read_folders,
)
from harness.display.console import notices, print_json
from harness.display.tables import show_table
from harness.errors import InputError

if TYPE_CHECKING:
    from harness.api.existing import Columns
    from harness.display.listener import TerminalListener
    from harness.report import TableReport

TablesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[TABLE...]", help="Tables by name or file. Default: all in the tracker.", show_default=False
    ),
]
RankListsOption = Annotated[
    int, typer.Option("--rank-lists", metavar="N", min=0, help="Also draw the N worst queries with nearest images.")
]
RowOption = Annotated[
    str | None, typer.Option("--row", metavar="ID", help="The row whose rank lists are drawn. Default: the last.")
]
AttentionOption = Annotated[
    str | None,
    typer.Option(
        "--attention", metavar="5,8", help="Draw Figure 3: attention of a row without SAC and of one with it."
    ),
]
FromMlflowOption = Annotated[
    str | None,
    typer.Option(
        "--from-mlflow",
        metavar="EXPERIMENT",
        help="Instead of a table: an MLflow experiment's runs, made by any code. Needs --factors, --seed, --metric.",
        show_default=False,
    ),
]
FactorsOption = Annotated[
    str | None,
    typer.Option("--factors", metavar="a,b", help="For a CSV file or --from-mlflow: the factor columns."),
]
SeedColumnOption = Annotated[
    str | None, typer.Option("--seed", metavar="COLUMN", help="For the same: the seed column, which pairs runs.")
]
MetricsOption = Annotated[
    str | None,
    typer.Option(
        "--metric",
        metavar="acc:percent,loss:lower",
        help="For the same: metrics; by default, higher is better.",
    ),
]
UnitOption = Annotated[
    str | None,
    typer.Option(
        "--unit",
        metavar="COLUMN[,COLUMN]",
        help="For a CSV file with a line for each unit (query, example) of a run: its column; then the column of "
        "groups that are resampled together.",
    ),
]
ClaimsOption = Annotated[
    Path | None,
    typer.Option(
        "--claims",
        metavar="FILE.yaml",
        help="For a CSV file or --from-mlflow: claims: as in a table's file, metrics: as in a recipe's.",
    ),
]
StyleOption = Annotated[
    Literal["harness", "paper"],
    typer.Option(
        "--style",
        help="paper: only LaTeX, as papers print it: mean ± standard deviation, best in bold, daggers; several tables "
        "side by side too.",
    ),
]
ColumnsOption = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="factors,mAP,paper,seeds",
        help="With --style paper: factors and metrics by name, or factors, metrics, paper, seeds.",
        show_default=False,
    ),
]
AgainstOption = Annotated[
    str | None,
    typer.Option(
        "--against",
        metavar="ROW",
        help="With --style paper: daggers mark differences from this row. Default: the first row.",
        show_default=False,
    ),
]
StrictOption = Annotated[bool, typer.Option("--strict", help="Exit code 1 if a claim is contradicted.")]


def report(
    tables: TablesArgument = None,
    profile: ProfileOption = None,
    data: DataOption = None,
    out: OutOption = None,
    formats: FormatOption = DEFAULT_FORMATS,
    rank_lists: RankListsOption = 0,
    row: RowOption = None,
    attention: AttentionOption = None,
    from_mlflow: FromMlflowOption = None,
    factors: FactorsOption = None,
    seed: SeedColumnOption = None,
    metric: MetricsOption = None,
    unit: UnitOption = None,
    claims: ClaimsOption = None,
    style: StyleOption = "harness",
    columns: ColumnsOption = None,
    against: AgainstOption = None,
    store: StoreOption = DEFAULT_STORE,
    strict: StrictOption = False,
    json: JsonOption = False,
) -> None:
    """Write the reports of tables from the tracker's runs: numbers, claims, effects, provenance, figures.

    Also reports a CSV file (`report results.csv --factors lr,width --seed seed --metric val_acc`) or any MLflow
    experiment (`--from-mlflow NAME --factors params.lr --seed params.seed --metric val_acc`).
    """
    from harness.api.report import Pictures, write_papers, write_reports
    from harness.cli.ending import seconds_left
    from harness.display.listener import TerminalListener
    from harness.report import report_to_json

    listener, wanted = TerminalListener(seconds_left), listed(formats, "--format") or []
    options = {"--factors": factors, "--seed": seed, "--metric": metric, "--unit": unit, "--claims": claims}
    if source := _existing(tables, from_mlflow):
        given = _columns(source, options)
        made = _write_existing(source, given, claims, out, wanted, store, listener)
    else:
        for option, value in options.items():
            if value is not None:
                raise InputError(f"{option} {value}: needs a CSV file or --from-mlflow EXPERIMENT")
        if style == "paper":
            made = write_papers(tables, profile, out, listed(columns, "--columns"), against, store, listener)
        elif columns or against:
            raise InputError(f"--{'columns' if columns else 'against'} {columns or against}: needs --style paper")
        else:
            pictures = Pictures(rank_lists, row, listed(attention, "--attention"), read_folders(data))
            made = write_reports(tables, profile, out, wanted, store, pictures, listener)
    reports, console = [], notices()
    for built, written in made:
        reports.append(built)
        if source and not json:
            show_table(built, {each.id for each in built.rows})
        console.print(f"{built.name}: {', '.join(map(str, written))}")
    if json:
        print_json({"tables": [report_to_json(built) for built in reports]})
    if strict and any(built.has_contradiction() for built in reports):
        raise typer.Exit(1)


def _existing(tables: list[str] | None, experiment: str | None) -> Path | str | None:
    """The file or the experiment whose runs the harness did not make; None for the tracker's own tables."""
    from harness.api.existing import SEPARATORS

    files = [name for name in tables or () if Path(name).suffix.lower() in SEPARATORS]
    if experiment is not None:
        if tables:
            raise InputError(f"--from-mlflow {experiment}: found {tables[0]} as well, expected one of the two")
        return experiment
    if files and len(tables or ()) > 1:
        raise InputError(f"{files[0]}: expected a single file, found {', '.join(tables or ())}")
    return Path(files[0]) if files else None


def _columns(source: Path | str, options: Mapping[str, object]) -> "Columns":
    from harness.api.existing import Columns

    for option in ("--factors", "--seed", "--metric"):
        if options[option] is None:
            raise InputError(f"{source}: expected {option} with its columns")
    found = {option: listed(value if isinstance(value, str) else None, option) for option, value in options.items()}
    return Columns(found["--factors"] or [], str(options["--seed"]), found["--metric"] or [], found["--unit"] or [])


def _write_existing(
    source: Path | str,
    columns: "Columns",
    claims: Path | None,
    out: Path | None,
    formats: list[str],
    store: str,
    listener: "TerminalListener",
) -> "Iterator[tuple[TableReport, list[Path]]]":
    from harness.api.existing import snapshot_of_experiment, snapshot_of_file, write_existing

    if isinstance(source, Path):
        snapshot = snapshot_of_file(source, columns, claims)
    else:
        snapshot = snapshot_of_experiment(source, columns, claims)
    yield write_existing(snapshot, out, formats, store, listener)
