import doctest
import importlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.track import collect_provenance, resolve_uri, without_password
from harness.track.identity import Owner
from harness.track.operations import Close, End, Follow, Open, Sweep
from harness.track.outbox import Journal, Outbox, other_addresses

URI = "http://tracker.example:5000"
OPEN = Open(run="k", kind="run", experiment="table1", name="1 · Softmax", time_ms=5, params={"SAC": "on"})
FOLLOW = Follow(run="k", spool="/spool", step_offset=60)
END = End(run="k", status="FINISHED", time_ms=9, metrics={"mAP": 0.1 + 0.2}, files=("/a", "/b"))
SWEEP = Sweep(keep=("k",), time_ms=1)


def dead_owner() -> Owner:
    return replace(Owner.this_process(), started="1")


def test_operations_are_read_back_as_they_were_journalled(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, URI)
    writer = outbox.new_journal()
    for operation in (OPEN, FOLLOW, END, SWEEP):
        writer.append(operation)
    (journal,) = outbox.journals()
    assert [(number, type(operation)) for number, operation in journal.read()] == list(
        enumerate([Open, Follow, End, Sweep])
    )
    operations = [operation for _, operation in Journal(journal.path).read()]
    assert operations[1] == FOLLOW
    assert (operations[0].params, operations[2].metrics, list(operations[2].files)) == (
        {"SAC": "on"},
        {"mAP": 0.1 + 0.2},
        ["/a", "/b"],
    )
    assert journal.owner == Owner.this_process()
    assert not journal.ended()
    writer.close()
    assert list(journal.read()) == []
    assert journal.ended()


def test_a_journal_grows_under_its_reader_and_a_torn_line_waits(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, URI)
    writer = outbox.new_journal()
    writer.append(OPEN)
    (journal,) = outbox.journals()
    assert len(list(journal.read())) == 1
    with journal.path.open("ab") as file:
        file.write(b'{"op":"follow","id":1,"run":"k",')
    assert list(journal.read()) == []
    with journal.path.open("ab") as file:
        file.write(b'"spool":"/spool","step_offset":60}\n')
    assert list(journal.read()) == [(1, FOLLOW)]


def test_what_is_done_is_not_read_again_even_after_a_torn_note(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, URI)
    writer = outbox.new_journal()
    for _ in range(15):
        writer.append(FOLLOW)
    journal = Journal(writer.path)
    journal.mark_done([0, 2])
    with writer.path.with_suffix(".done").open("ab") as file:
        file.write(b"\n1")  # the beginning of "14;", killed in the middle
    Journal(writer.path).mark_done([3])
    left = [number for number, _ in Journal(writer.path).read()]
    assert left == [1, *range(4, 15)]


def test_a_line_of_another_version_is_skipped_and_reported(tmp_path: Path, caplog) -> None:
    writer = Outbox(tmp_path, URI).new_journal()
    with writer.path.open("ab") as file:
        file.write(b'{"op":"teleport","id":0}\n{"op":"follow","id":1,"run":"k"}\nnonsense\n')
    assert list(Journal(writer.path).read()) == []
    assert caplog.text.count("not an operation") == 3


def test_a_journal_whose_process_died_is_complete(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from harness.track.operations import Follow;"
        "from harness.track.outbox import Outbox;"
        f"j = Outbox(Path(sys.argv[1]), '{URI}').new_journal(); j.append(Follow('k', '/s', 0)); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    outbox = Outbox(tmp_path, URI)
    assert outbox.undelivered() == 1
    (journal,) = outbox.journals()
    assert list(journal.read()) == [(0, Follow("k", "/s", 0))]
    assert journal.ended()
    journal.remove()
    assert outbox.journals() == []


def test_a_living_process_may_still_say_something(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, URI)
    writer = outbox.new_journal()
    writer.append(OPEN)
    assert outbox.undelivered() == 0
    writer.append(Close())
    assert outbox.undelivered() == 1


def test_each_tracker_has_its_own_outbox_and_the_others_are_named(tmp_path: Path) -> None:
    Outbox(tmp_path, URI).new_journal().append(OPEN)
    Outbox(tmp_path, "postgresql://me:secret@db.example/mlflow").new_journal()
    Outbox(tmp_path, "http://idle.example")
    assert other_addresses(tmp_path, URI) == {"postgresql://db.example/mlflow": 1}
    assert other_addresses(tmp_path, "sqlite:////x.db") == {"postgresql://db.example/mlflow": 1, URI: 1}
    assert "secret" not in "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize("damage", ["bytes", "folder"])
def test_an_address_that_cannot_be_read_is_reported_with_its_place(tmp_path: Path, damage: str) -> None:
    outbox = Outbox(tmp_path, URI)
    outbox.new_journal()
    address = outbox.folder / "address"
    if damage == "bytes":
        address.write_bytes(b"\xa3\x00")
    else:
        address.unlink()
        address.mkdir()
    assert other_addresses(tmp_path, "sqlite:////x.db") == {f"whose address in {address} cannot be read": 1}


@pytest.mark.parametrize("line", ["7", '"a"', "[]", "{", '{"owner": 3}', '{"op": "end"}', '{"op": [], "id": 0}'])
def test_a_line_that_is_no_operation_is_skipped_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, line: str
) -> None:
    writer = Outbox(tmp_path, URI).new_journal()
    writer.append(END)
    with writer.path.open("a") as file:
        file.write(line + "\n")
        file.write('{"op": "sweep", "id": 1}\n')
    assert [number for number, _ in Journal(writer.path).read()] == [0, 1]
    assert "skipped a line that is not an operation" in caplog.text


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
