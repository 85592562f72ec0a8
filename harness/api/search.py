"""Runs a search: continues its studies, saves the outcome, logs to the tracker, writes the report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.api.engine import Engine
from harness.api.listener import Listener
from harness.api.outputs import choose_folder
from harness.api.studies import PointTrainer, PreparedSearch, StudyTracking
from harness.errors import InputError
from harness.files import regular_file
from harness.units import UNITS, read_units

if TYPE_CHECKING:
    from harness.execute import Executor
    from harness.search.study import SearchStudy
    from harness.search.trials import Trials


_PATIENCE_S = 30.0
"""How long the end of a search waits for the tracker; the next one delivers what was left."""


def run_search(
    prepared: PreparedSearch, engine: Engine, out: Path | None, listener: Listener | None = None
) -> tuple[dict[str, Any], list[Path]]:
    """Continues every row's study, saves the outcome and writes the report.

    Returns:
        The outcome as plain data, and the report's files.

    Raises:
        InputError: If another process carries out this search.
        KeyboardInterrupt: On Ctrl-C; the same call resumes it later.
    """
    listener = listener or Listener()
    with prepared.store.lock(f"study-{prepared.title}") as free:
        if not free:
            place = prepared.store.address
            raise InputError(
                f"{prepared.search.document.name}: another process carries out this search on {place}; wait for it"
            )
        return _run(prepared, engine, out, listener)


def _run(
    prepared: PreparedSearch, engine: Engine, out: Path | None, listener: Listener
) -> tuple[dict[str, Any], list[Path]]:
    from dataclasses import asdict

    from harness.api.tracking import OUTBOX
    from harness.report.search_page import write_study
    from harness.report.tuned import tuned_to_json
    from harness.search.result import describe_search, write_result
    from harness.track import Tracker

    _check_budgets(prepared)
    tracker = Tracker(None, prepared.store.root / OUTBOX)
    tracking = StudyTracking(tracker, prepared)
    tracking.open()
    try:
        with engine.start(prepared.store, listener) as executor:
            studies = [_study(prepared, row, executor, tracking, listener) for row in prepared.trials]
        record = {
            **describe_search(prepared.search),
            "profile": prepared.matrix.profile,
            "dataset": prepared.matrix.dataset,
            "synthetic": bool(prepared.inputs.made),
            "measured": {prepared.metric.key: asdict(prepared.metric)},
            "claims": [asdict(claim) for claim in prepared.search.claims],
            "studies": studies,
            "folders": _folders(prepared, studies),
        }
        record["effects"] = tuned_to_json(record)
        write_result(prepared.result_file, record)
        prepared.store.publish(prepared.result_file)
        folder, message = choose_folder(out, prepared.search.name, prepared.store.root)
        written = write_study(record, folder)
        if message:
            listener.note(message)
        tracking.finish(regular_file(written[0]).read_text(encoding="utf-8"))
    except BaseException:
        tracking.interrupt()
        raise
    finally:
        delivery = tracker.close(min(_PATIENCE_S, listener.seconds_left()))
        if delivery.undelivered:
            listener.note(str(delivery))
    return record, written


def open_study(prepared: PreparedSearch, trials: "Trials") -> "SearchStudy":
    """Opens or continues one row's study. Call it with the search's lock held."""
    from harness.search.owner import owner_of
    from harness.search.storage import open_storage
    from harness.search.study import SearchStudy

    search = prepared.search
    name = f"{search.name}/{prepared.matrix.profile}/{trials.row.id}/{trials.identity[:12]}"
    storage = open_storage(search.spec.storage, prepared.journal)
    owner = owner_of(prepared.journal.parent) if search.spec.storage else None
    return SearchStudy(search, name, storage, owner, minimize=prepared.metric.lower_is_better, first=trials.first)


def _check_budgets(prepared: PreparedSearch) -> None:
    """Refuses fewer trials than some row of a claim has had: all would not end with equally many.

    Raises:
        InputError: If so, with the number that would do.
    """
    search = prepared.search
    if not search.claims:
        return
    had = {trials.row.id: open_study(prepared, trials).counted() for trials in prepared.trials}
    row = max(had, key=had.__getitem__)
    if had[row] > search.budget.trials:
        message = f'found {search.budget.trials}, and row "{row}" has had {had[row]}; expected at least as many for all'
        raise search.document.error(("budget", "trials"), message)


def _units_checked(
    prepared: PreparedSearch, row: str, best: Mapping[str, Any] | None, confirmed: Sequence[Mapping[str, Any]]
) -> bool | None:
    """Whether units that chose were compared with those that confirm; None where there is nothing to compare.

    Raises:
        InputError: If a claim's row was confirmed on units that chose its values, or on others of their groups.
    """
    ended = [result for result in confirmed if result["value"] is not None]
    if not prepared.search.claims or best is None or not ended:
        return None
    both = []
    for evaluation in (best["chains"][0][-1], ended[0]["evaluation"]):
        if not prepared.store.is_complete(evaluation):
            return False
        path = prepared.store.fetch(evaluation, (UNITS,)) / UNITS
        if not path.is_file():
            return False
        both.append(read_units(path))
    if any(np.array_equal(units.ids, np.arange(len(units.ids))) for units in both):  # positions: in each part the same
        return False
    if common := set(both[0].groups.tolist()) & set(both[1].groups.tolist()):
        message = (
            f'{len(common)} {both[0].group} both chose and confirmed the values of row "{row}"; expected parts with '
            "none in common"
        )
        raise prepared.search.document.error(("claims",), message)
    return True


def _folders(prepared: PreparedSearch, studies: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Returns the folders of the confirming stages that have a result, on this machine, by the stage."""
    results = [result for study in studies for point in study["confirmed"].values() for result in point]
    ended = [result["evaluation"] for result in results if result["value"] is not None]
    return {evaluation: str(prepared.store.fetch(evaluation, (UNITS,))) for evaluation in ended}


def _study(
    prepared: PreparedSearch, trials: "Trials", executor: "Executor", tracking: StudyTracking, listener: Listener
) -> dict[str, Any]:
    """One row's study, continued until its budget is spent; its best point is then measured with fresh seeds."""
    from harness.search.loop import run_study
    from harness.search.result import best_trial, confirmed, stage_costs, study_noise

    search, minimize = prepared.search, prepared.metric.lower_is_better
    study = open_study(prepared, trials)
    points = PointTrainer(prepared, trials, executor, listener)
    run_study(study, points, executor.capacity, trials.rungs, on_change=lambda: tracking.send(trials, study.records()))
    records = study.records()
    tracking.send(trials, records)
    best = best_trial(records, minimize=minimize)
    results: dict[str, list[dict[str, Any]]] = {}
    if best is not None:
        named = {"best": best["params"]}
        if trials.reference:
            named["reference"] = trials.reference
        scores = points.evaluate(named, search.confirm, "confirm")
        results = {point: confirmed(scores, point) for point in named}
    chosen = best["params"] if best else {}
    edges = {key: search.space[key].edge(value) for key, value in chosen.items()}
    return {
        "row": trials.row.id,
        "study": study.name,
        "reference": trials.reference,
        "edges": {key: edge for key, edge in edges.items() if edge},
        "units_checked": _units_checked(prepared, trials.row.id, best, results.get("best", ())),
        "trials": records,
        "best": best,
        "importance": study.importance(),
        "noise": study_noise(records),
        "confirmed": results,
        "parts": trials.parts,
        "cost": stage_costs(records),
    }
