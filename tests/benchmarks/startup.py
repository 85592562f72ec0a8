"""How long a user waits: for ``--help``, for a plan, and from ``run`` to the first training steps.

    python tests/benchmarks/startup.py [--repeats N] [--json FILE]

Each line is a separate process, from its start. The plans of a thousand and of ten thousand rows are of Table 1's
nine settings, each row with its own probability of flips; the ratio is the time of ten thousand to that of a
thousand. ``run`` fills one row of Table 1's demo; its first reading of the losses follows ten training steps, and the
run is interrupted there. The first lines render the synthetic data and decode it; the last find it done, as every later
run does.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from measure import arguments, show
from subjects import ROOT, TABLE

COMMANDS = (
    (),
    ("run",),
    ("plan",),
    ("report",),
    ("data", "make"),
    ("data", "check"),
    ("evaluate",),
    ("ui",),
    ("doctor",),
    ("sync",),
    ("cache", "list"),
)
WAIT_S, POLL_S = 300.0, 0.01
MANY, VERY_MANY = 1000, 10_000


def main() -> None:
    """Measures every command's help, then a plan and a run, first fresh and then again."""
    options = arguments(__doc__, ("--repeats", {"type": int, "default": 3}))
    rows: list[dict[str, Any]] = []
    for words in COMMANDS:
        taken = [seconds((*words, "--help")) for _ in range(options.repeats)]
        rows.append({"command": " ".join(("harness", *words, "--help")), "seconds": statistics.median(taken)})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = ("--store", str(folder / "store"))
        table = (str(TABLE), "--profile", "demo", "--rows", "1", "--seeds", "0")
        rows += [
            {"command": f"harness plan ({when})", "seconds": seconds(("plan", *table, *store))}
            for when in ("first time, renders the data", "again")
        ]
        many = (str(many_rows(folder, MANY)), "--profile", "demo", *store)
        rows += [
            {"command": f"harness plan ({MANY:,} rows, {when})", "seconds": seconds(("plan", *many))}
            for when in ("first time, builds each network", "again")
        ]
        more = (str(many_rows(folder, VERY_MANY)), "--profile", "demo", *store)
        taken_s = seconds(("plan", *more))
        rows.append({"command": f"harness plan ({VERY_MANY:,} rows)", "seconds": taken_s})
        rows[-1]["ratio"] = taken_s / rows[-2]["seconds"]
        for when in ("first time, decodes the data", "again"):
            started, stepped = first_steps(("run", *table, *store, "--out", str(folder / "reports")), folder)
            rows.append({"command": f"harness run, to the first stage's start ({when})", "seconds": started})
            rows.append({"command": f"harness run, to ten training steps ({when})", "seconds": stepped})
    show(
        [{**row, "ratio": row.get("ratio")} for row in rows],
        options,
        target="--help under 0.5 s; ten thousand rows under 12 times a thousand",
    )


def many_rows(folder: Path, count: int) -> Path:
    """Table 1 with one seed and ``count`` rows: the paper's settings, each with its own probability of flips."""
    table = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    settings = table["rows"]
    rows = [
        {
            "id": str(number),
            "factors": settings[number % len(settings)]["factors"],
            "set": {"augment.flip": number / count},
        }
        for number in range(count)
    ]
    path = folder / f"rows{count}.yaml"
    recipe = str(TABLE.parent / table["recipe"])
    changed = {"recipe": recipe, "seeds": [0], "rows": rows, "claims": []}
    path.write_text(yaml.safe_dump({**table, **changed}), encoding="utf-8")
    return path


def seconds(words: Sequence[str]) -> float:
    """The seconds that a command takes."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "harness", *words], check=True, capture_output=True, env=_environment())
    return time.perf_counter() - started


def first_steps(words: Sequence[str], folder: Path) -> tuple[float, float]:
    """Seconds to the message about the first stage, and to its first reading of losses; then interrupts the run."""
    started = time.perf_counter()
    log = folder / "run.log"
    for spool in (folder / "store").glob("stages/*/*/spool.jsonl"):
        spool.unlink()
    with log.open("wb") as output:
        run = subprocess.Popen(
            [sys.executable, "-m", "harness", *words],
            stdout=output,
            stderr=output,
            env=_environment(folder),
            start_new_session=True,
        )
    try:
        announced_s = None
        while time.perf_counter() - started < WAIT_S:
            if announced_s is None and b"started " in log.read_bytes():
                announced_s = time.perf_counter() - started
            if any(spool.stat().st_size for spool in (folder / "store").glob("stages/*/*/spool.jsonl")):
                stepped_s = time.perf_counter() - started
                return stepped_s if announced_s is None else announced_s, stepped_s
            if run.poll() is not None:
                break
            time.sleep(POLL_S)
        raise SystemExit(f"no training step was seen:\n{log.read_text(errors='replace')}")
    finally:
        run.terminate()  # works in the background, too, where SIGINT is ignored
        run.wait()


def _environment(folder: Path | None = None) -> dict[str, str]:
    """The environment of this process, with the package on its path and any tracking kept in ``folder``."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    if folder is not None:
        environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder / 'mlflow.db'}"
    return environment


if __name__ == "__main__":
    main()
