"""What only a store that many machines share must do; what it does as any store does: ``test_execute_store``.

A machine is a scratch folder; each has its own ``SharedStore`` of the same address.
"""

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from toy_audience import Events, Journal
from toy_stores import RemoteShelf, below
from toy_work import WORK, stage

from harness.errors import InputError
from harness.execute import InProcessExecutor, LocalExecutor, Outcome, SharedStore, Slot, Store, local_root, open_store
from harness.execute.remote import Remote
from harness.execute.worker import run_stage
from harness.plan import Stage

PATIENCE_S = 0.3


@pytest.fixture
def shelf(s3_bucket: str, tmp_path: Path) -> RemoteShelf:
    return RemoteShelf(SharedStore(s3_bucket, tmp_path / "a", PATIENCE_S))


@pytest.fixture
def other(shelf: RemoteShelf, tmp_path: Path) -> SharedStore:
    """The store as another machine sees it."""
    return SharedStore(shelf.store.address, tmp_path / "b", PATIENCE_S)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Background threads that look every few milliseconds."""
    monkeypatch.setattr("harness.execute.relay.LOOK_S", 0.02)
    monkeypatch.setattr("harness.execute.relay.FOLLOW_S", 0.02)
    monkeypatch.setattr("harness.execute.remote.SETTLING_S", 0.05)


def run(store: Store, each: Stage, journal: Journal, **context: Any) -> Outcome:
    """Carries out a stage here, however long another machine's lease holds."""
    outcome = None
    deadline = time.monotonic() + 20
    while outcome is None and time.monotonic() < deadline:
        outcome = run_stage(store, each, WORK, {**journal.context, **context}, lambda event: None)
        time.sleep(0.02)
    assert outcome is not None, "waited in vain for the lease"
    return outcome


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


# --- what is finished -------------------------------------------------------------------------------------------------


def test_what_one_machine_finished_another_does_not_run_and_builds_on(
    shelf: RemoteShelf, other: SharedStore, journal: Journal
) -> None:
    first = stage("first")
    second = stage("second", parent=first)
    assert run(shelf.store, first, journal).status == "succeeded"
    assert run(other, first, journal) == Outcome("cached", {"value": 1})
    assert run(other, second, journal).result == {"value": 2}
    assert journal.began() == ["first", "second"]
    assert (other.folder(first.fingerprint) / "weights.bin").read_text() == "1"


def test_what_is_complete_is_looked_at_once_and_what_is_not_each_time(
    shelf: RemoteShelf, other: SharedStore, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []
    sizes = Remote.sizes
    monkeypatch.setattr(Remote, "sizes", lambda self, name="": looked.append(name) or sizes(self, name))
    each = stage("a")
    assert [other.is_complete(each.fingerprint) for _ in range(2)] == [False, False]
    run(shelf.store, each, journal)
    looked.clear()
    assert [other.is_complete(each.fingerprint) for _ in range(3)] == [True, True, True]
    assert looked == [below(each.fingerprint)]


def test_a_survey_lists_once_for_any_number_of_stages(
    shelf: RemoteShelf, other: SharedStore, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(shelf.store, done := stage("done"), journal)
    looked = []
    sizes = Remote.sizes
    monkeypatch.setattr(Remote, "sizes", lambda self, name="": looked.append(name) or sizes(self, name))
    is_complete = other.completion_lookup()
    missing = [stage(f"missing{number}").fingerprint for number in range(50)]
    assert [is_complete(name) for name in (done.fingerprint, *missing)] == [True] + 50 * [False]
    assert looked == ["stages", below(done.fingerprint)]


def test_a_damaged_object_is_reported_and_its_stage_done_again(
    shelf: RemoteShelf, other: SharedStore, journal: Journal
) -> None:
    first = stage("first")
    second = stage("second", parent=first)
    run(shelf.store, first, journal)
    name = f"{below(first.fingerprint)}/weights.bin"
    shelf.write(name, b"7")
    outcome = run(other, second, journal)
    assert (outcome.status, outcome.reason) == (
        "failed",
        f"{shelf.place(name)} is damaged: its checksum differs from the manifest's; the stage counts as not done, "
        "run the same command again",
    )
    outcomes = InProcessExecutor(other).execute([first, second], WORK, journal.context, lambda event: None)
    assert [outcomes[each.fingerprint].status for each in (first, second)] == ["succeeded", "succeeded"]
    assert journal.began() == ["first", "first", "second"]
    assert shelf.read(name) == b"1"


def test_a_file_that_was_damaged_on_its_way_is_fetched_again(
    shelf: RemoteShelf, other: SharedStore, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(shelf.store, first := stage("first"), journal)
    fetch, fetched = Remote.fetch, []

    def damaging(self: Remote, name: str, path: Path) -> bool:
        fetched.append(name)
        there = fetch(self, name, path)
        if len(fetched) == 1:
            path.write_text("7")
        return there

    monkeypatch.setattr(Remote, "fetch", damaging)
    assert (other.fetch(first.fingerprint) / "weights.bin").read_text() == "1"
    assert len(fetched) == 2


def test_an_upload_torn_before_its_manifest_is_unfinished_and_done_again_elsewhere(
    shelf: RemoteShelf, other: SharedStore, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Remote.write

    def killed(self: Remote, name: str, content: bytes) -> None:
        if name.endswith("manifest.json"):
            raise SystemExit("killed")
        write(self, name, content)

    first = stage("first")
    with monkeypatch.context() as patched:
        patched.setattr(Remote, "write", killed)
        with pytest.raises(SystemExit):
            run(shelf.store, first, journal)
    assert shelf.names(below(first.fingerprint)) == ["weights.bin"]
    assert not other.is_complete(first.fingerprint)
    assert other.list_entries()[0].state == "unfinished"
    assert run(other, first, journal).status == "succeeded"
    assert shelf.names(below(first.fingerprint)) == ["manifest.json", "weights.bin"]


def test_what_could_not_be_sent_fails_the_stage_and_is_sent_the_next_time_without_running_it_again(
    shelf: RemoteShelf, other: SharedStore, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(self: Remote, path: Path, name: str) -> None:
        raise InputError("the network is down")

    first = stage("first")
    with monkeypatch.context() as patched:
        patched.setattr(Remote, "send", cut_off)
        outcome = run(shelf.store, first, journal)
    assert (outcome.status, outcome.reason) == ("failed", "the network is down")
    assert not other.is_complete(first.fingerprint)
    assert run(shelf.store, first, journal) == Outcome("cached", {"value": 1})
    assert other.is_complete(first.fingerprint)
    assert journal.began() == ["first"]


def test_what_a_plain_store_holds_is_sent_instead_of_done_again(
    shelf: RemoteShelf, other: SharedStore, journal: Journal
) -> None:
    run(Store(shelf.store.root), first := stage("first"), journal)
    assert run(shelf.store, first, journal).status == "cached"
    assert run(other, first, journal).status == "cached"
    assert journal.began() == ["first"]


# --- checkpoints ------------------------------------------------------------------------------------------------------


def test_checkpoints_and_products_are_sent_while_a_stage_works_and_the_oldest_dropped(
    shelf: RemoteShelf, journal: Journal
) -> None:
    each, seen = stage("each", "record", steps=20), []
    folder = below(each.fingerprint)

    def on_event(event: object) -> None:
        names = shelf.names(folder)
        if any(name.startswith("checkpoints/") for name in names):
            seen.append(names)
            lines = len(shelf.read(f"{folder}/so-far/spool.jsonl").splitlines())
            assert lines >= int(Path(names[-2]).stem), "a spool is never shorter than the newest checkpoint expects"

    outcome = run_stage(shelf.store, each, WORK, journal.context, on_event)
    assert outcome is not None
    assert outcome.status == "succeeded", outcome.reason
    assert len(seen) > 3
    assert max(len(names) for names in seen) <= 4  # in passing, one more than the two that stay
    assert shelf.names(folder) == ["manifest.json", "spool.jsonl", "weights.bin"]


def test_a_stage_resumes_from_the_newest_checkpoint_of_any_machine(
    shelf: RemoteShelf, other: SharedStore, journal: Journal
) -> None:
    each = stage("each", "record", steps=10)
    folder = below(each.fingerprint)
    for name, content in {
        "checkpoints/006.pt": b"x",
        "checkpoints/007.pt": b"x",
        "so-far/spool.jsonl": b"there\n" * 9,
    }.items():
        shelf.write(f"{folder}/{name}", content)
    here = other.folder(each.fingerprint) / "checkpoints"
    here.mkdir(parents=True)
    (here / "004.pt").write_text("x")
    (here.parent / "spool.jsonl").write_text("here\n" * 4)
    outcome = run(other, each, journal)
    assert outcome.result == {"value": 1, "steps_here": 3}
    assert shelf.read(f"{folder}/spool.jsonl") == b"there\n" * 7 + b"step 7\nstep 8\nstep 9\n"


def test_a_machine_with_a_newer_checkpoint_keeps_it(shelf: RemoteShelf, other: SharedStore, journal: Journal) -> None:
    each = stage("each", "record", steps=10)
    shelf.write(f"{below(each.fingerprint)}/checkpoints/003.pt", b"x")
    shelf.write(f"{below(each.fingerprint)}/so-far/spool.jsonl", b"there\n" * 3)
    here = other.folder(each.fingerprint) / "checkpoints"
    here.mkdir(parents=True)
    (here / "008.pt").write_text("x")
    (here.parent / "spool.jsonl").write_text("here\n" * 8)
    assert run(other, each, journal).result == {"value": 1, "steps_here": 2}


def test_a_checkpoint_that_cannot_be_sent_is_reported_once_and_tried_again(
    shelf: RemoteShelf, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, failures = Remote.send, []

    def failing(self: Remote, path: Path, name: str) -> None:
        if len(failures) < 3:
            failures.append(name)
            raise InputError("the network is down")
        send(self, path, name)

    monkeypatch.setattr(Remote, "send", failing)
    each, sent, events = stage("each", "record", steps=60), [], Events()

    def on_event(event: Any) -> None:
        events.append(event)
        if not sent:
            sent.extend(name for name in shelf.names(below(each.fingerprint)) if name.startswith("checkpoints/"))

    outcome = run_stage(shelf.store, each, WORK, journal.context, on_event)
    assert outcome is not None
    assert outcome.status == "succeeded"
    assert [event.detail["warning"] for event in events if "warning" in event.detail] == [
        "a checkpoint could not be sent and will be retried: the network is down"
    ]
    assert len(failures) == 3
    assert sent


def test_what_a_stage_writes_elsewhere_reaches_its_follower_and_is_whole_in_the_end(
    shelf: RemoteShelf, other: SharedStore, journal: Journal
) -> None:
    each = stage("each", "record", steps=60)
    path = other.follow(each.fingerprint, "spool.jsonl")
    seen: set[int] = set()
    working = threading.Thread(target=lambda: run(shelf.store, each, journal))
    working.start()
    while working.is_alive():
        seen.add(len(path.read_text().splitlines()) if path.exists() else 0)
        time.sleep(0.01)
    working.join()
    assert len(seen) > 3, "it grows"
    assert other.is_complete(each.fingerprint)
    assert other.follow(each.fingerprint, "spool.jsonl") == path
    assert path.read_bytes() == shelf.read(f"{below(each.fingerprint)}/spool.jsonl")


def test_a_follower_leaves_alone_what_its_own_machine_works_on(shelf: RemoteShelf, other: SharedStore) -> None:
    each = stage("each")
    shelf.write(f"{below(each.fingerprint)}/so-far/spool.jsonl", b"older, from elsewhere")
    with other.lock(each.fingerprint):
        path = other.begin(each.fingerprint) / "spool.jsonl"
        path.write_text("mine")
        other.follow(each.fingerprint, "spool.jsonl")
        time.sleep(0.2)
        assert path.read_text() == "mine"
    wait_until(lambda: path.read_text() == "older, from elsewhere")


# --- leases -----------------------------------------------------------------------------------------------------------


def test_two_machines_racing_for_stages_run_each_once(shelf: RemoteShelf, other: SharedStore, journal: Journal) -> None:
    stages = [stage(f"s{number}", "wait_a_little") for number in range(3)]
    outcomes: list[dict[str, Outcome]] = []

    def fill(store: Store) -> None:
        outcomes.append(InProcessExecutor(store).execute(stages, WORK, journal.context, lambda event: None))

    machines = [threading.Thread(target=fill, args=(store,)) for store in (shelf.store, other)]
    for machine in machines:
        machine.start()
    for machine in machines:
        machine.join()
    assert sorted(journal.began()) == ["s0", "s1", "s2"]
    for each in stages:
        assert sorted(found[each.fingerprint].status for found in outcomes) == ["cached", "succeeded"]


def test_a_living_holder_keeps_its_lease_however_long_it_takes(shelf: RemoteShelf, other: SharedStore) -> None:
    with shelf.store.lock("ab" * 16) as held:
        assert held
        ends = time.monotonic() + 3 * PATIENCE_S
        while time.monotonic() < ends:
            with other.lock("ab" * 16) as free:
                assert not free
            time.sleep(0.05)
    with other.lock("ab" * 16) as free:
        assert free


HOLDER = """
import sys, time
from pathlib import Path
from harness.execute import SharedStore
with SharedStore(sys.argv[1], Path(sys.argv[2]), 1.0).lock("ab" * 16) as free:
    print(free, flush=True)
    time.sleep(60)
"""


def test_a_dead_holder_is_followed_at_once_on_its_machine_and_after_its_patience_on_others(
    s3_bucket: str, tmp_path: Path
) -> None:
    here, elsewhere = (SharedStore(s3_bucket, tmp_path / name, PATIENCE_S) for name in ("here", "elsewhere"))

    def lose() -> None:
        words = [sys.executable, "-c", HOLDER, s3_bucket, tmp_path / "here"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        holder = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        holder.kill()
        holder.wait()

    lose()
    with here.lock("ab" * 16) as free:
        assert free
    lose()
    started = time.monotonic()

    def is_free() -> bool:
        # Each look is that of a new process: what it saw is remembered in the scratch folder.
        with SharedStore(s3_bucket, elsewhere.root, PATIENCE_S).lock("ab" * 16) as free:
            return free

    assert not is_free()
    wait_until(is_free)
    assert time.monotonic() - started >= 1.0  # the holder's own patience, not the contender's


def test_a_holder_that_lost_its_lease_stops_and_the_stage_ends_where_it_went(
    shelf: RemoteShelf, other: SharedStore, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    each, events = stage("each", "record", steps=60), Events()
    outcomes: list[Outcome | None] = []

    def work() -> None:
        context = {**journal.context, "pause_s": 0.1}
        outcomes.append(run_stage(shelf.store, each, WORK, context, events.append))

    slow = threading.Thread(target=work)
    slow.start()
    wait_until(lambda: any(name.startswith("checkpoints/") for name in shelf.names(below(each.fingerprint))))
    assert not outcomes

    (heartbeat,) = [thread for thread in threading.enumerate() if thread.name.startswith("lease ")]
    offline, sizes = threading.Event(), Remote.sizes

    def sizes_unless_offline(self: Remote, below: str = "") -> dict[str, int]:
        if threading.current_thread() is heartbeat and offline.is_set():
            raise InputError("the network is down")
        return sizes(self, below)

    monkeypatch.setattr(Remote, "sizes", sizes_unless_offline)
    offline.set()
    finished = run(other, each, journal)
    offline.clear()  # the next heartbeat finds that the lease was taken over
    slow.join()
    assert finished.status == "succeeded"
    assert finished.result is not None
    assert finished.result["steps_here"] < 60
    assert outcomes == [None], "neither failed nor done: the other's result will do"
    (message,) = [event.detail["warning"] for event in events if "warning" in event.detail]
    assert "took over this stage, since this machine sent no heartbeat for 0.3 s" in message
    assert run(shelf.store, each, journal) == Outcome("cached", finished.result)


def test_a_lease_that_cannot_be_read_is_a_dead_one(shelf: RemoteShelf, other: SharedStore) -> None:
    shelf.write(f"locks/{'ab' * 16}/000000001", b"{torn")

    def is_free() -> bool:
        with other.lock("ab" * 16) as free:
            return free

    assert not is_free()
    wait_until(is_free)
    assert shelf.names("locks") == []


def test_a_file_system_without_exclusive_creation_is_reported_and_used(
    tmp_path: Path, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    address = f"dir::file://{tmp_path}/there"
    first, second = (SharedStore(address, tmp_path / name, PATIENCE_S) for name in "ab")
    with caplog.at_level(logging.WARNING), first.lock("ab" * 16) as held, second.lock("ab" * 16) as free:
        assert (held, free) == (True, False)
    assert caplog.text.count("cannot create a file exclusively") == 1
    run(first, each := stage("each"), journal)
    assert run(second, each, journal).status == "cached"


# --- worker processes -------------------------------------------------------------------------------------------------


def test_worker_processes_fill_a_shared_store_and_go_on_after_a_kill(
    s3_bucket: str, tmp_path: Path, journal: Journal, events: Events
) -> None:
    store = SharedStore(s3_bucket, tmp_path / "a")
    counting = stage("counting", "count", steps=6, dies_at=4)
    after = stage("after", parent=counting)
    with LocalExecutor(store, [Slot()]) as executor:
        outcomes = executor.execute([counting, after], WORK, journal.context, events.append)
    assert outcomes[counting.fingerprint].result == {"value": 1, "steps_here": 2}
    assert outcomes[after.fingerprint].result == {"value": 2}
    assert {entry.state for entry in SharedStore(store.address, tmp_path / "b").list_entries()} == {"complete"}


def test_a_store_that_lives_in_one_process_is_refused_by_worker_processes(
    workers: LocalExecutor, tmp_path: Path, events: Events
) -> None:
    workers.store = SharedStore("memory://x", tmp_path / "a")
    with pytest.raises(InputError, match="memory://x exists in one process only, and stages run in others"):
        workers.execute([stage("a")], WORK, {}, events.append)


# --- addresses --------------------------------------------------------------------------------------------------------


def test_a_folder_is_a_plain_store_however_it_is_written(tmp_path: Path) -> None:
    for address in (tmp_path / "x", f"{tmp_path}/x", f"file://{tmp_path}/x", f"local://{tmp_path}/x"):
        store = open_store(address)
        assert type(store) is Store
        assert store.root == tmp_path / "x"


def test_the_scratch_folder_is_named_by_the_environment(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_SCRATCH", raising=False)
    assert local_root(s3_bucket) == Path(".harness")
    monkeypatch.setenv("HARNESS_SCRATCH", "/scratch")
    assert local_root(s3_bucket) == Path("/scratch")
    assert local_root("folder") == Path("folder")
    store = open_store(f"{s3_bucket}/prefix/")
    assert isinstance(store, SharedStore)
    assert (store.address, store.root) == (f"{s3_bucket}/prefix", Path("/scratch"))
    assert open_store(f"{s3_bucket}/prefix") is store, "what it knows is asked for once in a process"


def test_what_was_shared_is_brought_to_other_machines(shelf: RemoteShelf, other: SharedStore) -> None:
    path = shelf.store.root / "studies" / "margins.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    shelf.store.publish(path)
    assert (other.fetch_published("studies") / "margins.json").read_text() == "{}"
    assert other.fetch_published("nothing") == other.root / "nothing"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("s3:/bucket/x", r'store "s3:/bucket/x": found one slash, expected two: s3://bucket/x'),
        ("s3://", r'store "s3://": expected a bucket or a folder after "://"'),
        ("s5://bucket", r"s5://bucket: no such protocol; expected a folder, s3://bucket/prefix or the like"),
        ("gs://bucket", r"gs://bucket: the driver of gs:// is not installed \(.*gcsfs.*\); install it in this"),
        ("sftp://me:secret@host/x", r"sftp://me:\*\*\*@host/x: the driver of sftp:// is not installed"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_in_one_sentence(address: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        open_store(address, tmp_path)


def test_a_missing_driver_of_s3_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    with pytest.raises(InputError, match=r"is not installed \(.*\); run the command with: uv run --extra s3 \.\.\."):
        open_store("s3://no-driver", tmp_path)


def test_a_missing_bucket_is_named(s3_environment: None, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r's3://nowhere/x: there is no bucket "nowhere"; create it, or name another'):
        open_store("s3://nowhere/x", tmp_path)


@pytest.fixture
def fresh_clients() -> Iterator[None]:
    """No connection of another test's is used, and none is left."""
    from s3fs import S3FileSystem

    S3FileSystem.clear_instance_cache()
    yield
    S3FileSystem.clear_instance_cache()


class Denying(BaseHTTPRequestHandler):
    """Answers as S3 does to somebody who may not."""

    def do_GET(self) -> None:
        body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


def test_denied_access_is_refused_in_one_sentence(
    s3_environment: None, fresh_clients: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = HTTPServer(("127.0.0.1", 0), Denying)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    try:
        with pytest.raises(InputError, match=r"^s3://theirs/x: access denied \(Access Denied\); expected credentials"):
            open_store("s3://theirs/x", tmp_path)
    finally:
        server.shutdown()
        server.server_close()


def test_a_place_that_does_not_answer_is_given_up_soon(
    s3_environment: None, fresh_clients: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"s3://silent/x: it does not answer as expected .*; check the address and"):
        open_store("s3://silent/x", tmp_path)


def test_missing_credentials_are_explained_in_a_sentence(
    s3_environment: None, fresh_clients: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InputError, match=r"s3://mine/x: no credentials; set those that its driver reads"):
        open_store("s3://mine/x", tmp_path)
