"""Parameters and multiply-adds of a table's rows, remembered, since counting them needs torch."""

import json
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from harness.errors import InputError
from harness.files import regular_file
from harness.plan import fingerprint

if TYPE_CHECKING:
    from harness.cli.wiring import Prepared


def row_costs(prepared: "Prepared") -> dict[str, dict[str, int]]:
    """``parameters`` and ``multiply_adds`` (one image, test time, classifier left out of retrieval) by row id."""
    path = prepared.store.root / "cache" / "costs.json"
    known: dict[str, dict[str, int]] = {}
    with suppress(OSError, ValueError):
        known = json.loads(regular_file(path).read_text(encoding="utf-8"))
    costs, counted = {}, False
    evaluations = {run.row: prepared.plan.stages[run.evaluation] for run in prepared.plan.runs}
    for row, stage in evaluations.items():
        classes = prepared.data.classes if stage.settings["evaluation"]["protocol"] == "classification" else None
        size = {name: stage.settings["data"][name] for name in ("height_px", "width_px")}
        arguments: dict[str, Any] = {**stage.settings["model"], **size, "classes": classes}
        key = fingerprint({**arguments, "code": stage.settings["code"]})
        if key not in known:
            from harness.models import network_cost

            try:
                known[key] = asdict(network_cost(**arguments))
            except InputError as error:
                raise InputError(f'row "{row}": model.{error}') from error
            counted = True
        costs[row] = known[key]
    if counted:
        with suppress(OSError):  # a store that cannot be written to costs the counting, at the next plan again
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(known), encoding="utf-8")
    return costs
