"""Costs of a table's rows that need no training (parameters), remembered, since counting them may take seconds."""

import json
from contextlib import suppress
from typing import TYPE_CHECKING

from harness.errors import InputError
from harness.files import regular_file
from harness.plan import fingerprint

if TYPE_CHECKING:
    from harness.api.prepare import Prepared


def row_costs(prepared: "Prepared") -> dict[str, dict[str, int]]:
    """Returns what the trainer counts (``parameters``, ``multiply_adds``) by row id."""
    path = prepared.store.root / "cache" / "costs.json"
    known: dict[str, dict[str, int]] = {}
    with suppress(OSError, ValueError):
        known = json.loads(regular_file(path).read_text(encoding="utf-8"))
    costs: dict[str, dict[str, int]] = {}
    counted = False
    chains = {run.row: [prepared.plan.stages[name].settings for name in run.stages] for run in prepared.plan.runs}
    trainer = prepared.trainer
    for row, stages in chains.items():
        about = trainer.cost_key(stages, prepared.inputs)
        if about is None:
            costs[row] = {}
            continue
        key = fingerprint({"about": about, "code": stages[-1]["code"]})
        if key not in known:
            try:
                known[key] = dict(trainer.costs(stages, prepared.inputs))
            except InputError as error:
                raise InputError(f'row "{row}": {error}') from error
            counted = True
        costs[row] = known[key]
    if counted:
        with suppress(OSError):  # a store that cannot be written to costs the counting, at the next plan again
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(known), encoding="utf-8")
    return costs
