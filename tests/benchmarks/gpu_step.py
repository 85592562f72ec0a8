"""How fast it is: rows 1 and 8 of Table 1 in every way of computing them, and the resulting cost of all of Table 1.

    python tests/benchmarks/gpu_step.py [--device cuda] [--scale paper] [--compile] [--json FILE]

The loop against the bare step on a resident batch (``step.py``), in bfloat16, TF32 and float32, then with activations
computed again. Row 1's one stage is the plain network's ``classify``; row 8 is the full network. ``of best`` is the
share of the rate that the largest plain matrix product reaches here in the same precision; operations are counted: two
per multiply-add, three passes per step. ``--compile`` measures the same through ``torch.compile`` alone, without the
first steps. Each line is saved as soon as it is measured; one that cannot be measured says why. Hours of Table 1 are
its plan's images over the measured images per second, stages shared; those of evaluations come from a few real batches
and a ranking of random features of the data set's size.
"""

import argparse
import gc
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from measure import arguments, keep, now, show
from step import compare
from subjects import table_inputs, table_plan

from harness.reid.train.device import arithmetic
from harness.reid.train.probe import run_probe
from harness.trainer import Task

PRECISIONS = ("bfloat16", "tf32", "float32")
STAGES_OF = {"full": ("classify", "metric"), "plain": ("classify", "metric")}
GOAL_HOURS = 7.0
TARGET = f"0.97 or more of the bare step; Table 1 with three seeds in {GOAL_HOURS:g} GPU-hours at most in bfloat16"


def main() -> None:
    """Measures one way after another, and saves each."""
    options = arguments(
        __doc__,
        ("--scale", {"choices": ["demo", "paper"], "default": "paper"}),
        ("--steps", {"type": int, "default": 5, "help": "steps in a window"}),
        ("--windows", {"type": int, "default": 4, "help": "windows of each"}),
        ("--batch", {"type": int, "default": None, "help": "images a batch instead of the recipe's"}),
        ("--compile", {"action": "store_true"}),
        ("--networks", {"nargs": "+", "choices": list(STAGES_OF), "default": list(STAGES_OF)}),
    )
    best = {precision: best_rate(precision, options.device) for precision in PRECISIONS}
    rows: list[dict[str, Any]] = []
    for way in ways(options.networks, compiled=options.compile):
        rows.append(measured(way, options, best[way["precision"]]))
        keep(rows, options, target=TARGET, note=summary(rows, []), further=further(best, []))
    hours = [] if options.compile else hours_of_table(rows, options)
    show(rows, options, target=TARGET, note=summary(rows, hours))
    keep(rows, options, target=TARGET, note=summary(rows, hours), further=further(best, hours))


def ways(networks: Sequence[str], *, compiled: bool) -> Iterator[dict[str, Any]]:
    """The ways to measure, in order of value: those that determine Table 1's hours come first."""
    if compiled:
        way = "compiled (switched off here)" if torch._dynamo.config.disable else "compiled"
        for network in networks:
            yield {"network": network, "stage": "classify", "precision": "bfloat16", "way": way}
        return
    for precision in PRECISIONS:
        for network in networks:
            for stage in STAGES_OF[network]:
                yield {"network": network, "stage": stage, "precision": precision, "way": "plain"}
        if precision != "tf32":
            yield {"network": "full", "stage": "classify", "precision": precision, "way": "recomputed"}


def measured(way: Mapping[str, Any], options: argparse.Namespace, best: float) -> dict[str, Any]:
    """One line, or the reason why it cannot be measured."""
    chosen = argparse.Namespace(
        **{**vars(options), "compile": way["way"].startswith("compiled")},
        checkpoint_activations=way["way"] == "recomputed",
        bfloat16=way["precision"] == "bfloat16",
        tf32=way["precision"] == "tf32",
    )
    figures = dict.fromkeys(("batch", "loop images/s", "bare images/s", "ratio", "TFLOP/s", "of best", "peak MB"))
    try:
        found = compare(way["network"], way["stage"], chosen)
    except Exception as error:  # out of memory, no compiler, no such kernel: the other ways are still measured
        return {**way, **figures, "utilisation": None, "why not": f"{type(error).__name__}: {first_line(error)}"}
    finally:
        torch._dynamo.reset()
        gc.collect()
        if options.device.type == "cuda":
            torch.cuda.empty_cache()
    rate = found.pop("GFLOP/s") / 1e3
    found |= {"TFLOP/s": rate, "of best": rate / best}
    return {**way, **{name: found[name] for name in figures}, "utilisation": found["utilisation"], "why not": None}


def first_line(error: Exception) -> str:
    """The first line of an error that is not empty."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "")[:200]


def best_rate(precision: str, device: torch.device) -> float:
    """TFLOP/s of a large plain matrix product of random values."""
    size = 8192 if device.type == "cuda" else 512
    kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
    left, right = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))
    repeats = 10
    with arithmetic(device, tf32=precision == "tf32", deterministic=False):
        for _ in range(3):
            left @ right
        started = now(device)
        for _ in range(repeats):
            left @ right
        seconds = now(device) - started
    return 2.0 * size**3 * repeats / seconds / 1e12


def hours_of_table(rows: Sequence[Mapping[str, Any]], options: argparse.Namespace) -> list[dict[str, Any]]:
    """GPU-hours of Table 1 by precision, where all its kinds of stage were measured."""
    _, plan = table_plan(options.scale)
    scored = seconds_of_evaluations(options)
    found = []
    for precision in PRECISIONS:
        speeds = {
            (row["network"], row["stage"]): row["loop images/s"]
            for row in rows
            if row["precision"] == precision and row["way"] == "plain" and row["loop images/s"] is not None
        }
        trainings = [stage for stage in plan.stages.values() if stage.kind == "train"]
        kinds = [(network_of(stage.settings), stage.name) for stage in trainings]
        if not set(kinds) <= speeds.keys():
            continue
        trained_h = sum(stage.amount / speeds[kind] for stage, kind in zip(trainings, kinds, strict=True)) / 3600.0
        scored_h = None if scored is None else scored / 3600.0
        total_h = trained_h + (scored_h or 0.0)
        line = {"precision": precision, "trainings": len(trainings), "training h": trained_h, "scoring h": scored_h}
        found.append({**line, "GPU-hours": total_h})
    return found


def network_of(settings: Mapping[str, Any]) -> str:
    """Which measured network a stage trains or scores; one with only DIL and Multi counts as the full one."""
    return "full" if settings["model"]["stage6"] else "plain"


def seconds_of_evaluations(options: argparse.Namespace) -> float | None:
    """The seconds of all evaluations of Table 1 in sequence; None if a probe fails."""
    matrix, plan = table_plan(options.scale)
    evaluations = [stage for stage in plan.stages.values() if stage.kind == "evaluate"]
    inputs = table_inputs(matrix)
    speeds: dict[str, float] = {}
    for stage in evaluations:
        network = network_of(stage.settings)
        if network in speeds:
            continue
        data = [{"dataset": "", "root": "", "contents": inputs.contents, "sizes": inputs.sizes}]
        context = {"data": data, "cache": "", "weights": {}, "device": str(options.device)}
        context["threads"] = options.threads
        with tempfile.TemporaryDirectory() as folder:
            task = Task(stage.kind, stage.name, stage.settings, Path(folder), None, context)
            try:
                speeds[network] = run_probe(task, lambda _: None)["units_per_s"]
            except Exception as error:
                print(f"evaluation not probed: {type(error).__name__}: {first_line(error)}")
                return None
    return sum(stage.amount / speeds[network_of(stage.settings)] for stage in evaluations)


def summary(rows: Sequence[Mapping[str, Any]], hours: Sequence[Mapping[str, Any]]) -> str:
    """The figures in one sentence."""
    ratios = [row["ratio"] for row in rows if row["ratio"] is not None]
    sentence = f"{len(ratios)} of {len(rows)} ways measured"
    if ratios:
        sentence += f", loop {min(ratios):.2f} to {max(ratios):.2f} of the bare step"
    for line in hours:
        sentence += f", Table 1 in {line['GPU-hours']:.2g} GPU-hours ({line['precision']})"
    return sentence


def further(best: Mapping[str, float], hours: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The tables after the first."""
    rates = [{"precision": precision, "best product TFLOP/s": rate} for precision, rate in best.items()]
    tables: list[dict[str, Any]] = [{"what": "Best rate of a plain matrix product of the same run", "rows": rates}]
    if hours:
        tables.append(
            {"what": "All of Table 1 with its seeds, stages shared, one stage at a time", "rows": list(hours)}
        )
    return tables


if __name__ == "__main__":
    main()
