"""The options that mean the same in every command."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from harness.api import DEFAULT_REPORTS as DEFAULT_REPORTS
from harness.api import DEFAULT_STORE as DEFAULT_STORE
from harness.api import REPORT_FORMATS
from harness.api.engine import ExecutorName
from harness.api.folders import read_folders as read_folders
from harness.api.outputs import RULE
from harness.errors import InputError

TableArgument = Annotated[Path, typer.Argument(metavar="TABLE.yaml", help="The table's file.", show_default=False)]
ProfileOption = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        help="Profile: paper, demo, ... Default: paper if the data set is found, else demo.",
        show_default=False,
    ),
]
DataOption = Annotated[
    list[str] | None,
    typer.Option(
        "--data",
        metavar="[NAME=]DIR",
        help="The data's folder, or NAME=DIR for one of several data sets. Default: $HARNESS_DATA, then ./data.",
        show_default=False,
    ),
]
RowsOption = Annotated[
    str | None, typer.Option("--rows", metavar="1,3", help="Only these rows, by id.", show_default=False)
]
SeedsOption = Annotated[
    str | None, typer.Option("--seeds", metavar="0,1,2", help="These seeds instead of the table's.", show_default=False)
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set any recipe value by its dotted key; recorded with the runs; may be repeated.",
        show_default=False,
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers", metavar="N", min=1, help="Stages at a time. Default: one per GPU, else per core, up to 8."
    ),
]
StoreOption = Annotated[
    str,
    typer.Option(
        "--store",
        metavar="ADDRESS",
        envvar="HARNESS_STORE",
        help="Where finished stages and checkpoints are kept: a folder, or s3://bucket/prefix for many machines.",
    ),
]
OutOption = Annotated[Path | None, typer.Option("--out", metavar="DIR", help=RULE, show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else on standard output.")]

ReuseOption = Annotated[
    Literal["code", "version"],
    typer.Option(
        "--reuse",
        help="What decides whether a finished stage is still valid: the code itself, or its hand-kept version "
        "(changed code then reuses old results; the runs are marked).",
    ),
]

ExecutorOption = Annotated[
    ExecutorName,
    typer.Option(
        "--executor",
        help="What runs the stages: processes on this machine, a Ray cluster, or this process itself (to debug).",
    ),
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="auto|HOST:PORT",
        help="The Ray cluster. Default: $RAY_ADDRESS, else one is started on this machine.",
        show_default=False,
    ),
]
StageCpusOption = Annotated[
    int | None,
    typer.Option(
        "--stage-cpus",
        metavar="N",
        min=1,
        help="CPUs of a Ray node for each stage. Default: 1, or a GPU's share of the node's.",
        show_default=False,
    ),
]
StageGpusOption = Annotated[
    float | None,
    typer.Option(
        "--stage-gpus",
        metavar="N",
        min=0.0,
        max=1.0,
        help="GPUs of a Ray node for each stage. Default: 1 if there are any; 0.5 lets two stages share one.",
        show_default=False,
    ),
]

SettleOption = Annotated[
    bool,
    typer.Option(
        "--settle",
        help="Add seeds where a claim is open, until it is better, worse or practically equal.",
    ),
]
MaxSeedsOption = Annotated[
    int | None,
    typer.Option(
        "--max-seeds",
        metavar="N",
        min=3,
        help="With --settle: the most seeds per row. Default: the table's max_seeds, or 30.",
        show_default=False,
    ),
]
BudgetOption = Annotated[
    str | None,
    typer.Option(
        "--budget",
        metavar="40h",
        help="With --settle: device time for seeds beyond the declared ones (h, m, s), cheapest claims first.",
        show_default=False,
    ),
]

CachedOption = Annotated[
    bool,
    typer.Option(
        "--cache/--no-cache",
        help="Keep decoded images on disk, or decode them every time: slower, for disks too small to hold them.",
    ),
]

FormatOption = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="md,html,tex,csv,json,svg,png",
        help="Formats of the report. html: one file to share; svg, png: figures.",
    ),
]
DEFAULT_FORMATS = ",".join(REPORT_FORMATS)


def listed(text: str | None, option: str) -> list[str] | None:
    """The items of a comma-separated option; None if it was not given.

    Raises:
        InputError: If an item is empty.
    """
    if text is None:
        return None
    items = [item.strip() for item in text.split(",")]
    if not all(items):
        raise InputError(f'{option} "{text}": expected values separated by commas, found an empty one')
    return items


def seeds_of(text: str | None) -> list[int] | None:
    """The seeds of ``--seeds``; None if it was not given.

    Raises:
        InputError: If one is not a whole number from 0.
    """
    items = listed(text, "--seeds")
    if items is None:
        return None
    for item in items:
        if not (item.isascii() and item.isdigit()):
            raise InputError(f'--seeds "{text}": expected whole numbers from 0, found "{item}"')
    return [int(item) for item in items]


def assignments(texts: list[str] | None) -> dict[str, str]:
    """The ``--set`` options as a mapping from dotted key to text.

    Raises:
        InputError: If one has no ``=`` or a key is set twice.
    """
    values: dict[str, str] = {}
    for text in texts or []:
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals or not key:
            raise InputError(f'--set "{text}": expected KEY=VALUE, for example losses.quadruplet.epsilon1=0.4')
        if key in values:
            raise InputError(f'--set: "{key}" is set twice ("{values[key]}" and "{value.strip()}")')
        values[key] = value.strip()
    return values


def seconds_of(text: str | None) -> float | None:
    """The seconds of ``--budget``; None if it was not given.

    Raises:
        InputError: If it is not a number with a unit.
    """
    if text is None:
        return None
    units = {"h": 3600.0, "m": 60.0, "s": 1.0}
    number, unit = text.strip()[:-1], text.strip()[-1:]
    try:
        seconds = float(number) * units[unit]
    except (ValueError, KeyError):
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise InputError(f'--budget "{text}": expected a number of hours, minutes or seconds, such as 40h, 90m or 30s')
    return seconds


def refuse_without_settle(settle: bool, max_seeds: int | None, budget: str | None) -> None:
    """Raises an InputError if an option is given that has no meaning without ``--settle``."""
    for option, value in {"--max-seeds": max_seeds, "--budget": budget}.items():
        if value is not None and not settle:
            raise InputError(f"{option} {value}: needs --settle")


def refuse_with_settle(settle: bool, rows: str | None, seeds: str | None) -> None:
    """Raises an InputError if ``--settle`` is to begin with other rows or seeds than the table's own."""
    for option, value in {"--rows": rows, "--seeds": seeds}.items():
        if value is not None and settle:
            raise InputError(f"{option} {value}: --settle starts with the table's own rows and seeds; leave it out")
