"""What sharing stages saves over all of Table 1, in epochs and measured seconds, against each row from scratch.

    python tests/benchmarks/table.py [--profile paper] [--store DIR] [--json FILE]

Nothing is trained. Epochs follow from the plan alone. Seconds need a store (``--store``) in which stages of the same
kind were finished on this or another device: they are images over that device's measured images per second, one stage
at a time.
"""

from pathlib import Path
from typing import Any

from measure import arguments, show
from subjects import table_plan

from harness.execute import Store
from harness.plan import Plan, Speeds, measured_speeds, speed_key
from harness.plan.plan import sharing_of


def main() -> None:
    """Prints the plan's sums with and without sharing."""
    options = arguments(
        __doc__,
        ("--profile", {"default": "demo"}),
        ("--store", {"type": Path, "default": None, "help": "a store with finished stages"}),
    )
    matrix, plan = table_plan(options.profile)
    speeds: Speeds = {} if options.store is None else store_speeds(options.store)
    devices = sorted({device for device, _ in speeds})
    sharing = sharing_of(plan)
    shared = list(plan.stages)
    unshared = [fingerprint for run in plan.runs for fingerprint in run.stages]
    rows: list[dict[str, Any]] = [
        {"way": way, "stages": stages, "epochs": epochs}
        | {f"s on {device}": seconds_of(plan, used, speeds, device) for device in devices}
        for way, stages, epochs, used in (
            ("each row from nothing", sharing.stages_unshared, sharing.epochs_unshared, unshared),
            ("stages shared", sharing.stages, sharing.epochs, shared),
        )
    ]
    saved = 1.0 - sharing.epochs / sharing.epochs_unshared
    seeds = f"{len(matrix.seeds)} seed{'s' if len(matrix.seeds) > 1 else ''}"
    note = f"profile {matrix.profile}, {len(matrix.rows)} rows x {seeds}: sharing saves {saved:.0%} of the epochs"
    if not devices:
        note += "; seconds not measured (no finished stages given)"
    show(rows, options, note=note)


def store_speeds(root: Path) -> Speeds:
    """Images per second by device and kind of stage, from the stages in a store."""
    entries = Store(root).list_entries()
    return measured_speeds(
        (entry.stage, entry.result) for entry in entries if entry.stage is not None and entry.result is not None
    )


def seconds_of(plan: Plan, fingerprints: list[str], speeds: Speeds, device: str) -> float | None:
    """Device seconds of stages; None if a kind of stage was never measured on the device."""
    total = 0.0
    for fingerprint in fingerprints:
        speed = speeds.get((device, speed_key(plan.stages[fingerprint])))
        if speed is None:
            return None
        total += plan.stages[fingerprint].amount / speed.units_per_s
    return total


if __name__ == "__main__":
    main()
