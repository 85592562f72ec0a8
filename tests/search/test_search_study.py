"""The loop of a study: what is trained, what is recorded, and what a kill leaves behind."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.trial import TrialState

import harness.search.study
from harness.errors import InputError
from harness.search import read_search
from harness.search.declaration import Search
from harness.search.loop import Rungs, run_study
from harness.search.pruning import clearly_worse
from harness.search.result import Score, best_trial, stage_costs
from harness.search.space import Params
from harness.search.storage import open_storage
from harness.search.study import SearchStudy

TABLE = Path(__file__).parents[2] / "ablations" / "table1.yaml"
E1, E2 = "losses.quadruplet.epsilon1", "losses.quadruplet.epsilon2"
EPOCHS = 4


def searching(folder: Path, **changes: Any) -> Search:
    """A 5 x 5 grid of which 15 points satisfy epsilon2 < epsilon1: 1 + 2 + 3 + 4 + 5."""
    settings = {"sampler": "grid", "pruner": "null", "trials": 25, "seeds": [0, 1], "rule": f"{E2} < {E1}"} | changes
    (folder / "margins.yaml").write_text(
        f"title: t\ntable: {TABLE}\ntune: once\nrows: ['3']\nsampler: {settings['sampler']}\n"
        f"pruner: {settings['pruner']}\nbudget: {{trials: {settings['trials']}}}\nmetric: mAP\n"
        f"seeds: {settings['seeds']}\nconfirm: [9]\nheld_out: {{share: 0.2}}\nconstraints: ['{settings['rule']}']\n"
        f"space:\n  {E1}: {{low: 0.1, high: 0.9, step: 0.2}}\n  {E2}: {{low: 0.0, high: 0.8, step: 0.2}}\n",
        encoding="utf-8",
    )
    return read_search(folder / "margins.yaml")


def opened(search: Search, folder: Path, owner: str | None = None) -> SearchStudy:
    return SearchStudy(search, "s", open_storage(None, folder / "s.journal"), owner, minimize=False)


class Trainer:
    """Scores a point by a hill whose top is at (0.5, 0.2); remembers what it was asked.

    Where the last stage stops, after 1 of 4 epochs, say, it has climbed as much of the way.
    """

    def __init__(self, dies_after: int | None = None) -> None:
        self.trained: list[tuple[float, float, int]] = []
        self.released: list[str] = []
        self._left = dies_after

    def evaluate(self, points: Mapping[str, Params], seeds: Sequence[int]) -> dict[tuple[str, int], Score]:
        scores = {}
        for name, point in points.items():
            epoch = point.get("stop", EPOCHS)
            for seed in seeds:
                if self._left is not None and len(self.trained) >= self._left:
                    raise KeyboardInterrupt
                self.trained.append((point[E1], point[E2], seed))
                value = 0.9 - abs(point[E1] - 0.5) - abs(point[E2] - 0.2) + 0.01 * seed
                stages = ("classify", f"{name} {seed} metric {epoch}", f"{name} {seed} evaluate {epoch}")
                spent = {"classify": (50.0, 10), stages[1]: (5.0 * epoch, epoch), stages[2]: (1.0, 0)}
                scores[name, seed] = Score(value * epoch / EPOCHS, stages, spent=spent)
        return scores

    def release(self, name: str) -> None:
        self.released.append(name)


def to_the_end(point: Params) -> dict[int, Params]:
    return {EPOCHS: point}


def by_epochs(point: Params) -> dict[int, Params]:
    return {epoch: {**point, "stop": epoch} for epoch in range(1, EPOCHS)} | {EPOCHS: point}


def carry_on(study: SearchStudy, trainer: Trainer, rungs: Rungs = to_the_end) -> list[dict[str, Any]]:
    run_study(study, trainer, workers=2, rungs=rungs)
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


@pytest.mark.parametrize("sampler", ["tpe", "cmaes"])
def test_samplers_that_learn_receive_which_points_are_infeasible(tmp_path: Path, sampler: str) -> None:
    records = carry_on(opened(searching(tmp_path, sampler=sampler, trials=12), tmp_path), Trainer())
    infeasible = {record["number"] for record in records if record["state"] == "infeasible"}
    assert infeasible
    study = optuna.load_study(study_name="s", storage=open_storage(None, tmp_path / "s.journal"))
    for trial in study.trials:
        (violation,) = trial.constraints.values()
        assert (violation > 0) is (trial.number in infeasible)


def test_a_trial_is_worth_the_mean_of_its_seeds(tmp_path: Path) -> None:
    study = opened(searching(tmp_path, seeds=[0, 4], trials=1), tmp_path)
    (record,) = [trial for trial in carry_on(study, Trainer()) if trial["state"] == "complete"]
    first, second = record["values"]
    assert record["value"] == pytest.approx((first + second) / 2)
    assert second - first == pytest.approx(0.04)  # 0.01 * (4 - 0)


@pytest.mark.parametrize("sampler", ["grid", "tpe", "random", "cmaes"])
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


@pytest.mark.parametrize("dies_after", [(3, 17, 40), (1, 2, 3), (9, 9)])
def test_a_grid_that_is_killed_again_and_again_has_every_point_once(tmp_path: Path, dies_after: Sequence[int]) -> None:
    search = searching(tmp_path, pruner="{kind: median, every: 1}")
    for count in dies_after:
        with pytest.raises(KeyboardInterrupt):
            carry_on(opened(search, tmp_path), Trainer(count), by_epochs)
    records = carry_on(opened(search, tmp_path), Trainer(), by_epochs)
    assert {record["state"] for record in records} == {"complete", "pruned", "infeasible"}
    assert len({tuple(record["params"].values()) for record in records}) == len(records) == 25


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


def test_a_trial_that_another_machine_is_just_asking_for_is_left_to_it(tmp_path: Path) -> None:
    search, storage = searching(tmp_path, trials=2), open_storage(f"sqlite:///{tmp_path / 'studies.db'}", tmp_path)
    studies = [SearchStudy(search, "s", storage, owner, minimize=False) for owner in ("me", "they")]
    number = storage.get_trial(storage.create_new_trial(storage.get_study_id_from_name("s"))).number
    assert [study.adopt() for study in studies] == [[], []]
    assert storage.get_all_trials(storage.get_study_id_from_name("s"))[number].state is TrialState.RUNNING
    records = carry_on(studies[0], Trainer())
    assert sum(record["state"] == "complete" for record in records) == 2


def test_what_is_left_in_a_stores_own_journal_is_taken_up_whoever_left_it(tmp_path: Path) -> None:
    search = searching(tmp_path)
    left = opened(search, tmp_path).ask(2)
    assert [trial.number for trial in opened(search, tmp_path).adopt()] == [trial.number for trial in left]
    assert sum(record["state"] == "complete" for record in carry_on(opened(search, tmp_path), Trainer())) == 15


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


@pytest.mark.parametrize(
    "damage",
    [
        lambda journal: journal.write_bytes(b"\xc2\x00 no text\n" * 9),
        lambda journal: journal.write_bytes(journal.read_bytes()[20:]),
        lambda journal: journal.write_bytes(journal.read_bytes().replace(b'"op_code":6', b'"op_code":99', 1)),
        lambda journal: (journal.unlink(), journal.mkdir()),
    ],
    ids=["noise", "its start is missing", "an operation", "a folder"],
)
def test_a_damaged_journal_is_reported_with_what_to_do(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    carry_on(opened(searching(tmp_path, trials=2), tmp_path), Trainer())
    damage(tmp_path / "s.journal")
    with pytest.raises(InputError, match=r"s\.journal: expected the study's journal, found damage .*; move it aside"):
        open_storage(None, tmp_path / "s.journal")


def test_a_database_keeps_a_study_as_the_journal_does(tmp_path: Path) -> None:
    search, address = searching(tmp_path, trials=2), f"sqlite:///{tmp_path / 'studies.db'}"

    def again(trainer: Trainer) -> list[dict[str, Any]]:
        storage = open_storage(address, tmp_path / "unused")
        return carry_on(SearchStudy(search, "s", storage, "me", minimize=False), trainer)

    with pytest.raises(KeyboardInterrupt):
        again(Trainer(dies_after=3))
    assert sum(record["state"] == "complete" for record in again(Trainer())) == 2
    idle = Trainer()
    assert sum(record["state"] == "complete" for record in again(idle)) == 2
    assert not idle.trained
    with pytest.raises(InputError, match="cannot open the study's database"):
        open_storage("nonsense://nowhere", tmp_path / "unused")


def test_a_failed_seed_fails_its_trial_with_the_reason(tmp_path: Path) -> None:
    class Diverging(Trainer):
        def evaluate(self, points: Mapping[str, Params], seeds: Sequence[int]) -> dict[tuple[str, int], Score]:
            scores = super().evaluate(points, seeds)
            return scores | {key: Score(None, scores[key].stages, "diverged") for key in scores if key[1] == 1}

    records = carry_on(opened(searching(tmp_path, trials=2), tmp_path), Diverging(), by_epochs)
    failed = [record for record in records if record["state"] == "failed"]
    assert [record["reason"] for record in failed] == ["diverged"] * 2
    assert best_trial(records, minimize=False) is None


def test_constraints_that_leave_nothing_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness.search.study, "_PATIENCE", 10)
    study = opened(searching(tmp_path, sampler="random", rule=f"{E1} > 2"), tmp_path)
    with pytest.raises(InputError, match="10 points in a row violate"):
        study.ask(1)


PRUNERS = ["median", "successive_halving", "hyperband"]


@pytest.mark.parametrize("kind", PRUNERS)
def test_clearly_worse_trials_are_given_up_inside_their_stage(tmp_path: Path, kind: str) -> None:
    trainer = Trainer()
    search = searching(tmp_path, pruner=f"{{kind: {kind}, every: 1}}", seeds=[0, 1, 2])
    records = carry_on(opened(search, tmp_path), trainer, by_epochs)
    pruned = [record for record in records if record["state"] == "pruned"]
    complete = [record for record in records if record["state"] == "complete"]
    assert pruned
    assert len(pruned) + len(complete) == 15
    assert all(record["epoch"] < EPOCHS and len(record["values"]) == 3 for record in pruned)
    assert all(list(record["curve"]) == ["1", "2", "3", "4"] for record in complete)
    assert len(trainer.trained) == 3 * sum(record["epoch"] for record in pruned + complete)  # one epoch a call
    assert sorted(trainer.released) == sorted(f"trial {record['number']}" for record in pruned)
    best = best_trial(records, minimize=False)
    assert best is not None
    assert best["params"] == {E1: 0.5, E2: 0.2}


@pytest.mark.parametrize("kind", PRUNERS)
def test_a_trial_that_is_not_given_up_is_worth_what_it_is_without_a_pruner(tmp_path: Path, kind: str) -> None:
    found = {}
    for name, pruner, rungs in (("without", "null", to_the_end), ("with", f"{{kind: {kind}, every: 1}}", by_epochs)):
        (tmp_path / name).mkdir()
        search = searching(tmp_path / name, pruner=pruner).under("any")
        records = carry_on(opened(search, tmp_path / name), Trainer(), rungs)
        found[name] = {tuple(record["params"].values()): record for record in records if record["state"] == "complete"}
    assert set(found["with"]) < set(found["without"])
    for point, record in found["with"].items():
        assert record["values"] == found["without"][point]["values"]


def test_the_pruner_waits_for_a_difference_beyond_the_noise_of_seeds() -> None:
    # The second seed is 0.1 better for all of them: that is no noise between them.
    assert clearly_worse([0.47, 0.57], [[0.50, 0.60], [0.46, 0.56]])
    # Two trials under two seeds, means 0.50 and 0.60, seeds' means 0.55 each: what is left over is 0.01 in each of the
    # four cells. Noise sqrt(4 * 0.0001 / 1) = 0.02, sqrt(2 / 2) of it, times Student's 6.31 for one degree: 0.126.
    assert not clearly_worse([0.51, 0.49], [[0.59, 0.61]])
    assert not clearly_worse([0.485, 0.465], [[0.59, 0.61]])  # 0.125 behind
    assert clearly_worse([0.483, 0.463], [[0.59, 0.61]])  # 0.127 behind
    assert not clearly_worse([0.0], [[0.5]] * 9)  # the noise of one seed is unknown
    assert not clearly_worse([0.0, 0.1], [])  # nobody to be worse than


def test_sharing_counts_a_stage_once_and_training_from_nothing_every_time(tmp_path: Path) -> None:
    records = carry_on(opened(searching(tmp_path, trials=3, seeds=[0]), tmp_path), Trainer())
    cost = stage_costs(records)
    assert cost["results"] == 3
    assert (cost["seconds"], cost["epochs"]) == (50 + 3 * (20 + 1), 10 + 3 * 4)
    assert (cost["unshared_seconds"], cost["unshared_epochs"]) == (3 * (50 + 20 + 1), 3 * (10 + 4))


def test_evaluations_on_the_way_cost_and_epochs_gone_on_from_are_counted_once(tmp_path: Path) -> None:
    records = carry_on(opened(searching(tmp_path, trials=3, seeds=[0]), tmp_path), Trainer(), by_epochs)
    assert stage_costs(records)["seconds"] == 50 + 3 * (20 + 4 * 1)
    assert stage_costs(records)["unshared_seconds"] == 3 * (50 + 20 + 1)
    next(record for record in records if record["state"] == "complete")["state"] = "pruned"
    assert stage_costs(records)["unshared_seconds"] == 3 * (50 + 20 + 1)  # from nothing, to its end
