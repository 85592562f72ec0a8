"""A project's folder, or part of it, is moved: no work is lost or repeated."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import run_harness, steps_of, tracked_runs

import harness.track.courier
from harness.api.engine import Engine
from harness.api.prepare import prepare
from harness.api.report import Pictures, write_reports
from harness.api.run import run_table
from harness.api.search import run_search
from harness.api.studies import prepare_search
from harness.errors import InputError
from harness.execute import open_store
from harness.track import TrackerError, relocate, resolve_uri, sync
from harness.track.client import local_folder
from harness.track.identity import Owner

pytestmark = pytest.mark.slow

RUNS = 5
"""Runs of the toy table: the parent, and two rows under two seeds."""


@pytest.fixture
def go(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Enters a project's folder, as a new process would."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    from mlflow.tracking._tracking_service.utils import _artifact_repos_cache

    def enter(place: Path) -> None:
        monkeypatch.chdir(place)
        monkeypatch.syspath_prepend(str(place))
        sys.modules.pop("toy", None)
        _artifact_repos_cache.clear()  # its keys are run ids, which stay the same when files move

    return enter


def ran(store: str = ".harness") -> dict[str, int]:
    """Runs the table here and returns the counts of its stages."""
    ended = run_table(prepare(Path("toy.yaml"), store=store), Engine("inprocess"), Path("reports"))
    stages: dict[str, int] = ended.to_json()["stages"]
    return stages


def searched() -> dict[str, Any]:
    record, _ = run_search(prepare_search(Path("gain.yaml"), store=".harness"), Engine("inprocess"), Path("reports"))
    return record


def reported() -> str:
    """The report, written again."""
    shutil.rmtree("reports")
    assert len(list(write_reports(["toy"], None, Path("reports"), ("md",), ".harness", Pictures()))) == 1
    return Path("reports/toy.md").read_text(encoding="utf-8")


def artifacts(place: Path) -> set[Path]:
    """The folders where the place's tracker keeps the files of its runs."""
    return {folder for run in tracked_runs(place) if (folder := local_folder(run.info.artifact_uri))}


def undelivered(place: Path) -> list[Path]:
    return list(place.glob(".harness/outbox/*/*.json"))


@pytest.mark.parametrize("how", ["moved", "copied"])
def test_a_moved_project_still_reports_resumes_searches_and_collects(
    toy_place: Path, go: Callable[[Path], None], how: str
) -> None:
    go(toy_place)
    first, study = ran(), searched()
    report, runs = reported(), len(tracked_runs(toy_place))
    place = toy_place.with_name("another place")
    before = artifacts(toy_place)
    if how == "moved":
        toy_place.rename(place)
    else:
        shutil.copytree(toy_place, place)

    go(place)
    assert reported() == report
    assert ran() == {"trained": 0, "cached": first["trained"], "failed": 0, "not_run": 0}
    assert searched()["studies"][0]["trials"] == study["studies"][0]["trials"]
    assert "0.3" in Path("reports/gain.md").read_text(encoding="utf-8")
    assert len(tracked_runs(place)) == runs
    assert all(folder.is_dir() and place in folder.parents for folder in artifacts(place))
    store = open_store(".harness")
    assert store.collect().entries == ()
    assert not [damage for entry in store.list_entries() if (damage := store.verify(entry.fingerprint))]
    assert sync(None, store.root / "outbox").undelivered == 0
    assert not undelivered(place)
    assert toy_place.exists() == (how == "copied")
    if how == "copied":  # the first project is now a separate one and keeps its files
        assert artifacts(toy_place) == before


def test_undelivered_results_are_delivered_after_a_move(
    toy_place: Path, go: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    go(toy_place)
    with monkeypatch.context() as down:
        down.setattr(harness.track.courier, "reach", unreachable)
        down.setattr(harness.track.courier, "LAST_CHANCE_S", 0.2)
        ran()
    assert undelivered(toy_place)
    place = toy_place.with_name("another place")
    toy_place.rename(place)
    end_their_process(undelivered(place))

    go(place)
    assert sync(None, place / ".harness" / "outbox").undelivered == 0
    assert not undelivered(place)
    runs = [run for run in tracked_runs(place) if run.data.params]
    assert [run.info.status for run in runs] == ["FINISHED"] * 4
    assert all(steps_of(place, run) == [1, 2, 3] for run in runs)
    assert sum((folder / "recipe.yaml").is_file() for folder in artifacts(place)) == 4
    assert ran()["trained"] == 0
    assert len(tracked_runs(place)) == RUNS


def unreachable(*_: object) -> None:
    raise TrackerError("it is down")


def end_their_process(documents: list[Path]) -> None:
    """Makes documents look as if their process had ended: this process wrote them, and is still alive."""
    owner = str(Owner.this_process())
    for path in documents:
        dead = str(replace(Owner.this_process(), started="1"))
        path.write_text(path.read_text(encoding="utf-8").replace(owner, dead), encoding="utf-8")


def test_a_store_a_database_or_artifacts_may_be_moved_alone(
    toy_place: Path, go: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    go(toy_place)
    ran()
    report = reported()

    # The store.
    store = toy_place.with_name("store")
    (toy_place / ".harness").rename(store)
    assert ran(str(store))["trained"] == 0
    assert not list(store.glob("outbox/*/*.json"))

    # The database, while its artifacts stay where they are.
    elsewhere = toy_place.with_name("elsewhere")
    elsewhere.mkdir()
    for path in toy_place.glob("mlflow.db*"):
        path.rename(elsewhere / path.name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{elsewhere}/mlflow.db")
    assert reported() == report

    # The artifacts alone, to where the database would not look for them: the user must say where.
    (toy_place / "mlartifacts").rename(toy_place / "files")
    with pytest.raises(InputError, match=r"whose artifacts were moved \(then: `harness relocate OLD NEW`\) or deleted"):
        reported()
    uri = resolve_uri()
    with pytest.raises(InputError, match=f"nowhere: the tracker has no .*: file://{toy_place}/mlartifacts$"):
        relocate(uri, "nowhere", "files")
    with pytest.raises(InputError, match="fiels: there is no such folder"):
        relocate(uri, "mlartifacts", "fiels")
    with pytest.raises(TrackerError, match="is a server, where addresses of artifacts cannot be changed: set MLFLOW_"):
        relocate("http://127.0.0.1:9", "mlartifacts", "files")
    done = run_harness(toy_place, "relocate", "mlartifacts", "files", MLFLOW_TRACKING_URI=uri)
    assert done.stdout == f"{RUNS + 1} artifact locations changed\n"  # and the experiment's
    Path("reports").mkdir(exist_ok=True)
    assert reported() == report
    go(toy_place)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert ran(str(store))["trained"] == 0
    assert not (toy_place / "mlartifacts").exists()


def test_an_owner_of_trials_stays_the_same_when_its_store_moves_and_differs_in_a_copy(tmp_path: Path) -> None:
    from harness.search.owner import owner_of

    first = owner_of(tmp_path / "a")
    assert owner_of(tmp_path / "a") == first
    (tmp_path / "a").rename(tmp_path / "b")
    assert owner_of(tmp_path / "b") == first
    shutil.copytree(tmp_path / "b", tmp_path / "c")
    assert owner_of(tmp_path / "c") != first
    assert owner_of(tmp_path / "b") == first
    (tmp_path / "b" / "owner").write_text("torn")
    assert json.loads((tmp_path / "c" / "owner").read_text())["at"] == str(tmp_path / "c")
    assert owner_of(tmp_path / "b") not in {first, owner_of(tmp_path / "c")}
