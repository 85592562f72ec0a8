"""Shared by the benchmarks: timing that waits for the device, and one way to print and save the measurements."""

import argparse
import json
import os
import platform
import resource
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import torch

Row = Mapping[str, Any]


def arguments(about: str | None, *extra: tuple[str, dict[str, Any]]) -> argparse.Namespace:
    """The options that every benchmark has (``--device``, ``--threads``, ``--json``) and its own; sets the threads.

    Args:
        about: The benchmark's docstring; its first line is the help.
        extra: Further options, each a name and keyword arguments of ``add_argument``.
    """
    parser = argparse.ArgumentParser(description=(about or "").partition("\n")[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", type=torch.device)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads on a CPU")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write what was measured here")
    for name, settings in extra:
        parser.add_argument(name, **settings)
    options = parser.parse_args()
    if options.json is not None:
        options.json = options.json.absolute()  # even if the benchmark changes its folder
    if options.device.type == "cuda" and options.device.index is None:
        options.device = torch.device("cuda", 0)  # setting a device requires its index
    torch.set_num_threads(options.threads)
    return options


def now(device: torch.device) -> float:
    """The time in seconds, once everything queued on the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def resident_mb() -> float:
    """The memory that the process holds now."""
    return float(psutil.Process().memory_info().rss) / 1e6


def peak_mb(device: torch.device, before: float) -> float:
    """The most that torch had allocated on a GPU; on a CPU, the most that the process held, less ``before``."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6 - before


def median_seconds(
    works: Mapping[str, Callable[[], object]], device: torch.device, *, warm_up: int = 1, repeats: int = 5
) -> dict[str, float]:
    """Median seconds of each work, after a warm-up; they take turns, so that a slow moment affects all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for repeat in range(warm_up + repeats):
        for name, work in works.items():
            started = now(device)
            work()
            ended = now(device)
            if repeat >= warm_up:
                seconds[name].append(ended - started)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def show(
    rows: Sequence[Row],
    options: argparse.Namespace,
    *,
    target: str = "",
    note: str = "",
    further: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Prints the rows as a table and, with ``--json``, saves them with the environment and the command.

    Args:
        rows: One mapping per line; the keys of the first are the columns.
        options: From ``arguments``.
        target: What the figures should reach.
        note: What a reader must know to interpret them.
        further: More tables, each with its title ``what`` and its ``rows``.
    """
    place = environment_of(options.device)
    print(f"{place['device']} · torch {place['torch']} · load {place['load']}")
    for line in table_lines(rows):
        print(line)
    for line in (f"target: {target}" if target else "", note):
        if line:
            print(line)
    for more in further:
        print("\n".join([f"{more['what']}:", *table_lines(more["rows"])]))
    keep(rows, options, target=target, note=note, **({"further": list(further)} if further else {}))


def keep(rows: Sequence[Row], options: argparse.Namespace, *, target: str = "", note: str = "", **more: Any) -> None:
    """With ``--json``, writes the rows so far, whole or not at all; the arguments are those of ``show``.

    Args:
        rows: One mapping per line.
        options: From ``arguments``.
        target: What the figures should reach.
        note: What a reader must know to interpret them.
        more: Anything else to save, by name.
    """
    if options.json is None:
        return
    place = environment_of(options.device)
    kept = {"command": _command(), **place, "target": target, "note": note, "rows": list(rows), **more}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    aside = options.json.with_name(f"{options.json.name}.tmp")
    aside.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    aside.replace(options.json)


def table_lines(rows: Sequence[Row]) -> list[str]:
    """The rows as lines of aligned columns, numbers to the right.

    >>> table_lines([{"name": "a", "images/s": 1234.5}, {"name": "long", "images/s": None}])
    ['name  images/s', 'a        1,234', 'long           ']
    """
    columns = list(rows[0])
    cells = [[shown(row[column]) for column in columns] for row in rows]
    widths = [max(len(column), *(len(line[place]) for line in cells)) for place, column in enumerate(columns)]
    right = [any(isinstance(row[column], int | float) for row in rows) for column in columns]

    def line(values: Sequence[str]) -> str:
        padded = (
            value.rjust(width) if to_right else value.ljust(width)
            for value, width, to_right in zip(values, widths, right, strict=True)
        )
        return "  ".join(padded)

    return [line(columns), *map(line, cells)]


def shown(value: Any) -> str:
    """A cell: thousands with commas, small numbers with three significant digits, None as empty text."""
    if value is None:
        return ""
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def environment_of(device: torch.device) -> dict[str, Any]:
    """The device, with a GPU's driver, the versions and the load, as saved in every benchmark's file."""
    name = (
        f"{torch.cuda.get_device_name(device)}, {_driver()}, CUDA {torch.version.cuda}"
        if device.type == "cuda"
        else f"CPU, {torch.get_num_threads()} of {os.cpu_count()} threads"
    )
    return {
        "device": name,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
    }


def _driver() -> str:
    try:
        import pynvml

        pynvml.nvmlInit()
        return f"driver {pynvml.nvmlSystemGetDriverVersion()}"
    except Exception:  # the benchmark works without the library or the driver's answer
        return "driver unknown"


def _command() -> str:
    """The command line, without its ``--json`` option."""
    words = sys.argv[1:]
    kept = [
        word
        for place, word in enumerate(words)
        if word != "--json" and not word.startswith("--json=") and words[place - 1 : place] != ["--json"]
    ]
    return shlex.join(["python", f"tests/benchmarks/{Path(sys.argv[0]).name}", *kept])
