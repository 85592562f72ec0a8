"""The contract of all executors, checked on each; then the promises of worker processes alone."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import IO

import psutil
import pytest
from toy_audience import Events, Journal
from toy_harness import chains
from toy_work import WORK, stage

from harness.execute import Event, Executor, InProcessExecutor, LocalExecutor, Outcome, Slot, Store, share_out
from harness.execute.protocol import PREFIXES
from harness.execute.schedule import Schedule


def run(executor: Executor, stages: list, journal: Journal, events: Events) -> dict[str, Outcome]:
    return executor.execute(stages, WORK, journal.context, events.append)


# --- every executor ---------------------------------------------------------------------------------------------------


def test_a_chain_runs_in_order_and_passes_results_down(
    executor: Executor, store: Store, journal: Journal, events: Events
) -> None:
    first = stage("first")
    second = stage("second", parent=first)
    outcomes = run(executor, [first, second], journal, events)
    assert [outcomes[each.fingerprint].status for each in (first, second)] == ["succeeded", "succeeded"]
    assert outcomes[second.fingerprint].result == {"value": 2}
    assert store.result(second.fingerprint) == {"value": 2}
    assert journal.began() == ["first", "second"]
    assert events.kinds(first.fingerprint) == ["started", "progress", "succeeded"]
    assert outcomes[first.fingerprint].seconds > 0


def test_progress_and_the_name_of_the_stage_reach_the_listener(
    executor: Executor, journal: Journal, events: Events
) -> None:
    run(executor, [stage("first")], journal, events)
    (progress,) = [event for event in events if event.kind == "progress"]
    assert progress.detail == {"name": "first", "epoch": 1, "epochs": 1, "loss": 0.5}


def test_a_finished_stage_is_cached_and_not_run_again(executor: Executor, journal: Journal, events: Events) -> None:
    chain = [first := stage("first"), stage("second", parent=first)]
    run(executor, chain, journal, Events())
    outcomes = run(executor, chain, journal, events)
    assert {outcome.status for outcome in outcomes.values()} == {"cached"}
    assert outcomes[first.fingerprint].result == {"value": 1}
    assert [event.kind for event in events] == ["cached", "cached"]
    assert journal.began() == ["first", "second"]


def test_a_stage_listed_twice_runs_once(executor: Executor, journal: Journal, events: Events) -> None:
    outcomes = run(executor, [stage("first"), stage("first")], journal, events)
    assert len(outcomes) == 1
    assert journal.began() == ["first"]


def test_a_failure_affects_only_its_descendants(executor: Executor, journal: Journal, events: Events) -> None:
    bad, good = stage("bad", "fail"), stage("good")
    child = stage("child", parent=bad)
    grandchild, nephew = stage("grandchild", parent=child), stage("nephew", parent=good)
    outcomes = run(executor, [bad, good, child, grandchild, nephew], journal, events)
    status = {each.name: outcomes[each.fingerprint].status for each in (bad, good, child, grandchild, nephew)}
    assert status == {
        "bad": "failed",
        "good": "succeeded",
        "child": "not_run",
        "grandchild": "not_run",
        "nephew": "succeeded",
    }
    for unborn in (child, grandchild):
        reason = outcomes[unborn.fingerprint].reason
        assert reason.startswith(f'parent failed: stage "bad" ({bad.fingerprint[:8]}): KeyError')
        assert events.kinds(unborn.fingerprint) == ["not_run"]


def test_a_failed_stage_is_tried_again_by_the_next_call(executor: Executor, journal: Journal, events: Events) -> None:
    bad = stage("bad", "fail")
    run(executor, [bad], journal, events)
    run(executor, [bad], journal, events)
    assert journal.began() == ["bad", "bad"]


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        ("bad_input", "data/a.jpg: found no image, expected a JPEG"),
        ("diverge", 'stage "metric" diverged at step 7: loss = nan; learning rate 0.1'),
        ("full_disk", "/data/x.pt: No space left on device: nothing more can be written. Free space"),
        ("memory_error", "out of memory on cpu: run fewer workers on this device (--workers)"),
        ("torch_memory_error", "out of memory on cpu: run fewer workers on this device (--workers) (tried to allocate"),
        ("cuda_memory_error", "out of memory on cpu: run fewer workers"),
        ("cpu_memory_error", "out of memory on cpu: run fewer workers"),
        ("unserialisable", "TypeError: Object of type set is not JSON serializable"),
        ("fail", "KeyError: 'no such thing' (execute/toy_work.py:"),
    ],
)
def test_failures_are_explained_in_one_actionable_sentence(
    executor: Executor, journal: Journal, events: Events, behaviour: str, expected: str
) -> None:
    bad = stage("bad", behaviour)
    outcome = run(executor, [bad], journal, events)[bad.fingerprint]
    assert outcome.status == "failed"
    assert outcome.reason.startswith(expected)
    assert "Traceback" not in outcome.reason


def test_out_of_memory_names_the_setting_to_change(store: Store, journal: Journal, events: Events) -> None:
    bad = replace(stage("metric", "torch_memory_error"), memory_advice="lower stages.metric.batch (now 128)")
    expected = "lower stages.metric.batch (now 128)"
    outcome = run(InProcessExecutor(store, Slot("cuda:0")), [bad], journal, events)[bad.fingerprint]
    assert outcome.reason.startswith(f"out of memory on cuda:0: {expected}")


def test_the_traceback_of_an_unexpected_error_is_kept_until_the_stage_succeeds(
    executor: Executor, store: Store, journal: Journal, events: Events
) -> None:
    bad = stage("bad", "fail")
    outcome = run(executor, [bad], journal, events)[bad.fingerprint]
    kept = store.folder(bad.fingerprint) / "error.txt"
    assert outcome.reason.endswith(f"the full traceback is in {kept}")
    assert "in fail\n    raise KeyError" in kept.read_text()
    store.finish(bad, {})
    assert not kept.exists()


def test_a_missing_work_function_fails_the_stages_and_not_the_call(executor: Executor, events: Events) -> None:
    outcome = executor.execute([first := stage("first")], "toy_work:wrok", {}, events.append)[first.fingerprint]
    assert outcome.status == "failed"
    assert "toy_work" in outcome.reason
    assert 'has no "wrok"; did you mean "work"?' in outcome.reason


def test_warnings_are_reported_as_they_come(executor: Executor, journal: Journal, events: Events) -> None:
    run(executor, [stage("first", "warn")], journal, events)
    assert [event.detail["warning"] for event in events if "warning" in event.detail] == [
        "the third checkpoint is damaged"
    ]


def test_a_parent_that_is_neither_listed_nor_stored_is_named(
    executor: Executor, store: Store, journal: Journal, events: Events
) -> None:
    first = stage("first")
    second = stage("second", parent=first)
    outcome = run(executor, [second], journal, events)[second.fingerprint]
    assert outcome.status == "not_run"
    assert f"its parent {first.fingerprint[:8]} is neither among these stages nor in {store.root}" in outcome.reason


def test_a_parent_that_is_stored_need_not_be_listed(executor: Executor, journal: Journal, events: Events) -> None:
    first = stage("first")
    second = stage("second", parent=first)
    run(executor, [first], journal, events)
    assert run(executor, [second], journal, events)[second.fingerprint].result == {"value": 2}


def test_a_stage_receives_what_another_began_of_it_while_that_is_intact(
    executor: Executor, store: Store, events: Events
) -> None:
    began, first, second, other = stage("began"), *(stage(name, "take_up") for name in ("first", "second", "other"))
    context = {PREFIXES: {first.fingerprint: began.fingerprint, second.fingerprint: began.fingerprint}}
    executor.execute([began], WORK, context, events.append)
    outcomes = executor.execute([first, other], WORK, context, events.append)
    (store.folder(began.fingerprint) / "weights.bin").unlink()
    outcomes |= executor.execute([second], WORK, context, events.append)
    found = [outcomes[each.fingerprint].result for each in (first, second, other)]
    assert found == [{"found": "1"}, {"found": None}, {"found": None}]


def test_a_partly_done_stage_resumes_from_its_checkpoint(
    executor: Executor, store: Store, journal: Journal, events: Events
) -> None:
    counting = stage("counting", "count", steps=5)
    checkpoints = store.folder(counting.fingerprint) / "checkpoints"
    checkpoints.mkdir(parents=True)
    (checkpoints / "step").write_text("3")
    assert run(executor, [counting], journal, events)[counting.fingerprint].result == {"value": 1, "steps_here": 2}
    assert not checkpoints.exists()


def test_a_truncated_result_counts_as_absent_and_is_rebuilt(
    executor: Executor, store: Store, journal: Journal, events: Events, caplog: pytest.LogCaptureFixture
) -> None:
    first = stage("first")
    second = stage("second", parent=first)
    run(executor, [first, second], journal, Events())
    (store.folder(first.fingerprint) / "weights.bin").write_text("")
    outcomes = run(executor, [first, second], journal, events)
    assert [outcomes[each.fingerprint].status for each in (first, second)] == ["succeeded", "cached"]
    assert "weights.bin is damaged: found 0 bytes, expected 1 bytes" in caplog.text
    assert store.verify(first.fingerprint) == ""


def test_a_flipped_bit_in_requested_results_is_found_and_they_are_rebuilt(
    executor: Executor, store: Store, journal: Journal, events: Events, caplog: pytest.LogCaptureFixture
) -> None:
    first = stage("first")
    last = [stage(f"last{number}", parent=first) for number in range(2)]
    run(executor, [first, *last], journal, Events())
    for each in last:
        (store.folder(each.fingerprint) / "weights.bin").write_text("7")
    executor.store = Store(store.root)  # as in another process, which has not checked them yet
    outcomes = run(executor, [first, *last], journal, events)
    assert [outcomes[each.fingerprint].status for each in (first, *last)] == ["cached", "succeeded", "succeeded"]
    assert caplog.text.count("its checksum differs from the manifest's; the stage counts as not done\n") == 2
    assert [store.verify(each.fingerprint) for each in last] == ["", ""]


def test_two_executors_on_one_store_run_no_stage_twice(executor: Executor, store: Store, journal: Journal) -> None:
    stages = [stage(f"s{number}", "wait_a_little") for number in range(3)]
    other, other_events, other_outcomes = InProcessExecutor(Store(store.root)), Events(), {}
    thread = threading.Thread(target=lambda: other_outcomes.update(run(other, stages, journal, other_events)))
    thread.start()
    outcomes = run(executor, stages, journal, events := Events())
    thread.join()
    assert sorted(journal.began()) == ["s0", "s1", "s2"]
    for each in stages:
        both = {outcomes[each.fingerprint].status, other_outcomes[each.fingerprint].status}
        assert both == {"succeeded", "cached"}
        assert outcomes[each.fingerprint].result == other_outcomes[each.fingerprint].result
    assert "waiting" in {event.kind for event in [*events, *other_events]}


def test_the_slots_device_and_threads_reach_the_work_and_override_the_context(
    executor: Executor, journal: Journal, events: Events
) -> None:
    asking = stage("asking", "report_place")
    context = {**journal.context, "device": "elsewhere"}
    outcome = executor.execute([asking], WORK, context, events.append)[asking.fingerprint]
    assert outcome.result is not None
    assert (outcome.result["device"], outcome.result["threads"]) == ("cpu", 1)


def test_nothing_depends_on_wall_clock_time(
    executor: Executor, journal: Journal, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = iter(range(10**9, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: next(hours))
    chain = [first := stage("first"), stage("second", "wait_a_little", first)]
    outcomes = run(executor, chain, journal, events)
    assert all(outcome.status == "succeeded" and 0 < outcome.seconds < 60 for outcome in outcomes.values())


def test_an_error_in_the_listener_reaches_the_caller(store: Store, journal: Journal) -> None:
    def refuse(event: Event) -> None:
        raise RuntimeError("the listener's own")

    with pytest.raises(RuntimeError, match="the listener's own"):
        LocalExecutor(store, [Slot()]).execute([stage("first")], WORK, journal.context, refuse)


def test_an_interruption_passes_through_the_in_process_executor_and_frees_the_lock(
    store: Store, journal: Journal, events: Events
) -> None:
    first, second = stage("first"), stage("second", "interrupt")
    with pytest.raises(KeyboardInterrupt):
        run(InProcessExecutor(store), [first, second], journal, events)
    assert store.is_complete(first.fingerprint)
    with store.lock(second.fingerprint) as free:
        assert free


# --- order of execution -----------------------------------------------------------------------------------------------


def test_the_longest_remaining_chain_goes_first(store: Store, events: Events) -> None:
    short, long = stage("short"), stage("long")
    middle = stage("middle", parent=long)
    schedule = Schedule([short, long, middle, stage("end", parent=middle)], store, events.append)
    assert schedule.take(0.0) == long
    assert schedule.take(0.0) == short
    assert schedule.take(0.0) is None
    schedule.finish(long, Outcome("succeeded", {}))
    assert schedule.take(0.0) == middle


def test_a_stage_locked_by_another_process_is_left_alone_for_a_while_and_reported_once(
    store: Store, events: Events
) -> None:
    held, other = stage("held"), stage("other")
    schedule = Schedule([held, other], store, events.append)
    assert schedule.take(10.0) == held
    schedule.postpone(held, 10.0)
    assert schedule.take(10.1) == other
    assert schedule.take(10.2) is None
    assert schedule.take(10.6) == held
    schedule.postpone(held, 10.6)
    assert events.kinds(held.fingerprint) == ["waiting"]


# --- worker processes -------------------------------------------------------------------------------------------------


def test_workers_stay_alive_and_have_their_threads_set_from_the_start(
    local: LocalExecutor, journal: Journal, events: Events
) -> None:
    asking = [stage(f"asking{number}", "report_place") for number in range(4)]
    results = [outcome.result or {} for outcome in run(local, asking, journal, events).values()]
    assert len({result["pid"] for result in results}) <= 2
    for result in results:
        assert result["ppid"] == os.getpid()
        assert set(result["environment"].values()) == {str(result["threads"])}


def test_slots_work_side_by_side(local: LocalExecutor, journal: Journal, events: Events) -> None:
    run(local, [stage("a", "wait_a_little"), stage("b", "wait_a_little")], journal, events)
    assert [word for _, word, _ in journal.lines()] == ["begin", "begin", "end", "end"]


def test_starting_a_worker_is_reported_and_an_existing_worker_begins_at_once(
    store: Store, journal: Journal, events: Events
) -> None:
    first = stage("first")
    with LocalExecutor(store, [Slot()]) as executor:
        run(executor, [first, stage("second", parent=first)], journal, events)
    starting = Event("starting", first.fingerprint, {"name": "first", "doing": "starting a worker"})
    assert events[0] == starting
    assert [event for event in events if event.kind == "starting"] == [starting]


def test_a_killed_worker_fails_its_stage_after_one_retry_and_affects_no_other(
    local: LocalExecutor, journal: Journal, events: Events
) -> None:
    dying, good = stage("dying", "die"), stage("good", "wait_a_little")
    child, after = stage("child", parent=dying), stage("after", parent=good)
    outcomes = run(local, [dying, good, child, after], journal, events)
    assert journal.count("begin")["dying"] == 2
    assert outcomes[dying.fingerprint].reason.startswith("its worker was killed (SIGKILL), usually because")
    assert outcomes[dying.fingerprint].reason.endswith("; it was tried 2 times")
    assert outcomes[child.fingerprint].status == "not_run"
    assert outcomes[after.fingerprint].result == {"value": 2}
    (message,) = [event.detail["warning"] for event in events if "warning" in event.detail]
    assert message.endswith("; it is retried in a fresh process")


def test_a_stage_whose_worker_was_killed_once_resumes_from_its_checkpoint(
    local: LocalExecutor, journal: Journal, events: Events
) -> None:
    counting = stage("counting", "count", steps=6, dies_at=4)
    outcome = run(local, [counting], journal, events)[counting.fingerprint]
    assert outcome.result == {"value": 1, "steps_here": 2}
    assert [journal.count(f"step-{step}")["counting"] for step in range(6)] == [1] * 6


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        ("crash", "its worker was killed by signal 11 (last output: Fatal Python error: Segmentation fault"),
        ("exit_quietly", "its worker ended without a result (exit code 3) (last output: disk on fire); it was tried"),
    ],
)
def test_a_crash_is_reported_with_the_workers_last_output(
    local: LocalExecutor, journal: Journal, events: Events, behaviour: str, expected: str
) -> None:
    bad = stage("bad", behaviour)
    assert run(local, [bad], journal, events)[bad.fingerprint].reason.startswith(expected)


def test_closing_ends_the_workers(store: Store, journal: Journal, events: Events) -> None:
    with LocalExecutor(store, [Slot()]) as executor:
        run(executor, [stage("first")], journal, events)
        assert all(psutil.pid_exists(pid) for pid in journal.pids())
    assert not any(psutil.pid_exists(pid) for pid in journal.pids())


class Harness:
    """A complete harness process, to interrupt and kill."""

    def __init__(
        self, store: Store, journal: Journal, slots: int, behaviour: str, count: int, steps: int = 0, **variables: str
    ) -> None:
        script = Path(__file__).parent / "toy_harness.py"
        arguments = [store.root, journal.path, slots, behaviour, count, steps]
        self.process = subprocess.Popen(
            [sys.executable, str(script), *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(script.parent), *sys.path]), **variables},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._stdout.readline() == "ready\n"

    @property
    def _stdout(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def end(self) -> str:
        output, _ = self.process.communicate(timeout=60)
        return output


def wait_until(condition: object, timeout_s: float = 300.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def gone(pids: set[int]) -> bool:
    return not any(psutil.pid_exists(pid) for pid in pids)


def test_ctrl_c_stops_everything_without_waiting_for_the_work(store: Store, journal: Journal) -> None:
    harness = Harness(store, journal, slots=2, behaviour="sleep", count=2)
    wait_until(lambda: len(journal.began()) == 2)
    harness.process.send_signal(signal.SIGINT)
    harness.process.wait(timeout=30)
    assert harness.process.returncode != 0
    assert gone(journal.pids())


def test_a_second_ctrl_c_ends_stubborn_workers_at_once(store: Store, journal: Journal) -> None:
    harness = Harness(store, journal, slots=1, behaviour="sleep_stubbornly", count=1)
    wait_until(lambda: journal.count("stubborn").total() == 1)
    harness.process.send_signal(signal.SIGINT)
    time.sleep(0.7)
    assert harness.process.poll() is None  # it waits for the worker
    harness.process.send_signal(signal.SIGINT)
    harness.process.wait(timeout=30)
    assert gone(journal.pids())


def test_stubborn_workers_are_killed_after_the_grace_period(store: Store, journal: Journal) -> None:
    harness = Harness(store, journal, slots=1, behaviour="sleep_stubbornly", count=1, GRACE_S="0.5")
    wait_until(lambda: journal.count("stubborn").total() == 1)
    harness.process.send_signal(signal.SIGINT)
    harness.process.wait(timeout=30)
    assert gone(journal.pids())


def test_no_worker_outlives_a_killed_harness(store: Store, journal: Journal) -> None:
    harness = Harness(store, journal, slots=2, behaviour="sleep", count=2)
    wait_until(lambda: len(journal.began()) == 2)
    harness.process.kill()
    harness.process.wait()
    wait_until(lambda: gone(journal.pids()))
    assert gone(journal.pids())


def test_a_table_killed_at_random_moments_is_finished_without_repeating_a_step(store: Store, journal: Journal) -> None:
    seed = 613
    print(f"seed {seed}")
    moments = random.Random(seed)
    for _ in range(3):
        harness = Harness(store, journal, slots=2, behaviour="count", count=3, steps=20)
        lines = len(journal.lines()) + moments.randrange(1, 30)
        while len(journal.lines()) < lines and harness.process.poll() is None:
            time.sleep(0.01)
        harness.process.kill()
        harness.process.wait()
        wait_until(lambda: gone(journal.pids()))
    output = Harness(store, journal, slots=2, behaviour="count", count=3, steps=20).end()
    assert all(word.endswith(("=succeeded", "=cached")) for word in output.split())
    assert [store.result(each.fingerprint)["value"] for each in chains("count", 3, 20)] == [1, 1, 1, 2, 2, 2]
    repeated = [journal.count(f"step-{step}")[each.name] - 1 for each in chains("count", 3, 20) for step in range(20)]
    assert min(repeated) >= 0
    assert sum(repeated) <= 3 * 2  # at most the step in flight of each worker at each kill


def test_two_harnesses_at_once_share_the_work_and_both_finish(store: Store, journal: Journal) -> None:
    harnesses = [Harness(store, journal, slots=1, behaviour="count", count=3, steps=10) for _ in range(2)]
    outputs = [harness.end().split() for harness in harnesses]
    assert all(word.endswith(("=succeeded", "=cached")) for words in outputs for word in words)
    assert set(journal.count("begin").values()) == {1}
    assert sorted(word.partition("=")[0] for words in outputs for word in words if word.endswith("succeeded")) == [
        "a0",
        "a1",
        "a2",
        "b0",
        "b1",
        "b2",
    ]


# --- slots ------------------------------------------------------------------------------------------------------------


def test_threads_are_divided_fairly_and_no_worker_goes_without() -> None:
    assert [slot.threads for slot in share_out(["cpu"], 3, cores=8)] == [3, 3, 2]
    assert [slot.threads for slot in share_out(["cpu"], 3, cores=2)] == [1, 1, 1]


def test_workers_spread_over_the_devices_and_share_their_memory() -> None:
    slots = share_out(["cuda:0", "cuda:1"], 4, cores=8)
    assert [slot.device for slot in slots] == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    assert {slot.fraction for slot in slots} == {0.5}


@pytest.mark.parametrize(("devices", "workers"), [(["cpu"], 0), ([], 1)])
def test_no_slots_is_an_error(devices: list[str], workers: int) -> None:
    with pytest.raises(ValueError, match="expected at least one of each"):
        share_out(devices, workers)
