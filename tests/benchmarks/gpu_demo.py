"""Does the whole program run on this device: rows 1, 3 and 8 of the demo's Table 1, two workers on one GPU, tracked.

    python tests/benchmarks/gpu_demo.py [--device cuda] [--tiny] [--json FILE]

The public Python interface trains the rows and tracks them in an MLflow database of its own. Each row's network is then
scored once more on the CPU, from the same weights: metrics may differ by what float32 leaves open. Utilisation, memory
and energy are read back from MLflow.
"""

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from gpu_stages import SHARED, TINY, share_images
from measure import arguments, keep, tell
from subjects import TABLE, pedestrians

ROWS = ["1", "3", "8"]
MOST_OFF = 0.005
"""How far a metric may be from the CPU's: float32 distances that are nearly equal may change places."""


def main() -> None:
    """Trains, reads back, and scores again."""
    options = arguments(__doc__, SHARED, ("--tiny", {"action": "store_true", "help": "smaller images, for a test"}))
    with tempfile.TemporaryDirectory() as name:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{name}/mlflow.db"
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        share_images(Path(name) / "store", options.shared or Path(name) / "shared")
        os.chdir(name)
        rows, note = measured(Path(name), options.threads, tiny=options.tiny, on_gpu=options.device.type == "cuda")
        tell(rows, options, target=f"the CPU's metrics of the same weights within {MOST_OFF}", note=note)
        keep(rows, options, target=f"the CPU's metrics of the same weights within {MOST_OFF}", note=note)
    off = max(row["mAP off"] for row in rows)
    missing = [row["row"] for row in rows if options.device.type == "cuda" and row["energy Wh"] is None]
    if off > MOST_OFF or missing:
        raise SystemExit(f"mAP is {off:.4f} off the CPU's; energy is missing for rows {missing}")


def measured(folder: Path, threads: int, *, tiny: bool, on_gpu: bool) -> tuple[list[dict[str, Any]], str]:
    """A line for each row."""
    import harness
    from harness.api.prepare import prepare
    from harness.devices import device_name
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
    rows = []
    for planned in prepared.plan.runs:
        stages = [prepared.plan.stages[name] for name in planned.stages]
        again = folder / f"again-{planned.row}"
        again.mkdir()
        context = {**prepared.context, "device": "cpu", "threads": threads}
        parent = prepared.store.fetch(stages[-2].fingerprint)
        on_cpu = evaluate_stage(stages[-1].settings, context, again, parent, lambda _: None)["metrics"]
        results = [prepared.store.result(stage.fingerprint) for stage in stages]
        places = {result["device"] for result in results}
        if on_gpu and places != {device_name("cuda:0")}:
            raise SystemExit(f"row {planned.row} ran on {sorted(places)}, expected {device_name('cuda:0')}")
        metrics, costs = results[-1]["metrics"], tracked[planned.row].metrics
        rows.append(
            {
                "row": planned.row,
                "mAP": metrics["mAP"],
                "mAP on the CPU": on_cpu["mAP"],
                "mAP off": abs(metrics["mAP"] - on_cpu["mAP"]),
                "images/s": costs.get("images_per_s"),
                "utilisation": costs.get("gpu_utilisation"),
                "peak MB": costs.get("peak_memory_mb"),
                "energy Wh": costs.get("energy_wh"),
                "device": results[0]["device"],
            }
        )
    return rows, f"{run.trained} stages in {seconds:.1f} s, two at a time, tracker and report included"


if __name__ == "__main__":
    main()
