"""The artifact store: complete entries or none, whatever happens to the disk, the process or the files.

A test with a ``shelf`` runs on every kind of store; one with a ``store`` on a folder.
"""

import errno
import json
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest
from toy_stores import RemoteShelf, Shelf, below
from toy_work import stage

from harness.errors import InputError
from harness.execute import Store
from harness.plan import Stage


def finished(store: Store, each: Stage, result: dict | None = None) -> Path:
    """A finished stage with a weights file and, in its own folder, a map."""
    folder = store.begin(each.fingerprint)
    (folder / "weights.bin").write_bytes(b"weights")
    (folder / "maps").mkdir(exist_ok=True)
    (folder / "maps" / "a.npz").write_bytes(b"map")
    store.finish(each, result or {"metrics": {"mAP": 0.5}})
    return folder


def test_a_finished_stage_returns_its_result_and_the_versions_it_ran_with(shelf: Shelf) -> None:
    finished(shelf.store, each := stage("a"))
    store = shelf.reopened()
    assert store.is_complete(each.fingerprint)
    assert store.result(each.fingerprint) == {"metrics": {"mAP": 0.5}}
    assert store.verify(each.fingerprint) == ""
    assert store.versions(each.fingerprint)["python"].startswith(f"{sys.version_info.major}.")
    assert store.list_entries()[0].stage == each


def test_a_library_that_changed_since_stages_were_made_is_reported_once_with_their_number(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, stages = shelf.store, [stage("a"), stage("b"), stage("c")]
    for each in stages[:2]:
        monkeypatch.setattr("harness.execute.store.library_versions", lambda _: {"numpy": "1.0"})
        finished(store, each)
    now = metadata.version("numpy")
    monkeypatch.setattr("harness.execute.store.library_versions", lambda _: {"numpy": now})
    finished(store, stages[2])
    differences = store.version_differences([each.fingerprint for each in stages])
    assert [str(each) for each in differences] == [f"2 cached stages were made with numpy 1.0; {now} is installed now"]


def test_a_stage_records_the_libraries_that_its_own_code_imports(shelf: Shelf) -> None:
    plain, using = stage("a"), replace(stage("b"), code=("ablations.digits:train",))
    for each in (plain, using):
        finished(shelf.store, each)
    python = {"python": platform.python_version()}
    libraries = {name: metadata.version(name) for name in ("numpy", "scikit-learn")}
    assert shelf.store.versions(plain.fingerprint) == python
    assert shelf.store.versions(using.fingerprint) == {**python, **libraries}


def test_checkpoints_the_last_error_and_temporary_files_are_removed_when_a_stage_finishes(shelf: Shelf) -> None:
    each = stage("a")
    folder = shelf.store.begin(each.fingerprint)
    (folder / "checkpoints").mkdir()
    for name in ("checkpoints/step-1.pt", "error.txt", "weights.tmp"):
        (folder / name).write_text("x")
    shelf.write(f"{below(each.fingerprint)}/checkpoints/step-0.pt", b"x")
    finished(shelf.store, each)
    kept = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert shelf.names(below(each.fingerprint)) == kept == ["manifest.json", "maps/a.npz", "weights.bin"]


def test_a_stage_without_a_manifest_is_unfinished_and_has_no_result(store: Store) -> None:
    each = stage("a")
    (store.begin(each.fingerprint) / "weights.bin").write_bytes(b"half")
    assert not store.is_complete(each.fingerprint)
    assert store.verify(each.fingerprint) == ""
    assert store.list_entries()[0].state == "unfinished"
    with pytest.raises(KeyError):
        store.result(each.fingerprint)


def test_an_unfinished_stage_keeps_its_checkpoints_when_it_begins_again(store: Store) -> None:
    folder = store.begin("ab" * 16)
    (folder / "checkpoints").mkdir()
    assert store.begin("ab" * 16) == folder
    assert (folder / "checkpoints").exists()


@pytest.mark.parametrize("length", [0, 1, 40, -1])
def test_a_truncated_manifest_is_reported_and_counts_as_absent(
    shelf: Shelf, caplog: pytest.LogCaptureFixture, length: int
) -> None:
    finished(shelf.store, each := stage("a"))
    manifest = f"{below(each.fingerprint)}/manifest.json"
    shelf.write(manifest, shelf.read(manifest)[:length])
    store = shelf.reopened()
    assert not store.is_complete(each.fingerprint)
    assert not store.is_complete(each.fingerprint)
    assert caplog.text.count(f"{shelf.place(manifest)} is damaged") == 1
    assert store.list_entries()[0].state == "damaged"


@pytest.mark.parametrize(("old", "new"), [("0.5", "0.6"), ("weights.bin", "weights.bim")])
def test_a_manifest_whose_text_changed_is_reported(shelf: Shelf, old: str, new: str) -> None:
    finished(shelf.store, each := stage("a"))
    manifest = f"{below(each.fingerprint)}/manifest.json"
    shelf.write(manifest, shelf.read(manifest).replace(old.encode(), new.encode()))
    assert shelf.store.verify(each.fingerprint) == f"{shelf.place(manifest)} is damaged: its checksum differs"


@pytest.mark.parametrize("content", ["[]", "{}", "null", '{"checksum": "x", "content": 3}'])
def test_a_manifest_of_another_shape_is_reported(shelf: Shelf, content: str) -> None:
    finished(shelf.store, each := stage("a"))
    shelf.write(f"{below(each.fingerprint)}/manifest.json", content.encode())
    store = shelf.reopened()
    assert not store.is_complete(each.fingerprint)
    assert "manifest.json is damaged" in store.verify(each.fingerprint)


def test_a_manifest_of_another_stage_is_reported(shelf: Shelf) -> None:
    finished(shelf.store, each := stage("a"))
    shelf.write(f"{below('cd' * 16)}/manifest.json", shelf.read(f"{below(each.fingerprint)}/manifest.json"))
    assert f"belongs to another stage: {each.fingerprint}" in shelf.store.verify("cd" * 16)


@pytest.mark.parametrize("damage", ["truncate", "remove"])
def test_a_file_that_is_short_or_missing_is_reported_at_once(shelf: Shelf, damage: str) -> None:
    finished(shelf.store, each := stage("a"))
    name = f"{below(each.fingerprint)}/maps/a.npz"
    shelf.write(name, b"ma") if damage == "truncate" else shelf.remove(name)
    found = "2 bytes" if damage == "truncate" else "missing"
    store = shelf.reopened()
    assert not store.is_complete(each.fingerprint)
    assert store.list_entries()[0].damage == f"{shelf.place(name)} is damaged: found {found}, expected 3 bytes"


def test_verifying_finds_a_flipped_bit(shelf: Shelf) -> None:
    finished(shelf.store, each := stage("a"))
    name = f"{below(each.fingerprint)}/weights.bin"
    shelf.write(name, b"weightt")
    store = shelf.reopened()
    assert store.is_complete(each.fingerprint)  # sizes only: cheap enough for every plan
    damage = f"{shelf.place(name)} is damaged: its checksum differs from the manifest's"
    assert store.verify(each.fingerprint) == damage


def test_a_flipped_bit_is_found_when_the_file_is_needed_and_the_stage_is_then_rebuilt(shelf: Shelf) -> None:
    finished(shelf.store, each := stage("a"))
    name = f"{below(each.fingerprint)}/weights.bin"
    shelf.write(name, b"weightt")
    if isinstance(shelf, RemoteShelf):
        (shelf.store.folder(each.fingerprint) / "weights.bin").unlink()  # another machine, which does not have it yet
    store = shelf.reopened()
    store.fetch(each.fingerprint, ["maps/a.npz"])  # files that are not requested are not checked
    with pytest.raises(InputError) as caught:
        store.fetch(each.fingerprint)
    assert str(caught.value) == (
        f"{shelf.place(name)} is damaged: its checksum differs from the manifest's; "
        "the stage counts as not done, run the same command again"
    )
    assert not store.is_complete(each.fingerprint)
    finished(store, each)
    assert store.verify(each.fingerprint) == ""


@pytest.mark.parametrize("place", ["manifest.json", "weights.bin"])
def test_a_folder_in_place_of_a_file_is_damage_fixed_by_beginning_again(store: Store, place: str) -> None:
    folder = finished(store, each := stage("a"))
    (folder / place).unlink()
    (folder / place).mkdir()
    assert f"{folder / place} is damaged: " in store.list_entries()[0].damage
    assert not store.is_complete(each.fingerprint)
    finished(store, each)
    assert store.verify(each.fingerprint) == ""


def test_a_damaged_stage_begins_from_nothing(shelf: Shelf) -> None:
    folder = finished(shelf.store, each := stage("a"))
    shelf.write(f"{below(each.fingerprint)}/weights.bin", b"")
    shelf.reopened().begin(each.fingerprint)
    assert list(folder.iterdir()) == []
    assert shelf.names(below(each.fingerprint)) == []


def test_a_process_killed_between_manifest_and_sweep_leaves_a_complete_stage(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = stage("a")
    with monkeypatch.context() as patched:
        patched.setattr(Store, "sweep", lambda self, fingerprint: None)
        (store.begin(each.fingerprint) / "checkpoints").mkdir()
        folder = finished(store, each)
    assert store.is_complete(each.fingerprint)
    store.sweep(each.fingerprint)
    assert not (folder / "checkpoints").exists()


def test_a_kill_before_the_rename_leaves_the_stage_unfinished(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(self: Path, target: Path) -> None:
        raise SystemExit("killed")

    each = stage("a")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", killed)
        with pytest.raises(SystemExit):
            finished(store, each)
    assert not store.is_complete(each.fingerprint)
    finished(store, each)
    assert store.is_complete(each.fingerprint)


# --- locks ------------------------------------------------------------------------------------------------------------


def test_a_lock_is_held_once_and_free_again_after(shelf: Shelf) -> None:
    store, again = shelf.store, shelf.reopened()
    with store.lock("ab" * 16) as first, again.lock("ab" * 16) as second, again.lock("cd" * 16) as other:
        assert (first, second, other) == (True, False, True)
    with store.lock("ab" * 16) as free:
        assert free


def test_a_killed_process_frees_its_lock(store: Store) -> None:
    script = (
        "import sys, time; from pathlib import Path; from harness.execute import Store\n"
        f"with Store(Path({str(store.root)!r})).lock('ab' * 16) as free: print(free, flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    holder = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    with store.lock("ab" * 16) as free:
        assert not free
    holder.kill()
    holder.wait()
    with store.lock("ab" * 16) as free:
        assert free


# --- tables and collection --------------------------------------------------------------------------------------------


def test_stages_used_by_a_table_are_kept_and_the_rest_is_collected(shelf: Shelf) -> None:
    store = shelf.store
    used, kept, lost = stage("used"), stage("kept"), stage("lost")
    for each in (used, kept, lost):
        finished(store, each)
    store.remember("table1 demo", [used.fingerprint])
    would = store.collect(keep=[kept.fingerprint], dry_run=True)
    assert [entry.fingerprint for entry in would.entries] == [lost.fingerprint]
    assert store.is_complete(lost.fingerprint)
    done = store.collect(keep=[kept.fingerprint])
    assert done.size_bytes == would.size_bytes > 10
    assert not store.folder(lost.fingerprint).exists()
    assert shelf.names(below(lost.fingerprint)) == []
    assert {entry.fingerprint for entry in store.list_entries()} == {used.fingerprint, kept.fingerprint}


def test_entries_have_their_size_and_the_tables_that_use_them(shelf: Shelf) -> None:
    store = shelf.store
    folder = finished(store, each := stage("a"))
    store.remember("table1", [each.fingerprint])
    store.remember("table 2/demo", [each.fingerprint, "ef" * 16])
    (entry,) = store.list_entries()
    assert sorted(entry.tables) == ["table 2/demo", "table1"]
    assert entry.size_bytes == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert entry.state == "complete"


def test_remembering_a_table_again_replaces_its_record_and_forgetting_removes_it(shelf: Shelf) -> None:
    store = shelf.store
    store.remember("t", ["a", "b"])
    store.remember("t", ["b", "c"])
    assert store.tables() == {"t": frozenset("bc")}
    store.forget("t")
    store.forget("t")
    assert store.tables() == {}


def test_a_folder_in_place_of_a_record_is_reported_with_its_name(store: Store) -> None:
    store.remember("t", ["a"])
    (record,) = (store.root / "tables").iterdir()
    record.unlink()
    record.mkdir()
    with pytest.raises(InputError, match=re.escape(f"{record}: Is a directory: expected a file, or nothing; move ")):
        store.remember("t", ["b"])


def test_a_stage_in_progress_is_not_collected(shelf: Shelf) -> None:
    store = shelf.store
    finished(store, each := stage("a"))
    with store.lock(each.fingerprint):
        collected = shelf.reopened().collect()
    assert (collected.entries, [entry.fingerprint for entry in collected.busy]) == ((), [each.fingerprint])
    assert store.is_complete(each.fingerprint)


def test_a_damaged_record_of_a_table_stops_the_collection(shelf: Shelf) -> None:
    store = shelf.store
    finished(store, each := stage("a"))
    store.remember("t", [each.fingerprint])
    (record,) = shelf.names("tables")
    shelf.write(f"tables/{record}", b'{"table"')
    with pytest.raises(InputError, match=r"is damaged .* delete it, then run the table again"):
        store.collect()
    assert store.is_complete(each.fingerprint)


def test_a_folder_in_place_of_a_tables_record_stops_the_collection(store: Store) -> None:
    (store.root / "tables" / "t.json").mkdir(parents=True)
    with pytest.raises(InputError, match=r"t\.json is damaged \(found a folder.*\).*; delete it, then run"):
        store.collect()


def test_an_empty_store_lists_nothing_and_creates_nothing(shelf: Shelf) -> None:
    store = shelf.store
    assert store.list_entries() == ()
    assert store.tables() == {}
    assert not store.root.exists()


# --- a disk that refuses writes ---------------------------------------------------------------------------------------


@pytest.fixture
def read_only() -> Iterator[Store]:
    """A read-only store with one finished stage, even when the tests run as root."""
    place = Path(tempfile.mkdtemp())
    store = Store(place / "store")
    finished(store, stage("a"))
    for path in (place, *place.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield store
    finally:
        if is_root:
            os.seteuid(0)
        for path in (place, *(path for path in place.rglob("*") if path.is_dir())):
            path.chmod(0o755)
        shutil.rmtree(place)


def test_a_read_only_store_serves_what_it_has_and_refuses_to_write(read_only: Store) -> None:
    assert read_only.is_complete(stage("a").fingerprint)
    refusals = [
        lambda: read_only.begin(stage("b").fingerprint),
        lambda: read_only.lock(stage("b").fingerprint).__enter__(),
        lambda: read_only.remember("t", []),
        lambda: read_only.collect(),
        lambda: read_only.finish(stage("a"), {}),
    ]
    for refused in refusals:
        with pytest.raises(InputError, match=r"Permission denied: expected a folder that can be written to"):
            refused()


def test_a_store_whose_path_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"(Not a directory|File exists): expected a folder that can be written to"):
        Store(tmp_path / "file").begin("ab" * 16)


def test_a_full_disk_leaves_the_stage_unfinished_and_says_what_to_do(store: Store) -> None:
    each = stage("a")
    folder = store.begin(each.fingerprint)
    (folder / "weights.bin").write_bytes(b"weights")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))  # writing beyond it fails as on a full disk
    try:
        with pytest.raises(InputError, match=r"nothing more can be written. Free space .* resumes where"):
            store.finish(each, {"note": "x" * 1000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not store.is_complete(each.fingerprint)
    assert [path.name for path in folder.iterdir()] == ["weights.bin"]
    store.finish(each, {"note": "x" * 1000})
    assert store.is_complete(each.fingerprint)


def test_a_file_system_without_locks_is_refused_rather_than_trusted(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", missing)
    with pytest.raises(InputError, match="this file system has no file locks"), store.lock("ab" * 16):
        pass


def test_any_other_error_of_the_disk_passes_through(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output error"):
        finished(store, stage("a"))


def test_a_result_that_is_not_json_is_refused_before_anything_is_written(shelf: Shelf) -> None:
    store, each = shelf.store, stage("a")
    folder = store.begin(each.fingerprint)
    with pytest.raises(TypeError, match="set is not JSON serializable"):
        store.finish(each, {"value": {1}})
    assert list(folder.iterdir()) == []
    assert shelf.names() == []


def test_the_manifest_is_plain_json_that_others_can_read(shelf: Shelf) -> None:
    finished(shelf.store, each := stage("a"))
    content = json.loads(json.loads(shelf.read(f"{below(each.fingerprint)}/manifest.json"))["content"])
    assert content["stage"]["settings"] == dict(each.settings)
    assert set(content["files"]) == {"weights.bin", "maps/a.npz"}
