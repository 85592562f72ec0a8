"""Adds seeds where a table's comparisons are open, until they are decided: the work of ``run --settle`` between rounds.

Owns the record that is kept of a table's settling, and the step from the store's results to the next runs. Decides
nothing itself: ``harness.settle`` does, from the record and the results alone, so that a killed run, a second process
and the report all find the same.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from harness.api.listener import Listener
from harness.api.prepare import Prepared
from harness.api.stored import stored_measurements
from harness.api.tracking import table_key
from harness.errors import InputError
from harness.files import regular_file
from harness.formatting import counted
from harness.plan import fingerprint, identify_matrix
from harness.settle import Comparison, Costs, Declared, Path, changed, from_record, replay, to_record

if TYPE_CHECKING:
    from harness.report.measurements import Measurements

RECORDS = "settle"
"""A store's folder for the records of settled tables."""
MOST_SEEDS = 30
"""Most seeds of a row unless the command or the table says another number."""


def recorded(prepared: Prepared) -> Prepared:
    """The table with the record of its settling, if it was settled on its declared seeds."""
    record = _read(prepared)
    return prepared if record is None else replace(prepared, settling=record)


class Settling:
    """One table on its way; ``following`` says what to run next."""

    def __init__(self, prepared: Prepared, most: int | None, budget_s: float | None, listener: Listener) -> None:
        """Checks that the table can be settled as it is declared.

        Args:
            prepared: The table, with its own rows and seeds.
            most: Most seeds of a row; None: the table's ``max_seeds``, else ``MOST_SEEDS``.
            budget_s: Device seconds for seeds beyond the declared ones; None: no limit.
            listener: Receives a note on every round.

        Raises:
            InputError: If there is nothing to compare, or other comparisons were looked at before.
        """
        self._prepared, self._listener = prepared, listener
        self._declared = declared_of(prepared, most, budget_s)
        before = _read(prepared)
        if before is not None and (message := changed(before, to_record(self._declared))):
            raise InputError(
                f"{prepared.matrix.name}: the table was settled with other comparisons before ({message}): the error "
                "that is promised holds only for what was declared before the first look. To settle these, give the "
                "table other seeds:"
            )
        self._tried: set[tuple[str, int]] = set()
        self.path: Path | None = None

    def following(self, done: Prepared) -> Prepared | None:
        """The runs to train after those of ``done``; None once everything is decided, or nothing more can be."""
        self._tried |= {(run.row, run.seed) for run in done.plan.runs}
        self._declared = replace(self._declared, costs=self._costs())
        measurements = self._measured()
        look_at = _look_at(measurements, self._declared)
        self.path = path = replay(self._declared, look_at, self._tried.__contains__)
        self._keep()
        if not path.needs:
            return None
        number, still_open = len(path.rounds) - 1, sum(line.why == "missing" for line in path.lines)
        self._listener.note(
            f"settling, round {number}: {counted(len(path.needs), 'run')} for {counted(still_open, 'open comparison')}"
        )
        return self._prepared.with_runs(path.needs, to_record(self._declared))

    def whole(self) -> Prepared:
        """The table with every run of the way so far."""
        assert self.path is not None
        ordered = dict.fromkeys(run for one in self.path.rounds for run in one.runs)
        return self._prepared.with_runs(ordered, to_record(self._declared))

    def _costs(self) -> Costs:
        """Returns what the first declared seed of each row took; stages that another seed shares cost once."""
        plan, store = self._prepared.plan, self._prepared.store
        first, *others = self._declared.seeds
        fixed = {name for run in plan.runs if run.seed in others for name in run.stages}
        chains = {}
        for run in plan.runs:
            if run.seed != first:
                continue
            results = {name: store.result(name) for name in run.stages if store.is_complete(name)}
            chains[run.row] = tuple(
                (name[:16], float(result.get("seconds", 0.0))) for name, result in results.items() if name not in fixed
            )
        return Costs(chains)

    def _measured(self) -> "Measurements":
        """The results that the store holds of the way, as a report reads them."""
        runs = self._prepared.with_runs(sorted(self._tried), None).plan.runs
        return stored_measurements(
            self._prepared, runs, dict.fromkeys(one.metric for one in self._declared.comparisons)
        )

    def _keep(self) -> None:
        """Saves the record for the next run or report of the table."""
        from harness.files import replace_text

        store = self._prepared.store
        path = store.root / RECORDS / _record_name(self._prepared)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, json.dumps(to_record(self._declared), indent=1))
        store.publish(path)


def declared_of(prepared: Prepared, most: int | None, budget_s: float | None) -> Declared:
    """Returns the comparisons that settling decides, without those of refused rows, and its limits.

    Raises:
        InputError: If nothing is left to compare, or fewer seeds are allowed than declared.
    """
    matrix, wanted = prepared.whole, prepared.whole.settle
    planned = {run.row for run in prepared.plan.runs}
    chosen = dict.fromkeys(
        Comparison(one.better, one.than, one.metric, _margin(matrix, one.metric, one.within), one.text)
        for one in matrix.claims
        if one.text in wanted.claims and {one.better, one.than} <= planned
    )
    if wanted.pairs:
        claimed = {(frozenset((one.better, one.than)), one.metric) for one in chosen}
        first = matrix.metrics[0]
        pairs = identify_matrix(matrix, prepared.plan).pairs
        chosen |= dict.fromkeys(
            Comparison(pair.on, pair.off, first, _margin(matrix, first, None))
            for pair in pairs
            if (frozenset((pair.on, pair.off)), first) not in claimed
        )
    if not chosen:
        raise InputError(f"{matrix.name}: nothing to settle, since no claim or matched pair compares trained rows")
    limit = most or wanted.max_seeds or max(MOST_SEEDS, len(matrix.seeds))
    if limit < max(3, len(matrix.seeds)):
        raise InputError(
            f"--max-seeds {limit}: expected at least {max(3, len(matrix.seeds))}, since the table declares "
            f"{counted(len(matrix.seeds), 'seed')} and looks begin at 3"
        )
    rows = tuple(dict.fromkeys(run.row for run in prepared.plan.runs))
    return Declared(tuple(chosen), rows, matrix.seeds, limit, budget_s)


def note_seeds_by_hand(prepared: Prepared, listener: Listener) -> None:
    """Notes requested runs that a settled table does not count."""
    if prepared.settling is None:
        return
    declared = from_record(prepared.settling)
    beyond = sorted({run.seed for run in prepared.plan.runs} - set(declared.first_seeds(declared.most)))
    extra = f" The seeds {', '.join(map(str, beyond))} are not in any number of its report." if beyond else ""
    listener.note(f"note: this table was settled: `run --settle` continues it; seeds added by hand do not.{extra}")


def _margin(matrix: Any, metric: str, own: float | None) -> float | None:
    margin = own if own is not None else matrix.settle.within.get(metric)
    return None if margin is None else margin / matrix.measured[metric].scale


def _look_at(measurements: "Measurements", declared: Declared) -> Any:
    from harness.report.evidence import look_at

    return partial(look_at, measurements, len(declared.comparisons))


def _record_name(prepared: Prepared) -> str:
    return f"{fingerprint([table_key(prepared), list(prepared.whole.seeds)])}.json"


def _read(prepared: Prepared) -> Mapping[str, Any] | None:
    path = prepared.store.fetch_published(RECORDS) / _record_name(prepared)
    try:
        record: Mapping[str, Any] = json.loads(regular_file(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise InputError(f"{path}: no record of settling ({error}): remove it and settle the table again") from error
    return record
