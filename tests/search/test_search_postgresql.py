"""One study on PostgreSQL, searched from several machines at once."""

import threading
from pathlib import Path
from typing import Any

import pytest
from test_search_study import Trainer, carry_on, searching

from harness.search.storage import open_storage
from harness.search.study import SearchStudy

TRIALS, ASKED_AT_ONCE = 5, 2


def opened(address: str, folder: Path, owner: str) -> SearchStudy:
    search = searching(folder, sampler="tpe", trials=TRIALS)
    return SearchStudy(search, "s", open_storage(address, folder / "none"), owner, minimize=False)


def assert_whole(records: list[dict[str, Any]]) -> None:
    """Every feasible trial has its two seeds' values, none is left running, none is listed twice."""
    counted = [record for record in records if record["state"] != "infeasible"]
    assert {record["state"] for record in counted} == {"complete"}
    assert all(len(record["values"]) == 2 for record in counted)
    assert len({record["number"] for record in records}) == len(records)


def test_a_killed_search_on_postgresql_goes_on_without_losing_or_repeating_a_trial(
    postgresql: str, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        carry_on(opened(postgresql, tmp_path, "me"), Trainer(dies_after=7))
    before = opened(postgresql, tmp_path, "me").records()
    records = carry_on(opened(postgresql, tmp_path, "me"), Trainer())
    assert_whole(records)
    assert sum(record["state"] == "complete" for record in records) == TRIALS
    for old, new in zip(before, records, strict=False):
        assert (old["number"], old["params"]) == (new["number"], new["params"])


def test_two_machines_share_the_trials_of_a_study(postgresql: str, tmp_path: Path) -> None:
    studies = {owner: opened(postgresql, tmp_path, owner) for owner in ("one", "two")}
    trainers = {owner: Trainer() for owner in studies}
    machines = [threading.Thread(target=carry_on, args=(studies[owner], trainers[owner])) for owner in studies]
    for machine in machines:
        machine.start()
    for machine in machines:
        machine.join()
    records = studies["one"].records()
    assert_whole(records)
    complete = sum(record["state"] == "complete" for record in records)
    # Both may see the last place free and take it: at most what one of them asks for at once is too many.
    assert TRIALS <= complete <= TRIALS + ASKED_AT_ONCE
    assert 2 * complete == sum(len(trainer.trained) for trainer in trainers.values())
