"""A harness process for the tests to interrupt and kill.

``toy_harness.py STORE JOURNAL SLOTS BEHAVIOUR COUNT STEPS [RAY]`` runs COUNT chains of two stages, on the Ray cluster
of that address if there is one; prints ``ready`` before, and how each stage ended after. When interrupted, local
workers have ``GRACE_S`` seconds (an environment variable) to end by themselves: by default more than any test waits.
"""

import os
import sys
from pathlib import Path

from toy_work import WORK, stage

from harness.execute import LocalExecutor, Slot, Store, local
from harness.execute.on_ray import RayExecutor
from harness.plan import Stage


def chains(behaviour: str, count: int, steps: int) -> list[Stage]:
    first = [stage(f"a{number}", behaviour, steps=steps) for number in range(count)]
    return [*first, *(stage(f"b{number}", behaviour, parent, steps=steps) for number, parent in enumerate(first))]


if __name__ == "__main__":
    root, journal, slots, behaviour, count, steps, *address = sys.argv[1:]
    store = Store(Path(root))
    local.GRACE_S = float(os.environ.get("GRACE_S", "300"))
    with RayExecutor(store, address=address[0]) if address else LocalExecutor(store, [Slot()] * int(slots)) as executor:
        print("ready", flush=True)
        stages = chains(behaviour, int(count), int(steps))
        outcomes = executor.execute(stages, WORK, {"journal": journal}, lambda event: None)
    print(*(f"{each.name}={outcomes[each.fingerprint].status}" for each in stages))
