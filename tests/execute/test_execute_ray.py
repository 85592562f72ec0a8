"""What only a cluster can promise: a node that is killed, a driver that is, what no node has."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from ray_nodes import RayCluster, wait_for
from toy_audience import Events, Journal
from toy_harness import chains
from toy_work import WORK, stage

from harness.code import code_digest
from harness.errors import InputError
from harness.execute import Event, Store
from harness.execute.on_ray import RayExecutor
from harness.execute.ray_call import Order, run_task
from harness.execute.ray_check import Found, Needs, check_node, code_behind, differences, refuse
from harness.execute.ray_cluster import cannot_join
from harness.execute.ray_resources import StageResources, stage_resources
from harness.execute.versions import library_versions


def run(executor: RayExecutor, stages: list, journal: Journal, events: Events) -> dict:
    return executor.execute(stages, WORK, journal.context, events.append)


def test_under_uv_run_ray_builds_no_environment_of_its_own_on_nodes(on_ray: RayExecutor) -> None:
    from ray._private import ray_constants  # the tests import Ray before the harness does, and so may a notebook

    assert not ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV


# --- what a stage asks for --------------------------------------------------------------------------------------------


def test_a_stage_that_waits_for_a_worker_is_reported_before_it_starts(
    on_ray: RayExecutor, journal: Journal, events: Events
) -> None:
    first = stage("first")
    on_ray.execute([first], WORK, journal.context, events.append)
    kinds = [event.kind for event in events]
    assert kinds == ["starting", "started", "progress", "succeeded"]
    assert events[0].detail == {"name": "first", "doing": "waiting for a worker"}


@pytest.mark.parametrize(
    ("resources", "node", "expected"),
    [
        (StageResources(1), {"CPU": 4.0}, 4),
        (StageResources(3), {"CPU": 4.0}, 1),
        (StageResources(8), {"CPU": 4.0}, 0),
        (StageResources(1, 0.25), {"CPU": 16.0, "GPU": 2.0}, 8),
        (StageResources(1, 1.0), {"CPU": 16.0}, 0),
        (StageResources(4, 0.1), {"CPU": 16.0, "GPU": 1.0}, 4),
        (StageResources(1, 0.1), {"CPU": 16.0, "GPU": 1.0}, 10),
    ],
)
def test_a_node_has_room_for_as_many_stages_as_its_scarcest_resource_allows(
    resources: StageResources, node: dict, expected: int
) -> None:
    assert resources.fits(node) == expected


def test_a_share_sets_a_stage_s_device_threads_and_memory() -> None:
    assert StageResources(2).fill({"device": "x", "root": "r"}) == {
        "device": "cpu",
        "threads": 2,
        "memory_fraction": 1.0,
        "root": "r",
    }
    assert StageResources(4, 0.5).fill({}) == {"device": "cuda:0", "threads": 4, "memory_fraction": 0.5}


def test_without_gpus_a_stage_asks_for_a_cpu_and_with_them_for_a_gpu_and_its_part_of_the_cpus() -> None:
    assert stage_resources([{"CPU": 2.0}], None, None) == StageResources(1, 0.0)
    assert stage_resources([{"CPU": 64.0, "GPU": 8.0}, {"CPU": 12.0, "GPU": 2.0}], None, None) == StageResources(6, 1.0)
    assert stage_resources([{"CPU": 64.0, "GPU": 1.0}], None, None) == StageResources(8, 1.0)
    assert stage_resources([{"CPU": 2.0}], 2, 0.5) == StageResources(2, 0.5)


# --- the check of a node ----------------------------------------------------------------------------------------------


HERE = Found("a" * 32, {"python": "3.11.7", "torch": "2.13.0+cpu", "timm": "1.0.20"}, ())


@pytest.mark.parametrize(
    ("changed", "problems"),
    [
        ({}, []),
        ({"digest": "b" * 32}, ["has different code from this machine; install the same version on both"]),
        ({"digest": "", "lacks": ("lacks code: my.loss",)}, ["lacks code: my.loss"]),
        ({"lacks": ("does not see x", "does not see y")}, ["does not see x", "does not see y"]),
        ({"versions": {**HERE.versions, "torch": "2.13.0+cu130"}}, []),
        (
            {"versions": {"python": "3.12.7", "torch": "2.12.1"}},
            [
                "has python 3.12.7 (here 3.11.7), torch 2.12.1 (here 2.13.0+cpu), timm not installed (here 1.0.20); "
                "install the same version on both"
            ],
        ),
    ],
)
def test_a_node_is_unfit_that_would_make_other_results_or_none(changed: dict, problems: list[str]) -> None:
    assert differences(HERE, replace(HERE, **changed)) == problems


def test_nodes_with_the_same_trouble_are_named_together() -> None:
    refuse({"a": [], "b": []})
    trouble = {f"n{number}": ["has other code"] for number in range(7)}
    with pytest.raises(InputError) as caught:
        refuse({"well": [], **trouble, "n6": ["has other code", "does not see x"]})
    assert str(caught.value).splitlines()[1:] == [
        "n0, n1, n2, n3, n4 and 2 more: has other code",
        "n6: does not see x",
    ]


def test_a_machine_reports_what_it_lacks(store: Store, tmp_path: Path) -> None:
    found = check_node(Needs(store, tmp_path / "token", (str(tmp_path / "market"),), (WORK, "no_such_module:loss")))
    assert [problem.partition(";")[0] for problem in found.lacks] == [
        f"does not see the store {store.address}",
        f"does not see the data {tmp_path}/market",
        f'lacks code: code "no_such_module:loss": there is no Python module "no_such_module" in {Path.cwd()} or on the '
        "import path",
    ]
    (tmp_path / "token").touch()
    well = check_node(Needs(store, tmp_path / "token", (str(tmp_path),), (WORK,)))
    assert (well.digest, well.versions, well.lacks) == (code_digest((WORK,)), library_versions((WORK,)), ())


def test_the_code_that_stages_declare_counts() -> None:
    stages = [stage("plain"), replace(stage("custom"), code=("mine:loss",))]
    assert code_behind(WORK, stages) == (WORK, "mine:loss")


def test_a_node_that_joined_later_is_looked_at_before_its_stage(store: Store) -> None:
    class Nobody:
        def put(self, host: str, event: object) -> None:
            raise AssertionError("nothing may start")

    needs = Needs(store, None, (), (WORK,))
    order = Order(needs, replace(check_node(needs), digest="0" * 32), WORK, {})
    outcome = run_task(order, stage("first"), Nobody())  # type: ignore[arg-type]
    assert outcome is not None
    expected = f"node {socket.gethostname()} has different code from this machine; install the same version on both"
    assert outcome.reason == expected
    assert not store.is_complete(stage("first").fingerprint)


# --- a real cluster of two nodes --------------------------------------------------------------------------------------


def test_a_worker_that_is_killed_once_resumes_from_its_checkpoint(
    on_ray: RayExecutor, journal: Journal, events: Events
) -> None:
    counting = stage("counting", "count", steps=6, dies_at=4)
    outcome = run(on_ray, [counting], journal, events)[counting.fingerprint]
    assert outcome.result == {"value": 1, "steps_here": 2}
    assert [journal.count(f"step-{step}")["counting"] for step in range(6)] == [1] * 6
    (message,) = [event.detail["warning"] for event in events if "warning" in event.detail]
    assert message.endswith("; it resumes from its newest checkpoint")


def test_a_stage_whose_worker_always_dies_fails_alone(on_ray: RayExecutor, journal: Journal, events: Events) -> None:
    dying, good = stage("dying", "die"), stage("good", "wait_a_little")
    child = stage("child", parent=dying)
    outcomes = run(on_ray, [dying, good, child], journal, events)
    assert journal.count("begin")["dying"] == 3
    assert "was lost: killed, usually because memory ran out" in outcomes[dying.fingerprint].reason
    assert "; it was tried 3 times; run fewer workers" in outcomes[dying.fingerprint].reason
    assert outcomes[child.fingerprint].status == "not_run"
    assert outcomes[good.fingerprint].status == "succeeded"


class Driver:
    """A process of its own on the cluster, to be interrupted and killed."""

    def __init__(self, cluster: RayCluster, store: Store, journal: Journal, behaviour: str) -> None:
        script = Path(__file__).parent / "toy_harness.py"
        words = [store.root, journal.path, 2, behaviour, 2, 0, cluster.address]
        self.process = subprocess.Popen(
            [sys.executable, str(script), *map(str, words)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(script.parent), *sys.path])},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        wait_for(lambda: len(journal.began()) == 2, 60)


@pytest.fixture
def driver(ray_cluster: RayCluster, store: Store, journal: Journal) -> Iterator[Driver]:
    made = Driver(ray_cluster, store, journal, "sleep")
    yield made
    made.process.kill()
    made.process.wait()


def test_ctrl_c_ends_the_stages_and_frees_their_locks(driver: Driver, store: Store, journal: Journal) -> None:
    driver.process.send_signal(signal.SIGINT)
    driver.process.wait(timeout=30)  # half of what its stages would sleep
    assert driver.process.returncode != 0
    for each in chains("sleep", 2, 0)[:2]:
        with store.lock(each.fingerprint) as free:
            assert free


def test_no_stage_outlives_a_killed_driver(driver: Driver, journal: Journal) -> None:
    stages = journal.pids()
    assert len(stages) == 2
    assert all(map(psutil.pid_exists, stages))
    driver.process.kill()
    _, left = psutil.wait_procs([psutil.Process(pid) for pid in stages], timeout=300)
    assert left == []


def test_what_no_node_can_ever_run_is_refused_at_once_with_what_there_is(
    on_ray: RayExecutor, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StageResources, "fits", lambda self, node: 0)
    with pytest.raises(
        InputError, match=r"a stage asks for 1 CPU and 0 GPUs, which no node of the cluster has"
    ) as caught:
        on_ray.execute([stage("first")], WORK, {}, lambda event: None)
    assert str(caught.value).count("1 CPU, 0 GPUs") == 2


def test_nodes_that_are_not_fit_are_refused_before_anything_runs(
    on_ray: RayExecutor, journal: Journal, events: Events
) -> None:
    context = {**journal.context, "inputs": {"data": "/nowhere"}}
    with pytest.raises(InputError) as caught:
        on_ray.execute([stage("first")], WORK, context, events.append)
    assert str(caught.value) == (
        "the cluster cannot run these stages, and none was started:\n"
        f"{socket.gethostname()}: does not see the data /nowhere; expected it under one path on all nodes"
    )
    assert events == []
    assert journal.began() == []


def chained(error: BaseException, cause: str) -> BaseException:
    error.__cause__ = RuntimeError(cause)
    return error


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (
            chained(
                ConnectionError("Failed to connect to Ray cluster at 10.0.0.1:6379"),
                "Failed to connect to GCS. Last connection error: Traceback (most recent call last):\n"
                "ray.exceptions.AuthenticationError: RPC error: InvalidAuthToken: Authentication token is missing",
            ),
            "this Ray cluster and this process have different tokens; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN as on "
            "its nodes",
        ),
        (
            RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.60.0\n    Python: 3.12.1\n"),
            "Ray cannot join this cluster: Version mismatch: The cluster was started with: Ray: 2.60.0 Python: 3.12.1",
        ),
        (
            chained(ConnectionError("Could not find any running Ray instance.\nMore."), "nothing"),
            "no Ray cluster answers (Could not find any running Ray instance.); start one with `ray start --head`, or "
            "leave --address out: then one is started for this command",
        ),
    ],
)
def test_what_keeps_ray_from_joining_a_cluster_is_explained(
    raised: ConnectionError | RuntimeError, message: str
) -> None:
    assert str(cannot_join("10.0.0.1:6379", raised)) == f"--address 10.0.0.1:6379: {message}"


def test_a_cluster_that_does_not_answer_is_named(store: Store) -> None:
    with pytest.raises(InputError, match="--address ray://head:10001: stages cannot go through Ray's client"):
        RayExecutor(store, address="ray://head:10001")
    with pytest.raises(InputError, match=r"--address 127\.0\.0\.1:9: no Ray cluster answers .*refused"):
        RayExecutor(store, address="127.0.0.1:9")
    with pytest.raises(InputError, match='--address "head": expected auto, local or HOST:PORT'):
        RayExecutor(store, address="head")


def test_a_killed_node_costs_no_more_than_the_steps_since_its_last_checkpoint(
    on_ray: RayExecutor, ray_cluster: RayCluster, journal: Journal, events: Events, tmp_path: Path
) -> None:
    counting = [stage(f"counting{number}", "count", steps=10, holds_at=4) for number in range(2)]
    gate = tmp_path / "gate"

    def kill(event: Event) -> None:
        events.append(event)
        if [event.kind for event in events].count("started") == 2 and not gate.exists():
            wait_for(lambda: journal.count("held").total() == 2, 60)
            ray_cluster.kill(ray_cluster.newest)
            gate.touch()

    outcomes = on_ray.execute(counting, WORK, {**journal.context, "gate": str(gate)}, kill)
    assert {outcome.status for outcome in outcomes.values()} == {"succeeded"}
    assert sorted(outcome.result["steps_here"] for outcome in outcomes.values() if outcome.result) == [6, 10]
    wait_for(lambda: on_ray.capacity == 1, 60)
