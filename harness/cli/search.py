"""``harness search``: finds the best values of a recipe on held-out training identities."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.console import notices, print_json
from harness.cli.ending import seconds_left
from harness.cli.engine import Engine
from harness.cli.options import (
    DEFAULT_REPORTS,
    DEFAULT_STORE,
    AddressOption,
    DataOption,
    ExecutorOption,
    JsonOption,
    OutOption,
    ProfileOption,
    StageCpusOption,
    StageGpusOption,
    StoreOption,
    WorkersOption,
)
from harness.errors import InputError
from harness.files import regular_file

if TYPE_CHECKING:
    from harness.cli.studies import PreparedSearch, StudyTracking
    from harness.execute import Executor
    from harness.search.trials import Trials

_PATIENCE_S = 30.0
"""How long the end of a search waits for the tracker; the next one delivers what was left."""

SearchArgument = Annotated[Path, typer.Argument(metavar="SEARCH.yaml", help="The declared search.", show_default=False)]
TrialsOption = Annotated[
    int | None,
    typer.Option(
        "--trials", metavar="N", min=1, help="Trials of each study, those there are included.", show_default=False
    ),
]


def search(
    file: SearchArgument,
    profile: ProfileOption = None,
    data: DataOption = None,
    trials: TrialsOption = None,
    workers: WorkersOption = None,
    executor: ExecutorOption = "local",
    address: AddressOption = None,
    stage_cpus: StageCpusOption = None,
    stage_gpus: StageGpusOption = None,
    store: StoreOption = DEFAULT_STORE,
    out: OutOption = DEFAULT_REPORTS,
    json: JsonOption = False,
) -> None:
    """Search recipe values on identities held out of training; the test images are never read.

    Run again, it goes on with the same study; with more --trials, it continues. Exit code 1 if no trial has a result.
    """
    from harness.cli.studies import prepare_search

    engine = Engine(executor, workers, address, stage_cpus, stage_gpus)
    prepared = prepare_search(file, profile=profile, data=data, trials=trials, store=store)
    with prepared.store.lock(f"study-{prepared.title}") as free:
        if not free:
            raise InputError(
                f"{file}: another process carries out this search on {prepared.store.address}; wait for it"
            )
        record, written = _carry_out(prepared, engine, out)
    if json:
        print_json({**record, "reports": [str(path) for path in written]})
    else:
        _show(record, written)
    if any(study["best"] is None for study in record["studies"]):
        raise typer.Exit(1)


def _carry_out(prepared: "PreparedSearch", engine: Engine, out: Path) -> tuple[dict[str, Any], list[Path]]:
    """Carries on every row's study, keeps the outcome and writes the report."""
    from harness.cli.studies import StudyTracking
    from harness.report.margins import write_study
    from harness.search.result import describe_search, write_result
    from harness.track import Tracker

    tracker = Tracker(None, prepared.store.root / "outbox")
    tracking = StudyTracking(tracker, prepared)
    tracking.open()
    try:
        with engine.start(prepared.store) as executor:
            studies = [_study(prepared, row, executor, tracking) for row in prepared.trials]
        record = {
            **describe_search(prepared.search),
            "profile": prepared.matrix.profile,
            "dataset": prepared.matrix.dataset,
            "synthetic": prepared.synthetic,
            "studies": studies,
        }
        write_result(prepared.result_file, record)
        prepared.store.share(prepared.result_file)
        written = write_study(record, out)
        tracking.finish(regular_file(written[0]).read_text(encoding="utf-8"))
    except BaseException:
        tracking.interrupt()
        raise
    finally:
        delivery = tracker.close(min(_PATIENCE_S, seconds_left()))
        if delivery.undelivered:
            notices().print(str(delivery))
    return record, written


def _study(
    prepared: "PreparedSearch", trials: "Trials", executor: "Executor", tracking: "StudyTracking"
) -> dict[str, Any]:
    """One row's study, carried on until its budget is spent, and its best point measured under fresh seeds."""
    from harness.cli.studies import Workshop
    from harness.report.vocabulary import metric_of
    from harness.search.loop import run_study
    from harness.search.result import best_trial, confirmed, stage_costs, study_noise
    from harness.search.study import SearchStudy, open_storage, owner_of
    from harness.train.files import PER_QUERY

    search = prepared.search
    minimize = metric_of(search.spec.metric).lower_is_better
    name = f"{search.name}/{prepared.matrix.profile}/{trials.row.id}/{trials.identity[:12]}"
    storage = open_storage(search.spec.storage, prepared.journal)
    owner = owner_of(prepared.store.root) if search.spec.storage else None
    study = SearchStudy(search, name, storage, owner, minimize=minimize)
    workshop = Workshop(prepared, trials, executor)
    run_study(study, workshop, executor.room, trials.rungs, told=lambda: tracking.tell(trials, study.records()))
    records = study.records()
    tracking.tell(trials, records)
    best = best_trial(records, minimize=minimize)
    results: dict[str, list[dict[str, Any]]] = {}
    if best is not None:
        points = {"best": best["params"]}
        if search.spec.reference:
            points["reference"] = dict(search.spec.reference)
        scores = workshop.evaluate(points, search.confirm)
        results = {point: confirmed(scores, point) for point in points}
        for result in (result for point in results.values() for result in point):
            if result["value"] is not None:
                prepared.store.fetch(result["evaluation"], (PER_QUERY,))
            result["folder"] = str(prepared.store.folder(result["evaluation"]))
    return {
        "row": trials.row.id,
        "study": name,
        "trials": records,
        "best": best,
        "importance": study.importance(),
        "noise": study_noise(records),
        "confirmed": results,
        "cost": stage_costs(records),
    }


def _show(record: dict[str, Any], written: list[Path]) -> None:
    from rich.console import Console

    from harness.report.margins import compare

    console = Console(highlight=False, soft_wrap=True)
    for study in record["studies"]:
        best = study["best"]
        told = "no trial has a result"
        if best is not None:
            values = ", ".join(f"{key} {value}" for key, value in best["params"].items())
            told = (
                f"best of {len(study['trials'])} trials: {values}; against the reference: {compare(record, study)[0]}"
            )
        console.print(f"row {study['row']}: {told}", markup=False)
        for trial in study["trials"]:
            if trial["state"] == "failed":
                console.print(f"trial {trial['number']}: {trial['reason']}", markup=False)
    told = f"the report: {written[0]}; the trials side by side (parallel coordinates): python -m harness ui"
    console.print(told, markup=False)
