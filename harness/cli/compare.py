"""``harness compare``: what differs between two rows, two runs, or two versions of a table."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import DEFAULT_STORE, DataOption, JsonOption, ProfileOption, StoreOption, read_folders
from harness.display.console import answers, notices, print_json

if TYPE_CHECKING:
    from harness.report.compare_text import Section

WordsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="TABLE ROW ROW | TABLE@VERSION TABLE | RUN RUN",
        help="Two rows of a table; two versions of it (the start of a commit, of a code digest or of a parent run's "
        "id; without @ the newest), whole or one row of each (TABLE@VERSION ROW TABLE ROW); or two MLflow runs.",
        show_default=False,
    ),
]
MetricOption = Annotated[
    str | None,
    typer.Option("--metric", metavar="KEY", help="Metric to compare unit by unit. Default: the table's first."),
]
UnitsOption = Annotated[
    int, typer.Option("--units", metavar="N", min=0, help="Units to show of those that gained or lost most.")
]
FilesOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Also write Markdown, one HTML page to share and the figures to this folder.",
        show_default=False,
    ),
]


def compare(
    words: WordsArgument,
    metric: MetricOption = None,
    units: UnitsOption = 5,
    profile: ProfileOption = None,
    data: DataOption = None,
    out: FilesOption = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
) -> None:
    """Show how the second differs from the first: settings, code, data, metrics, units that gained and lost, costs.

    Metrics are paired over seeds and units. Unlike in a report, the runs may differ in code, data or profile; if
    so, the heading says it.
    """
    from harness.api.compare import find_comparison, loader_for
    from harness.report import comparison_to_json, write_comparison
    from harness.report.compare_text import heading, sections, title

    found = find_comparison(words, store, profile=profile, metric=metric)
    if json:
        print_json(comparison_to_json(found, units))
    else:
        answers().print(title(found), style="bold")
        answers().print(heading(found))
        for section in sections(found, units):
            _show(section)
    if out is not None:
        written, lacking = write_comparison(found, out, loader_for(found, read_folders(data), store), units)
        notices().print(f"{found.name}: {', '.join(map(str, written))}")
        if lacking:
            notices().print(f"note: {lacking}")


def _show(section: "Section") -> None:
    from rich import box
    from rich.table import Table

    console = answers()
    console.print(f"\n{section.title}", style="bold")
    for sentence in section.text:
        console.print(sentence)
    if not section.lines:
        return
    table = Table(box=box.SIMPLE_HEAD)
    for name in section.header:
        table.add_column(name, overflow="fold")
    for line in section.lines:
        table.add_row(*line)
    console.print(table)
