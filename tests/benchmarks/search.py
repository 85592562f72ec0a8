"""What a 5 x 5 grid of margins costs in the demo, compared with 25 trainings from scratch.

    python tests/benchmarks/search.py [--store DIR] [--json FILE]

Runs ``harness search ablations/margins.yaml --profile demo`` on the CPU and reads the seconds that its stages took,
including intermediate evaluations. A training from scratch is both of its stages and its evaluation, under every seed.
Points that violate the constraint are never trained, so the grid is compared with the 25 of a search without the
constraint, and with those that satisfy it. With a store in which the search is finished, nothing is trained again.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from measure import arguments, show

SEARCH = Path(__file__).parents[2] / "ablations" / "margins.yaml"


def main() -> None:
    """Runs the search and prints the ratio, in seconds on the device and in epochs."""
    options = arguments(
        __doc__, ("--store", {"type": Path, "help": "where finished stages are kept; default: nowhere"})
    )
    with tempfile.TemporaryDirectory() as folder:
        record = search(options.store or Path(folder) / "store", Path(folder))
    (study,) = record["studies"]
    states = [trial["state"] for trial in study["trials"]]
    points, feasible, cost = len(states), len(states) - states.count("infeasible"), study["cost"]
    rows = [
        row_of(unit, f"{count} from nothing", cost[unit], cost[f"unshared_{unit}"] / feasible * count)
        for count in (points, feasible)
        for unit in ("seconds", "epochs")
    ]
    counted = ", ".join(f"{states.count(state)} {state}" for state in ("complete", "pruned", "infeasible", "failed"))
    note = f"{points} points: {counted}; seeds {record['seeds']}; confirming runs not counted"
    show(rows, options, target="less than a third of 25 trainings from nothing", note=note)


def row_of(unit: str, against: str, grid: float, from_nothing: float) -> dict[str, Any]:
    """One line: the cost of the grid, the cost of trainings from scratch, and their ratio."""
    return {"unit": unit, "grid": grid, "against": against, "cost": from_nothing, "ratio": grid / from_nothing}


def search(store: Path, folder: Path) -> dict[str, Any]:
    """The finished search as its command prints it."""
    command = [sys.executable, "-m", "harness", "search", str(SEARCH), "--profile", "demo", "--json"]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}", "OMP_NUM_THREADS": "1"}
    words = ["--store", str(store), "--out", str(folder / "reports")]
    done = subprocess.run([*command, *words], env=environment, stdout=subprocess.PIPE, check=True, text=True)
    record: dict[str, Any] = json.loads(done.stdout)
    return record


if __name__ == "__main__":
    main()
