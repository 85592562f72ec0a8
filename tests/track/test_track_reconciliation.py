"""Whatever several processes do with a table's runs, and wherever delivery fails: MLflow has everything, once."""

from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from toy_faults import Death, failing

from harness.spool import SpoolWriter
from harness.track.client import connect, local_folder
from harness.track.delivery import Deliverer, TrackerUnreachableError
from harness.track.identity import Owner
from harness.track.outbox import Outbox
from harness.track.state import RunState, Status

HERE = Owner.this_process()
RUNS = ("a", "b")
ENDS: tuple[Status, ...] = ("FINISHED", "FAILED", "KILLED")
_numbers = count()

CHOICES = st.lists(st.integers(0, 16 * 60), min_size=20, max_size=60)
"""Each number picks one of the possible next actions."""


class Process:
    """A process that trains a table's runs and records them in the outbox: their parent, and the runs it has open."""

    def __init__(self, world: "World") -> None:
        self.outbox = Outbox(world.folder / "outbox", world.uri)
        self.owner = Owner(HERE.host, HERE.boot, next(_numbers) + 10_000_000, "1")
        self.outbox._owner = self.owner
        self.open: dict[str, tuple[Path, RunState]] = {}
        self.keep(self.outbox.new_path(), RunState(world.key("T"), "table", world.experiment, "T", 1))

    def keep(self, path: Path, state: RunState) -> None:
        self.outbox.write(path, state)
        if state.ended:
            del self.open[state.key]
        else:
            self.open[state.key] = path, state


class World:
    """A store, a tracker, three training processes, a deliverer, and what MLflow should hold."""

    def __init__(self, uri: str, folder: Path) -> None:
        self.uri, self.experiment = uri, f"table {next(_numbers)}"
        self.folder = folder / self.experiment
        self.dead: set[Owner] = set()
        self.ends: defaultdict[str, set[str]] = defaultdict(set)
        """How each run may end: as its processes reported, or KILLED if one died."""
        self.steps: defaultdict[str, int] = defaultdict(int)
        self.processes = [Process(self) for _ in range(3)]
        self.deliverer = self.new_deliverer()

    def key(self, name: str) -> str:
        return f"{self.experiment}/{name}"

    def spool(self, name: str) -> Path:
        return self.folder / f"{self.experiment}-{name}.jsonl"

    def new_deliverer(self) -> Deliverer:
        return Deliverer(self.uri, Outbox(self.folder / "outbox", self.uri))

    # Possible actions -------------------------------------------------------------------------------------------------

    def act(self, choice: int) -> None:
        """Performs one of the actions that are currently possible."""
        calls = choice % 16
        actions: list[Callable[[], object]] = [
            partial(self.deliver, error, calls, after)
            for error in (None, ConnectionResetError("lost"), Death())
            for after in (False, True)
        ]
        actions.append(partial(self.processes[calls % 3].outbox.request_sweep, [self.key("a")][: calls % 2]))
        for process in self.processes:
            actions.append(partial(self.die, process))
            for name in RUNS:
                if self.key(name) not in process.open:
                    actions.append(partial(self.open, process, name))
                    continue
                actions += [partial(self.end, process, name, status) for status in ENDS]
                if "FINISHED" not in self.ends[name]:
                    actions += [partial(self.train, name, first) for first in (1, self.steps[name] + 1)]
        actions[choice // 16 % len(actions)]()

    def open(self, process: Process, name: str) -> None:
        state = RunState(self.key(name), "run", self.experiment, name, 2, self.key("T"), {"SAC": "on"})
        process.keep(
            process.outbox.new_path(),
            replace(
                state,
                tags={"harness.commit": "c0ffee"},
                texts={"recipe.yaml": "model: {}\n"},
                spools=((str(self.spool(name)), 0),),
            ),
        )

    def train(self, name: str, first: int) -> None:
        """Trains five more steps, from ``first``: steps since the last checkpoint are trained again."""
        with SpoolWriter(self.spool(name)) as spool:
            spool.truncate(0)
            for step in range(1, self.steps[name] + 6):
                attempt = next(_numbers) if step >= first else 0
                spool.write(step, step / 10, {"loss": 1.0}, 1_000 * attempt + step)
        self.steps[name] += 5

    def die(self, process: Process) -> None:
        self.dead.add(process.owner)
        for key in process.open:
            self.ends[key.rpartition("/")[2]].add("KILLED")
        self.processes[self.processes.index(process)] = Process(self)

    def end(self, process: Process, name: str, status: Status) -> None:
        """Ends a run; a finished one has the result in the store, whichever process reports it."""
        path, state = process.open[self.key(name)]
        finished = status == "FINISHED" and name != "T"
        tags = {"harness.device": "cpu"} if finished else {"harness.reason": "it failed"} if name != "T" else {}
        metrics = {"mAP": self.steps[name] / 8} if finished else {}
        ended_ms = 10_000 + next(_numbers)
        ended = replace(state, status=status, ended_ms=ended_ms, metrics=metrics, tags={**state.tags, **tags})
        process.keep(path, ended)
        self.ends[name].add(status)

    def deliver(self, error: BaseException | None, calls: int, after: bool) -> None:
        """Delivers everything, or fails after some requests, before or after the next one takes effect."""
        if error is None:
            self.deliverer.pump()
            self.check_living()
            return
        with failing(self.uri, calls, error, after=after), suppress(TrackerUnreachableError):
            try:
                self.deliverer.pump()
            except Death:
                self.deliverer = self.new_deliverer()

    def conclude(self) -> None:
        """Ends all processes and delivers everything."""
        for process in self.processes:
            for key in list(process.open):
                self.end(process, key.rpartition("/")[2], "FAILED")
        self.processes[0].outbox.request_sweep([])
        self.deliverer.pump()

    # Invariants -------------------------------------------------------------------------------------------------------

    def runs(self) -> dict[str, Any]:
        """MLflow's runs by name; each exists once."""
        client = connect(self.uri)
        experiment = client.get_experiment_by_name(self.experiment)
        found = client.search_runs([experiment.experiment_id]) if experiment else []
        assert len({run.data.tags["harness.key"] for run in found}) == len(found)
        return {run.info.run_name: run for run in found}

    def stored(self, run: Any, metric: str) -> list[tuple[int, float]]:
        history = connect(self.uri).get_metric_history(run.info.run_id, metric)
        return sorted((point.step, point.value) for point in history)

    def check_living(self) -> None:
        """Right after a delivery, runs in training are RUNNING, with all their steps, unless they have finished."""
        runs = self.runs()
        for process in self.processes:
            for key in process.open:
                name = key.rpartition("/")[2]
                if "FINISHED" not in self.ends[name]:
                    assert runs[name].info.status == "RUNNING"
                    assert [step for step, _ in self.stored(runs[name], "train/loss")] == steps(self.steps[name])

    def check_everything(self) -> None:
        runs = self.runs()
        assert set(runs) == {name for name, ends in self.ends.items() if ends}
        for name, run in runs.items():
            finished = "FINISHED" in self.ends[name]
            assert run.info.status in ({"FINISHED"} if finished and name != "T" else self.ends[name])
            if name == "T":
                continue
            assert run.data.params == {"SAC": "on"}
            assert run.data.tags["mlflow.parentRunId"] == runs["T"].info.run_id
            assert run.data.tags["harness.commit"] == "c0ffee"
            assert ("harness.device" in run.data.tags, "harness.reason" in run.data.tags) == (finished, not finished)
            assert [step for step, _ in self.stored(run, "train/loss")] == steps(self.steps[name])
            assert [step for step, _ in self.stored(run, "train/epoch")] == steps(self.steps[name])
            assert self.stored(run, "mAP") == ([(0, self.steps[name] / 8)] if finished else [])
            folder = local_folder(run.info.artifact_uri)
            assert folder is not None
            assert (folder / "recipe.yaml").read_text() == "model: {}\n"
        assert not [path for path in self.folder.rglob("outbox/*/*") if path.suffix in {".json", ".sweep", ".tmp"}]


def steps(last: int) -> list[int]:
    return list(range(1, last + 1))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(CHOICES)
def test_mlflow_has_everything_once_whatever_happens(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, choices: list[int]
) -> None:
    world = World(uri, tmp_path)
    monkeypatch.setattr(Owner, "is_dead", lambda owner: owner in world.dead)
    for choice in choices:
        world.act(choice)
    world.conclude()
    world.check_everything()
