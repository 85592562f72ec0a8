import doctest
import errno
import importlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.track import collect_provenance, resolve_uri, without_password
from harness.track.identity import Owner
from harness.track.outbox import Document, Outbox, other_addresses
from harness.track.state import RunState

URI = "http://tracker.example:5000"
RUNNING = RunState(
    key="k",
    kind="run",
    experiment="table1",
    name="1 · Softmax",
    started_ms=5,
    params={"SAC": "on"},
    view={"columns": ["mAP"]},
    spools=(("/spool", 60),),
)
FINISHED = replace(RUNNING, status="FINISHED", ended_ms=9, metrics={"mAP": 0.1 + 0.2}, files=("/a", "/b"))


def dead_owner() -> Owner:
    return replace(Owner.this_process(), started="1")


def test_a_document_is_read_back_as_it_was_written_and_as_it_was_replaced(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, URI)
    path = outbox.new_path()
    outbox.write(path, RUNNING)
    assert outbox.read() == [Document(path, Owner.this_process(), RUNNING, settled=False)]
    outbox.write(path, FINISHED)
    assert (
        Outbox(tmp_path, URI).read() == outbox.read() == [Document(path, Owner.this_process(), FINISHED, settled=True)]
    )


def test_documents_are_read_in_the_order_in_which_they_were_begun(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, URI)
    paths = [outbox.new_path() for _ in range(12)]
    for path in reversed(paths):
        outbox.write(path, RUNNING)
    assert [document.path for document in outbox.read()] == paths


@pytest.mark.parametrize(
    "content",
    [
        *("7", '"a"', "[]", "{", '{"owner": 3}', '{"owner": "me"}'),
        json.dumps({"owner": str(dead_owner()), "at": "/", **vars(RUNNING), "teleport": 1}),
    ],
)
def test_a_file_that_is_no_document_of_this_version_is_reported_once_and_holds_nothing_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    outbox = Outbox(tmp_path, URI)
    (outbox.folder / "0-other.json").write_text(content)
    outbox.write(outbox.new_path(), FINISHED)
    for _ in range(2):
        assert [document.state for document in outbox.read()] == [FINISHED]
    assert outbox.undelivered() == 1
    assert caplog.text.count("0-other.json cannot be read") == 1


@pytest.mark.parametrize("damage", [b"", b"{", b"7", b"\xff"])
def test_a_damaged_request_for_a_sweep_is_reported_once_and_the_others_count(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: bytes
) -> None:
    outbox = Outbox(tmp_path, URI)
    (outbox.folder / "0-other.sweep").write_bytes(damage)
    outbox.request_sweep(["k"])
    for _ in range(2):
        assert list(outbox.sweeps().values()) == [["k"]]
    assert caplog.text.count("0-other.sweep cannot be read") == 1


def test_a_document_whose_process_died_is_settled(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from harness.track.outbox import Outbox;"
        "from harness.track.state import RunState;"
        f"outbox = Outbox(Path(sys.argv[1]), '{URI}');"
        "outbox.write(outbox.new_path(), RunState('k', 'run', 'table1', 'k', 5)); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    outbox = Outbox(tmp_path, URI)
    (document,) = outbox.read()
    assert (document.state, document.settled) == (RunState("k", "run", "table1", "k", 5), True)
    assert outbox.undelivered() == 1


def test_the_last_word_of_a_process_that_dies_while_its_document_is_read_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = Outbox(tmp_path, URI)
    outbox.write(path := outbox.new_path(), RUNNING)

    def finish_and_die(owner: Owner) -> bool:
        outbox.write(path, FINISHED)
        return True

    monkeypatch.setattr(Owner, "is_dead", finish_and_die)
    assert [document.state for document in Outbox(tmp_path, URI).read()] == [FINISHED]


def test_a_living_process_may_still_change_a_document(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, URI)
    outbox.write(path := outbox.new_path(), RUNNING)
    assert (outbox.undelivered(), outbox.waiting_here()) == (0, 0)
    outbox.write(path, FINISHED)
    assert (outbox.undelivered(), outbox.waiting_here()) == (1, 1)
    assert Outbox(tmp_path, URI).waiting_here() == 0


@pytest.mark.parametrize("content", ["", "\0" * 900], ids=["empty", "zeros"])
def test_what_a_power_cut_leaves_of_a_running_run_is_cleared_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    outbox = Outbox(tmp_path, URI)
    path = outbox.new_path()
    path.write_text(content)
    assert outbox.read() == []
    assert (path.exists(), caplog.text) == (False, "")


def test_only_the_end_of_a_run_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = Outbox(tmp_path, URI)
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    outbox.write(path := outbox.new_path(), RUNNING)
    outbox.write(outbox.new_path(), replace(FINISHED, status="KILLED"))  # what the next run continues
    assert not synced
    outbox.write(path, FINISHED)
    assert len(synced) == 2  # the file, and the folder for its name


def test_a_document_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    outbox = Outbox(tmp_path, URI)
    outbox.write(path := outbox.new_path(), RUNNING)
    monkeypatch.setattr(Path, "write_bytes", write)
    with pytest.raises(OSError, match="No space left") as raised:
        outbox.write(path, FINISHED)
    assert raised.value.filename == str(path)
    assert [document.state for document in outbox.read()] == [RUNNING]
    assert [file.name for file in outbox.folder.iterdir() if file.suffix == ".tmp"] == []


def test_files_are_found_where_the_outbox_was_moved_to_and_where_they_stayed(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    spool, stayed = old / "stages" / "spool.jsonl", tmp_path / "report.md"
    spool.parent.mkdir(parents=True)
    for file in (spool, stayed):
        file.touch()
    outbox = Outbox(old / "outbox", URI)
    outbox.write(outbox.new_path(), replace(FINISHED, spools=((str(spool), 3),), files=(str(stayed),), within=str(old)))
    old.rename(new)
    (document,) = Outbox(new / "outbox", URI).read()
    assert document.state.spools == ((str(new / "stages" / "spool.jsonl"), 3),)
    assert (document.state.files, document.state.within) == ((str(stayed),), str(new))


def test_each_tracker_has_its_own_outbox_and_the_others_are_named(tmp_path: Path) -> None:
    for uri in (URI, "postgresql://me:secret@db.example/mlflow"):
        outbox = Outbox(tmp_path, uri)
        outbox.write(outbox.new_path(), RUNNING)
    Outbox(tmp_path, "http://idle.example")
    assert other_addresses(tmp_path, URI) == {"postgresql://db.example/mlflow": 1}
    assert other_addresses(tmp_path, "sqlite:////x.db") == {"postgresql://db.example/mlflow": 1, URI: 1}
    assert "secret" not in "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize("damage", ["bytes", "folder"])
def test_an_address_that_cannot_be_read_is_reported_with_its_place(tmp_path: Path, damage: str) -> None:
    outbox = Outbox(tmp_path, URI)
    outbox.write(outbox.new_path(), RUNNING)
    address = outbox.folder / "address"
    if damage == "bytes":
        address.write_bytes(b"\xa3\x00")
    else:
        address.unlink()
        address.mkdir()
    assert other_addresses(tmp_path, "sqlite:////x.db") == {f"whose address in {address} cannot be read": 1}


def test_a_process_lives_until_it_ends() -> None:
    me = Owner.this_process()
    assert Owner.parse(str(me)) == me
    assert not me.is_dead()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert replace(me, pid=child.pid).is_dead()  # this id belongs to a process that started at another time
    child.kill()
    child.wait()
    assert replace(me, pid=child.pid).is_dead()


def test_a_restarted_machine_has_no_old_processes_and_other_machines_are_not_judged() -> None:
    me = Owner.this_process()
    assert replace(me, boot="another").is_dead()
    assert not replace(me, host="elsewhere", pid=1, started="0").is_dead()


@pytest.mark.parametrize("text", ["", "host", "a/b/c", "host/boot/pid/start"])
def test_a_foreign_tag_names_no_owner(text: str) -> None:
    assert Owner.parse(text) is None


def test_addresses_are_written_without_their_password() -> None:
    assert without_password("http://u:p@host:1/x") == "http://host:1/x"
    assert without_password(URI) == URI


def test_the_tracker_is_the_given_one_then_the_environments_then_a_file_here(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert resolve_uri() == f"sqlite:///{tmp_path}/mlflow.db"
    assert resolve_uri("sqlite:///sub/x.db") == f"sqlite:///{tmp_path}/sub/x.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", URI)
    assert resolve_uri() == URI
    assert resolve_uri("sqlite:////abs.db") == "sqlite:////abs.db"


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_a_checkout_is_dirty_when_its_code_differs_and_not_when_a_report_does(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "harness").mkdir()
    (tmp_path / "harness" / "a.py").write_text("a = 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "table1.md").write_text("new")
    clean = collect_provenance({"python": "3.11.7", "numpy": "2.4"}, tmp_path)
    assert (clean["dirty"], len(clean["commit"])) == ("false", 40)
    (tmp_path / "harness" / "b.py").write_text("b = 2\n")
    assert collect_provenance({"python": "3.11.7", "numpy": "2.4"}, tmp_path)["dirty"] == "true"


def test_a_folder_that_is_no_checkout_has_no_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    inside = tmp_path / "venv"
    inside.mkdir()
    facts = collect_provenance({"python": "3.11.7", "numpy": "2.4"}, inside)
    assert (facts["commit"], facts["dirty"]) == ("unknown", "unknown")
    assert (facts["python"], facts["library numpy"]) == ("3.11.7", "2.4")
    assert all(facts.values())


@pytest.mark.parametrize("name", ["accepted", "address", "fields", "view"])
def test_the_examples_of_the_docstrings_hold(name: str) -> None:
    outcome = doctest.testmod(importlib.import_module(f"harness.track.{name}"))
    assert (outcome.failed, outcome.attempted > 0) == (0, True)


def test_importing_the_room_imports_nothing_heavy() -> None:
    code = "import sys, harness.track; print({'mlflow', 'torch', 'numpy', 'pandas'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ})
    assert shown.stdout.strip() == "set()"


BOTH = """
import threading
from harness.track.client import connect, load_mlflow

uri, errors, together = {uri!r}, [], threading.Barrier(2)

def carry_out(action):
    together.wait()
    try:
        action()
    except BaseException as error:
        errors.append(repr(error))

actions = [load_mlflow, lambda: connect(uri)]
threads = [threading.Thread(target=carry_out, args=(action,)) for action in actions]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(60)
print(errors)
"""


def test_the_courier_and_its_harness_may_both_be_the_first_to_need_mlflow(tmp_path: Path) -> None:
    script = BOTH.format(uri=f"sqlite:///{tmp_path}/mlflow.db")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=900)
    assert done.stdout == "[]\n", done.stderr
