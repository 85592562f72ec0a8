"""What the harness costs on top of a user's own code: stages that do nothing, a plan of a thousand rows, imports.

    python tests/benchmarks/overhead.py [--stages N] [--workers N] [--json FILE]

The trainer is a function that immediately returns two numbers, so that all the time is the harness's. Its stages are
run by warm workers without a tracker, then as by ``run``: tracked, with the report. The baseline of these
lines is the minimum for any harness: the same calls in as many processes, each writing and syncing a file for its
result. The plan's baseline is reading its YAML; the imports' is a Python that imports nothing.
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from measure import arguments, show

from harness.api.engine import Engine
from harness.api.listener import Listener
from harness.api.prepare import Prepared, prepare
from harness.api.run import run_table

NOTHING = 'def train(settings, run):\n    return {"score": settings.value, "loss": 0.5}\n'
ROWS = 1000
TARGET = "a stage under 0.1 s; 200 on two workers under 20 s; a plan of 1,000 rows under 2 s; no torch"


def main() -> None:
    """Measures stages, a table, a plan and imports, each next to its baseline."""
    options = arguments(
        __doc__,
        ("--stages", {"type": int, "default": 200}),
        ("--workers", {"type": int, "default": 2}),
    )
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        os.chdir(name)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{name}/mlflow.db"
        Path("nothing.py").write_text(NOTHING)
        rows = [
            *stages(options.stages, options.workers),
            *plan(),
            *imports(),
        ]
    show(rows, options, target=TARGET)


def declare(rows: int, name: str) -> Path:
    """Writes a table of many rows that differ in one setting."""
    metrics = {"score": {}, "loss": {"better": "lower"}}
    recipe = {"trainer": "nothing:train", "settings": {"value": 0}, "metrics": metrics}
    Path("recipe.yaml").write_text(json.dumps(recipe))
    table = {
        "title": name,
        "recipe": "recipe.yaml",
        "seeds": [0],
        "metrics": ["score", "loss"],
        "rows": [{"id": str(row), "factors": [], "set": {"value": row}} for row in range(rows)],
    }
    Path(f"{name}.yaml").write_text(json.dumps(table))
    return Path(f"{name}.yaml")


def stages(count: int, workers: int) -> list[dict[str, Any]]:
    """Seconds of ``count`` stages on warm workers, and of a whole run of them."""
    bare_s = bare(count, workers)
    prepared = prepare(declare(count, "stages"), store="store")
    engine = Engine(workers=workers)
    with engine.start(prepared.store, Listener()) as executor:
        warm = prepare(declare(2 * workers, "warm"), store="store", overrides={"value": -1})
        execute(executor, warm)
        started = time.perf_counter()
        execute(executor, prepared)
        stages_s = time.perf_counter() - started
    prepared = prepare(declare(count, "run"), store="store-of-run")
    started = time.perf_counter()
    ended = run_table(prepared, engine, Path("reports"))
    if ended.trained < count:
        raise SystemExit(f"{ended.trained} of {count} stages were carried out")
    while ended.report is None:  # the tracker had no time to take all runs: the same command continues
        ended = run_table(prepared, engine, Path("reports"))
    run_s = time.perf_counter() - started
    return [
        line(f"{count} calls, each result in a synced file, {workers} processes", bare_s, bare_s, count),
        line(f"{count} stages that do nothing, {workers} warm workers", stages_s, bare_s, count),
        line(f"a run of {count} such stages from its start: workers, MLflow, report", run_s, bare_s, count),
    ]


def execute(executor: Any, prepared: Prepared) -> None:
    """Executes a plan without a tracker."""
    outcomes = executor.execute(prepared.plan.to_execute, prepared.trainer.work, prepared.context, lambda _: None)
    failed = [outcome.reason for outcome in outcomes.values() if outcome.status != "succeeded"]
    if failed:
        raise SystemExit(failed[0])


def bare(count: int, workers: int) -> float:
    """Seconds of the calls in warm processes, without the harness."""
    Path("bare").mkdir()
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(call, range(2 * workers)))
        started = time.perf_counter()
        list(pool.map(call, range(count)))
        return time.perf_counter() - started


def call(number: int) -> None:
    """The minimum that a stage does."""
    with Path(f"bare/{number}.json").open("w", encoding="utf-8") as file:
        json.dump({"score": number, "loss": 0.5}, file)
        file.flush()
        os.fsync(file.fileno())


def plan() -> list[dict[str, Any]]:
    """Seconds of planning a table of a thousand rows, in this process."""
    from harness.matrix import read_declaration

    table = declare(ROWS, "plan")
    prepare(table, store="store-of-plan")  # pays for the imports
    started = time.perf_counter()
    read_declaration(table)
    read_s = time.perf_counter() - started
    started = time.perf_counter()
    prepare(table, store="store-of-plan")
    return [
        line(f"reading the YAML of {ROWS:,} rows", read_s, read_s, ROWS),
        line(f"a plan of {ROWS:,} rows", time.perf_counter() - started, read_s, ROWS),
    ]


def imports() -> list[dict[str, Any]]:
    """Seconds of processes that import the harness; refuses to go on if one of them imports torch."""
    look = "import sys; print('torch' in sys.modules)"
    empty_s, _ = process("-c", look)
    lines = [line("a Python that imports nothing", empty_s, empty_s, 1)]
    run_it = "runpy.run_module('harness', run_name='__main__')"
    helps = f"import runpy, sys\nsys.argv = ['harness', 'run', '--help']\ntry: {run_it}"
    for what, code in (
        ("import harness", f"import harness; {look}"),
        ("harness run --help", f"{helps}\nexcept SystemExit: pass\n{look}"),
    ):
        seconds, said = process("-c", code)
        if not said.rstrip().endswith("False"):
            raise SystemExit(f"{what} imports torch")
        lines.append(line(what, seconds, empty_s, 1))
    return lines


def process(*words: str) -> tuple[float, str]:
    """The median seconds of three processes, and the output of the last one."""
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True)
        taken.append(time.perf_counter() - started)
    return sorted(taken)[1], done.stdout


def line(what: str, seconds: float, baseline_s: float, count: int) -> dict[str, Any]:
    """A line of the table."""
    return {"what": what, "seconds": seconds, "ms each": 1000 * seconds / count, "x baseline": seconds / baseline_s}


if __name__ == "__main__":
    main()
