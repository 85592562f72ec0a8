"""The loop of a study: what is trained, what is told, and what a kill leaves behind."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage

from harness.errors import InputError
from harness.search import read_search
from harness.search.declaration import Search
from harness.search.loop import Score, run_study
from harness.search.pruning import clearly_worse, seed_noise
from harness.search.result import best_trial, stage_costs
from harness.search.space import Params
from harness.search.study import SearchStudy, open_storage

E1, E2 = "losses.quadruplet.epsilon1", "losses.quadruplet.epsilon2"


def searching(folder: Path, **changes: Any) -> Search:
    """A 5 x 5 grid of which 15 points satisfy epsilon2 < epsilon1: 1 + 2 + 3 + 4 + 5."""
    settings = {"sampler": "grid", "pruner": "none", "trials": 25, "seeds": [0, 1], "rule": f"{E2} < {E1}"} | changes
    (folder / "margins.yaml").write_text(
        f"title: t\ntable: t.yaml\ntune: once\nrows: ['3']\nsampler: {settings['sampler']}\n"
        f"pruner: {settings['pruner']}\nbudget: {{trials: {settings['trials']}}}\nmetric: mAP\n"
        f"seeds: {settings['seeds']}\nconfirm: [9]\nheld_out: {{share: 0.2}}\nconstraints: ['{settings['rule']}']\n"
        f"space:\n  {E1}: {{low: 0.1, high: 0.9, step: 0.2}}\n  {E2}: {{low: 0.0, high: 0.8, step: 0.2}}\n",
        encoding="utf-8",
    )
    return read_search(folder / "margins.yaml")


def opened(search: Search, folder: Path, owner: str = "me") -> SearchStudy:
    return SearchStudy(search, "s", open_storage(None, folder / "s.journal"), owner, minimize=False)


class Trainer:
    """Scores a point by a hill whose top is at (0.5, 0.2); remembers what it was asked."""

    def __init__(self, dies_after: int | None = None) -> None:
        self.trained: list[tuple[float, float, int]] = []
        self._left = dies_after

    def __call__(self, points: Mapping[str, Params], seeds: Sequence[int]) -> dict[tuple[str, int], Score]:
        scores = {}
        for name, point in points.items():
            for seed in seeds:
                if self._left is not None and len(self.trained) >= self._left:
                    raise KeyboardInterrupt
                self.trained.append((point[E1], point[E2], seed))
                value = 0.9 - abs(point[E1] - 0.5) - abs(point[E2] - 0.2) + 0.01 * seed
                scores[name, seed] = Score(value, (f"{point}", f"{point}{seed}"))
        return scores


def carry_on(study: SearchStudy, trainer: Trainer) -> list[dict[str, Any]]:
    run_study(study, trainer, workers=2, spent_s=lambda: 0.0)
    return study.records()


def test_a_grid_trains_every_feasible_point_once_and_no_other(tmp_path: Path) -> None:
    trainer = Trainer()
    records = carry_on(opened(searching(tmp_path, seeds=[0]), tmp_path), trainer)
    assert len(trainer.trained) == len(set(trainer.trained)) == 15
    assert all(epsilon2 < epsilon1 for epsilon1, epsilon2, _ in trainer.trained)
    states = [record["state"] for record in records]
    assert (states.count("complete"), states.count("infeasible"), len(states)) == (15, 10, 25)
    best = best_trial(records, minimize=False)
    assert best is not None
    assert best["params"] == {E1: 0.5, E2: 0.2}
    assert best["value"] == pytest.approx(0.9)


def test_a_trial_is_worth_the_mean_of_its_seeds(tmp_path: Path) -> None:
    study = opened(searching(tmp_path, seeds=[0, 4], trials=1), tmp_path)
    (record,) = [trial for trial in carry_on(study, Trainer()) if trial["state"] == "complete"]
    first, second = record["values"]
    assert record["value"] == pytest.approx((first + second) / 2)
    assert second - first == pytest.approx(0.04)  # 0.01 * (4 - 0)


@pytest.mark.parametrize("sampler", ["grid", "tpe", "random"])
@pytest.mark.parametrize("dies_after", [0, 1, 5, 11])
def test_a_killed_study_goes_on_without_losing_or_repeating_a_trial(
    tmp_path: Path, sampler: str, dies_after: int
) -> None:
    search = searching(tmp_path, sampler=sampler, trials=12)
    with pytest.raises(KeyboardInterrupt):
        carry_on(opened(search, tmp_path), Trainer(dies_after))
    before = opened(search, tmp_path).records()
    records = carry_on(opened(search, tmp_path), Trainer())
    assert not [record for record in records if record["state"] in {"running", "waiting", "failed"}]
    assert sum(record["state"] == "complete" for record in records) == 12
    for old, new in zip(before, records, strict=False):
        assert (old["number"], old["params"]) == (new["number"], new["params"])


def test_a_finished_study_trains_nothing_and_a_larger_budget_continues_it(tmp_path: Path) -> None:
    carry_on(opened(searching(tmp_path, sampler="tpe", trials=4), tmp_path), Trainer())
    again, more = Trainer(), Trainer()
    carry_on(opened(searching(tmp_path, sampler="tpe", trials=4), tmp_path), again)
    records = carry_on(opened(searching(tmp_path, sampler="tpe", trials=6), tmp_path), more)
    assert (len(again.trained), len(more.trained)) == (0, 2 * 2)  # two trials more, two seeds each
    assert sum(record["state"] == "complete" for record in records) == 6


def test_a_continued_random_study_does_not_draw_its_first_points_again(tmp_path: Path) -> None:
    first, second = Trainer(), Trainer()
    carry_on(opened(searching(tmp_path, sampler="random", trials=3, rule=f"{E1} > 0"), tmp_path), first)
    carry_on(opened(searching(tmp_path, sampler="random", trials=6, rule=f"{E1} > 0"), tmp_path), second)
    assert first.trained != second.trained


def test_trials_of_another_machine_are_left_to_it(tmp_path: Path) -> None:
    search = searching(tmp_path)
    theirs = opened(search, tmp_path, "they").ask(2)
    assert opened(search, tmp_path, "me").adopt() == []
    assert [trial.number for trial in opened(search, tmp_path, "they").adopt()] == [trial.number for trial in theirs]


def test_a_trial_killed_before_it_had_a_point_is_closed_and_does_not_count(tmp_path: Path) -> None:
    search = searching(tmp_path)
    storage = open_storage(None, tmp_path / "s.journal")
    study = opened(search, tmp_path)
    storage.create_new_trial(storage.get_study_id_from_name("s"))
    records = carry_on(opened(search, tmp_path), Trainer())
    assert sum(record["state"] == "complete" for record in records) == 15
    trials = optuna.load_study(study_name="s", storage=open_storage(None, tmp_path / "s.journal")).trials
    assert not [trial for trial in trials if not trial.state.is_finished()]
    assert study.counted() == 15


def test_a_line_that_a_crash_tore_off_is_dropped_and_a_dead_lock_is_no_hindrance(tmp_path: Path) -> None:
    search = searching(tmp_path, trials=2)
    carry_on(opened(search, tmp_path), Trainer())
    journal = tmp_path / "s.journal"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code": 5, "wor')
    (tmp_path / "s.journal.lock").symlink_to(journal)
    assert isinstance(open_storage(None, journal), JournalStorage)
    assert journal.read_bytes() == whole
    assert sum(record["state"] == "complete" for record in opened(search, tmp_path).records()) == 2


def test_a_database_keeps_a_study_as_the_journal_does(tmp_path: Path) -> None:
    search, address = searching(tmp_path, trials=4), f"sqlite:///{tmp_path / 'studies.db'}"

    def again(trainer: Trainer) -> list[dict[str, Any]]:
        storage = open_storage(address, tmp_path / "unused")
        return carry_on(SearchStudy(search, "s", storage, "me", minimize=False), trainer)

    with pytest.raises(KeyboardInterrupt):
        again(Trainer(dies_after=3))
    assert sum(record["state"] == "complete" for record in again(Trainer())) == 4
    idle = Trainer()
    assert sum(record["state"] == "complete" for record in again(idle)) == 4
    assert not idle.trained
    with pytest.raises(InputError, match="cannot open the study's database"):
        open_storage("nonsense://nowhere", tmp_path / "unused")


def test_a_failed_seed_fails_its_trial_with_the_reason(tmp_path: Path) -> None:
    def fails(points: Mapping[str, Params], seeds: Sequence[int]) -> dict[tuple[str, int], Score]:
        return {(name, seed): Score(None, ("stage",), "diverged") for name in points for seed in seeds}

    study = opened(searching(tmp_path, trials=2), tmp_path)
    run_study(study, fails, workers=2, spent_s=lambda: 0.0)
    failed = [record for record in study.records() if record["state"] == "failed"]
    assert [record["reason"] for record in failed] == ["diverged"] * 2
    assert best_trial(study.records(), minimize=False) is None


def test_constraints_that_leave_nothing_are_refused(tmp_path: Path) -> None:
    study = opened(searching(tmp_path, sampler="random", rule=f"{E1} > 2"), tmp_path)
    with pytest.raises(InputError, match="points in a row violate"):
        study.ask(1)


def test_clearly_worse_trials_are_not_given_their_other_seeds(tmp_path: Path) -> None:
    trainer = Trainer()
    study = opened(searching(tmp_path, pruner="median", seeds=[0, 1, 2]), tmp_path)
    records = carry_on(study, trainer)
    states = [record["state"] for record in records]
    assert states.count("pruned") > 0
    assert len(trainer.trained) == 3 * states.count("complete") + states.count("pruned")
    assert best_trial(records, minimize=False)["params"] == {E1: 0.5, E2: 0.2}  # type: ignore[index]


def test_the_pruner_waits_for_a_difference_beyond_the_noise_of_seeds() -> None:
    finished = [[0.5, 0.6, 0.7]] * 5  # sd between seeds 0.1, median after one seed 0.5
    assert seed_noise(finished) == pytest.approx(0.1)
    # A mean of one seed is known to 1.645 * 0.1: 0.34 lies within it of 0.5, 0.33 does not.
    assert not clearly_worse([0.34], finished)
    assert clearly_worse([0.33], finished)
    # After two seeds the median is 0.55, and the noise 1.645 * 0.1 / sqrt(2) = 0.116.
    assert not clearly_worse([0.44, 0.44], finished)
    assert clearly_worse([0.43, 0.43], finished)
    assert not clearly_worse([0.0], finished[:4])  # too few to say
    assert not clearly_worse([0.0], [[0.5]] * 9)  # no noise is known from one seed each


def test_sharing_counts_a_stage_once_and_training_from_nothing_every_time() -> None:
    chains = [("a", "b", "x"), ("a", "c", "y")]
    cost = stage_costs(chains, {"a": 10.0, "b": 3.0, "c": 3.0, "x": 1.0, "y": 1.0}, {"a": 10, "b": 5, "c": 5})
    assert (cost["seconds"], cost["unshared_seconds"]) == (18.0, 28.0)
    assert (cost["epochs"], cost["unshared_epochs"]) == (20.0, 30.0)
