"""Whether the whole program runs on this device: rows 1, 3 and 8 of the demo's Table 1, with two workers, tracked.

    python tests/benchmarks/gpu_demo.py [--device cuda] [--tiny] [--json FILE]

The public Python interface trains the rows and tracks them in an MLflow database of its own. Each row's network is then
scored once more on the CPU, from the same weights: metrics may differ by float32 rounding. Utilisation, memory
and energy are read back from MLflow.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpu_stages import SHARED, TINY, share_images
from measure import arguments, keep, show
from subjects import TABLE, pedestrians

ROWS = ["1", "3", "8"]
MOST_OFF = 0.005
"""How far a metric may be from the CPU's: nearly equal float32 distances may change places."""
TARGET = f"the CPU's metrics of the same weights within {MOST_OFF}"


def main() -> None:
    """Trains the rows, reads back their metrics, and scores them again."""
    options = arguments(__doc__, SHARED, ("--tiny", {"action": "store_true", "help": "smaller images, for a test"}))
    with tempfile.TemporaryDirectory() as name:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{name}/mlflow.db"
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        share_images(Path(name) / "store", options.shared or Path(name) / "shared")
        os.chdir(name)
        rows: list[dict[str, Any]] = []
        for rows, note in measured(Path(name), options.threads, tiny=options.tiny):
            keep(rows, options, target=TARGET, note=note)
        show(rows, options, target=TARGET, note=note)
    if options.device.type == "cuda":
        check_places(rows)
    off = max(row["mAP off"] for row in rows)
    missing = [row["row"] for row in rows if options.device.type == "cuda" and row["energy Wh"] is None]
    if off > MOST_OFF or missing:
        raise SystemExit(f"mAP is {off:.4f} off the CPU's; energy is missing for rows {missing}")


def measured(folder: Path, threads: int, *, tiny: bool) -> Iterator[tuple[list[dict[str, Any]], str]]:
    """Yields a line for each row: all of them once they are trained, then again after each one that the CPU scores."""
    import harness
    from harness.api.prepare import prepare
    from harness.reid.train.scoring import evaluate_stage
    from harness.track import read_snapshot

    overrides = TINY if tiny else {}
    data = pedestrians(folder / "set", 16) if tiny else None
    table = harness.Table(TABLE, profile="demo", data=data, overrides=overrides, store=folder / "store")
    started = time.perf_counter()
    run = table.run(rows=ROWS, seeds=[0], workers=2, out=folder / "reports", progress=False)
    seconds = time.perf_counter() - started
    if run.failed or run.undelivered:
        reasons = [outcome.reason for outcome in run.outcomes.values() if outcome.reason]
        raise SystemExit(f"rows {run.failed} failed: {'; '.join(reasons)} {run.undelivered}")
    tracked = {record.row: record for record in read_snapshot(os.environ["MLFLOW_TRACKING_URI"], table.name).runs}
    store = str(folder / "store")
    prepared = prepare(TABLE, profile="demo", data=data, rows=ROWS, seeds=[0], overrides=overrides, store=store)
    note = f"{run.trained} stages in {seconds:.1f} s, two at a time, tracker and report included"
    rows = []
    for planned in prepared.plan.runs:
        results = [prepared.store.result(name) for name in planned.stages]
        costs = tracked[planned.row].metrics
        rows.append(
            {
                "row": planned.row,
                "mAP": results[-1]["metrics"]["mAP"],
                "mAP on the CPU": None,
                "mAP off": None,
                "images/s": costs.get("images_per_s"),
                "utilisation": costs.get("gpu_utilisation"),
                "peak MB": costs.get("peak_memory_mb"),
                "energy Wh": costs.get("energy_wh"),
                "device": ", ".join(sorted({result["device"] for result in results})),
            }
        )
    yield rows, note
    for planned, row in zip(prepared.plan.runs, rows, strict=True):
        parent, evaluation = (prepared.plan.stages[name] for name in planned.stages[-2:])
        again = folder / f"again-{planned.row}"
        again.mkdir()
        context = {**prepared.context, "device": "cpu", "threads": threads}
        trained = prepared.store.fetch(parent.fingerprint)
        on_cpu = evaluate_stage(evaluation.settings, context, again, trained, lambda _: None)["metrics"]["mAP"]
        row |= {"mAP on the CPU": on_cpu, "mAP off": abs(row["mAP"] - on_cpu)}
        yield rows, note


def check_places(rows: list[dict[str, Any]]) -> None:
    """Refuses rows that did not run on the GPU."""
    from harness.devices import device_name

    places = {row["device"] for row in rows}
    if places != {device_name("cuda:0")}:
        raise SystemExit(f"rows ran on {', '.join(sorted(places))}, expected {device_name('cuda:0')}")


if __name__ == "__main__":
    main()
