"""Seconds that ``harness report`` takes on a tracker with a thousand runs, step by step, and what it must not import.

    python tests/benchmarks/report_scale.py [--rows 334] [--seeds 3] [--queries 1000] [--keep FOLDER] [--json FILE]

The tracker is filled first, through the harness's own ``Tracker``: runs with learning curves, results by query and a
recipe each. With ``--keep`` it stays in the folder, and is reused from there the next time.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from measure import arguments, show

from harness.spool import SpoolWriter
from harness.track import Tracker

_OPTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--rows", {"type": int, "default": 334}),
    ("--seeds", {"type": int, "default": 3}),
    ("--queries", {"type": int, "default": 1000, "help": "queries of each run, four an identity"}),
    ("--repeats", {"type": int, "default": 3}),
    ("--keep", {"type": Path, "metavar": "FOLDER", "help": "where the tracker is made, or was made before"}),
)
_FACTORS = 10
_STEPS = 50
_PROVENANCE = {"profile": "demo", "dataset": "market1501", "synthetic": "true", "code_digest": "0", "commit": "0"}

_PHASES = """
import sys, time
marks = [time.perf_counter()]
from pathlib import Path
from harness.track import read_snapshot
from harness.report import build_report, write_report
snapshot = read_snapshot(None, "scale")
marks.append(time.perf_counter())
report = build_report(snapshot)
marks.append(time.perf_counter())
write_report(report, Path("phases"), ("md", "tex", "csv", "json", "svg"))
marks.append(time.perf_counter())
assert "torch" not in sys.modules, "the report imported torch"
print(*(later - earlier for earlier, later in zip(marks, marks[1:])))
"""


def main() -> None:
    """Makes the tracker, and times the command and its parts in separate processes."""
    options = arguments(__doc__, *_OPTIONS)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        if not (folder / "mlflow.db").exists():
            make_tracker(folder, options.rows, options.seeds, options.queries)
        whole: list[float] = []
        phases: list[list[float]] = []
        for _ in range(options.repeats):
            started = time.perf_counter()
            _python(folder, "-m", "harness", "report", "scale", "--out", "reports")
            whole.append(time.perf_counter() - started)
            phases.append([float(text) for text in _python(folder, "-c", _PHASES).split()])
    names = ("import and snapshot", "statistics", "texts and figures")
    taken = zip(*phases, strict=True)
    rows = [{"part": name, "seconds": statistics.median(part)} for name, part in zip(names, taken, strict=True)]
    rows.append({"part": "the command", "seconds": statistics.median(whole)})
    show(rows, options, target="the command under 10 s with 1,000 runs, without torch", note=f"{_sizes(options)}.")


def make_tracker(folder: Path, rows: int, seeds: int, queries: int) -> None:
    """Makes a tracker with one table: rows of ten factors whose true effects differ, each under every seed."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    names = [f"F{index}" for index in range(_FACTORS)]
    settings = {str(row): {name: bool(row >> bit & 1) for bit, name in enumerate(names)} for row in range(rows)}
    declared = [{"id": row, "label": "", "note": "", "factors": on, "paper": {}} for row, on in settings.items()]
    declaration = {
        **{"name": "scale", "title": "A table of many runs", "profile": "demo", "dataset": "market1501"},
        **{"seeds": list(range(seeds)), "metrics": ["mAP", "rank1"], "rows": declared},
        "claims": [{"text": "F0 helps", "better": "1", "than": "0", "metric": "mAP", "by": None}],
    }
    spool, per_query = folder / "spool.jsonl", folder / "files"
    with SpoolWriter(spool) as writer:
        for step in range(1, _STEPS + 1):
            writer.write(step, step / 10, {"loss": 5 / step, "loss_softmax": 5 / step, "learning_rate": 0.1}, step)
    tracker = Tracker(f"sqlite:///{folder}/mlflow.db", folder / "outbox")
    tracker.open_table("T", table="scale", declaration=declaration, provenance=_PROVENANCE)
    difficulty = np.repeat(rng.normal(0, 1.2, queries // 4), 4)
    ids = np.repeat(np.arange(queries // 4), 4)
    for row, factors in settings.items():
        for seed in range(seeds):
            key, place = f"{row}/{seed}", per_query / f"{row}-{seed}"
            place.mkdir(parents=True)
            logit = 0.1 * sum(factors.values()) + rng.normal(0, 0.05) + difficulty + 0.5 * rng.standard_normal(len(ids))
            precision = 1 / (1 + np.exp(-logit))
            hit = np.where(rng.random(len(ids)) < precision, 1, 7)
            np.savez_compressed(
                place / "per_query.npz",
                average_precision=precision,
                first_hit_rank=hit,
                inp=precision**2,
                valid=np.ones(len(ids), bool),
                query_ids=ids,
            )
            tracker.open_run(
                key,
                table_key="T",
                row=row,
                seed=seed,
                name=f"{row} · seed {seed}",
                factors=factors,
                params={"backbone": "tiny", "epochs": "5"},
                recipe_yaml="model: {}\n",
                provenance=_PROVENANCE,
            )
            tracker.deliver(key, spool, 0)
            costs = {"seconds": 60.0, "parameters": 4e5, "multiply_adds": 8e6 * (1 + row.count("1"))}
            metrics = {"mAP": float(precision.mean()), "rank1": float((hit == 1).mean()), **costs}
            tracker.finish_run(key, metrics, [place / "per_query.npz"])
    tracker.finish_table("T", succeeded=True)
    if (delivery := tracker.close(patience_s=3600.0)).undelivered:
        raise SystemExit(str(delivery))


def _python(folder: Path, *words: str) -> str:
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{folder.absolute()}/mlflow.db"}
    done = subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def _sizes(options: Any) -> str:
    return f"{options.rows} rows of {options.seeds} seeds, {options.queries} queries and {_STEPS} steps a run"


if __name__ == "__main__":
    main()
