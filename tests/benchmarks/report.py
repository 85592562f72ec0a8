"""Writes ``reports/benchmarks.md`` from the JSON that the benchmarks saved: no figure in it is typed by hand.

    python tests/benchmarks/report.py FOLDER [--out reports/benchmarks.md] [--update]

``FOLDER`` holds one file for each entry of ``SECTIONS``, ``NAME.json``; the command that makes it is in the report
too. ``gpu.json``, written by ``gpu.py``, holds all those that begin with ``gpu-``. Missing entries are *not
measured*.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from measure import shown
from subjects import ROOT

GPU = ("tests", "demo", "step", "profile", "evaluate", "compile", "data", "checkpoint", "losses", "stages")
"""The parts of ``gpu.py``, all saved in ``gpu.json``."""
SECTIONS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "Data: from files to augmented batches": (("data", "data.py"),),
    "Step: the training loop against the bare step": (
        ("step-demo", "step.py"),
        ("step-paper", "step.py --scale paper"),
    ),
    "Evaluation: Market-1501's size": (("evaluate", "evaluate.py"),),
    "Evaluation: MSMT17's size": (("large", "large.py"),),
    "Memory: activations kept and recomputed": (("memory", "memory.py"),),
    "Checkpoints: how long training stands still for one": (("checkpoint", "checkpoint.py"),),
    "Full size: rows 1 and 8 of Table 1 as the paper trains them": (("fullsize", "fullsize.py"),),
    "Loop: an epoch against a conventional loop": (("loop", "loop.py"),),
    "Table: what sharing stages saves": (
        ("table-demo", "table.py --store .harness"),
        ("table-paper", "table.py --profile paper"),
    ),
    "Search: a grid of margins against trainings from nothing": (("search", "search.py --store .harness"),),
    "Demo: what bounds a training step of it": (("demo", "demo.py"),),
    "Losses": (("losses", "losses.py"),),
    "Start-up": (("startup", "startup.py"),),
    "Overhead: what the harness takes beside a user's own code": (("overhead", "overhead.py"),),
    "Report: a thousand runs": (("report-scale", "report_scale.py"),),
    "Statistics: what the intervals cover, what is contradicted": (("intervals", "intervals.py"),),
    "Settling: wrong verdicts, power and trainings": (("settle", "settle.py"),),
    "Tracking: what it takes from training, and what a run costs where it is kept": (
        ("tracking", "tracking.py"),
        ("costs", "costs.py"),
    ),
    "On a GPU: ResNet-50 at 256 x 128": tuple((f"gpu-{name}", f"gpu.py --out FOLDER --parts {name}") for name in GPU),
}
"""Headings, each with its files (without ``.json``) and the commands that write them."""


def main() -> None:
    """Reads the folder and writes the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "reports" / "benchmarks.md")
    parser.add_argument("--update", action="store_true", help="leave sections as they are that FOLDER holds nothing of")
    parser.add_argument("--commands", action="store_true", help="print the commands that fill the folder, and stop")
    options = parser.parse_args()
    if options.commands:
        print("\n".join(_commands(options.folder)))
        return
    options.out.parent.mkdir(parents=True, exist_ok=True)
    before = options.out.read_text(encoding="utf-8") if options.update else ""
    options.out.write_text(report(options.folder, before), encoding="utf-8")
    print(f"{options.out}: written")


def report(folder: Path, before: str = "") -> str:
    """The whole page; a section without files in the folder is taken from the previous page, if that has it."""
    kept = {part.partition("\n")[0]: part.partition("\n")[2].strip() for part in before.split("\n## ")[1:]}
    measured = _measured(folder)
    lines = ["# Benchmarks", "", "Written by `tests/benchmarks/report.py` from what the benchmarks kept.", ""]
    for heading, files in SECTIONS.items():
        lines += [f"## {heading}", ""]
        if heading in kept and not any(name in measured for name, _ in files):
            lines += [kept[heading], ""]
            continue
        for name, script in files:
            lines += _section(measured.get(name, {}), script)
    return "\n".join(lines).rstrip() + "\n"


def _commands(folder: Path) -> list[str]:
    """The commands that fill the folder."""
    named = [(name, script) for files in SECTIONS.values() for name, script in files]
    alone = [f"{script} --json {folder / name}.json" for name, script in named if not name.startswith("gpu-")]
    return [f"python tests/benchmarks/{script}" for script in (*alone, f"gpu.py --out {folder}")]


def _measured(folder: Path) -> dict[str, Mapping[str, Any]]:
    """The contents of the folder, by name; with a ``reason`` where a part of ``gpu.py`` is missing or incomplete."""
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")}
    gpu = found.pop("gpu", {"parts": {}})
    for name, part in gpu["parts"].items():
        command = f"{gpu['command']} --parts {name}"
        reason = f"{part['status']}: {part['reason']}" if part["reason"] else ""
        found[f"gpu-{name}"] = {**(part["measured"] or {}), "command": command, "reason": reason}
    return found


def _section(kept: Mapping[str, Any], script: str) -> list[str]:
    reason = kept.get("reason", "")
    if not kept.get("rows"):
        return [f"`python tests/benchmarks/{script}`: *not measured*" + (f" ({reason})" if reason else ""), ""]
    place = f"{kept['device']}, torch {kept['torch']}, Python {kept['python']}, load {kept['load']} at the end"
    text = [f"`{kept['command']}`", "", f"{place}.", "", *_table(kept["rows"]), ""]
    for line in (f"Asked for: {kept['target']}." if kept["target"] else "", kept["note"], reason):
        if line:
            text += [line[0].upper() + line[1:], ""]
    for more in kept.get("further", ()):
        text += [f"{more['what']}:", "", *_table(more["rows"]), ""]
    return text


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The rows as a Markdown table, numbers to the right; columns without measurements are left out."""
    columns = [column for column in rows[0] if any(row[column] is not None for row in rows)]
    numbers = [any(isinstance(row[column], int | float) for row in rows) for column in columns]
    lines = [columns, ["---:" if number else "---" for number in numbers]]
    lines += [[shown(row[column]) for column in columns] for row in rows]
    return [f"| {' | '.join(line)} |" for line in lines]


if __name__ == "__main__":
    main()
