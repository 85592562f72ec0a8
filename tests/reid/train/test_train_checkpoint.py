"""Checkpoints: written completely or not at all, the newest intact one is used, a damaged one is reported."""

import os
import threading
from contextlib import closing
from pathlib import Path

import pytest
import torch

from harness.reid.train.checkpoint import CheckpointWriter, load_newest_checkpoint, save_checkpoint

CPU = torch.device("cpu")


def state_of(step: int) -> dict[str, object]:
    return {"weights": {"w": torch.full((3,), float(step))}, "progress": {"steps": step}}


def test_an_empty_folder_has_no_checkpoint(tmp_path: Path) -> None:
    assert load_newest_checkpoint(tmp_path / "nothing") is None


def test_the_newest_checkpoint_is_loaded_with_its_tensors_and_numbers(tmp_path: Path) -> None:
    for step in (5, 10, 100):
        save_checkpoint(tmp_path, step, state_of(step))
    loaded = load_newest_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded["progress"] == {"steps": 100}
    assert torch.equal(loaded["weights"]["w"], torch.full((3,), 100.0))


def test_only_the_newest_two_are_kept_and_no_temporary_file_remains(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        save_checkpoint(tmp_path, step, state_of(step))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000003.pt", "step-000000004.pt"]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "emptied"])
def test_a_damaged_checkpoint_is_reported_and_the_one_before_it_is_used(tmp_path: Path, damage: str) -> None:
    save_checkpoint(tmp_path, 1, state_of(1))
    newest = save_checkpoint(tmp_path, 2, state_of(2))
    content = bytearray(newest.read_bytes())
    if damage == "truncated":
        content = content[: len(content) // 2]
    elif damage == "flipped":
        content[len(content) // 2] ^= 1
    else:
        content = bytearray()
    newest.write_bytes(content)
    with pytest.warns(UserWarning, match=r"step-000000002\.pt: checkpoint is damaged"):
        loaded = load_newest_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded["progress"] == {"steps": 1}


def test_a_write_that_fails_halfway_leaves_the_older_checkpoint_and_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path, 1, state_of(1))

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tmp_path, 2, state_of(2))
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001.pt"]


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (print, ("executed",))

    save_checkpoint(tmp_path, 1, {"bomb": Bomb()})
    with pytest.raises(Exception, match=r"weights_only|Weights only"):
        load_newest_checkpoint(tmp_path)


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """A disk on which every write hangs until the event is set."""
    ready, sync = threading.Event(), os.fsync

    def wait(file: int) -> None:
        assert ready.wait(timeout=900)
        sync(file)

    monkeypatch.setattr("os.fsync", wait)
    return ready


def test_the_checkpoint_holds_the_state_when_it_was_saved_and_training_does_not_wait_for_the_disk(
    tmp_path: Path, slow_disk: threading.Event
) -> None:
    state = {"weights": {"w": torch.zeros(3)}, "rates": [torch.zeros(1)], "progress": {"steps": 1}}
    with closing(CheckpointWriter(tmp_path, CPU)) as writer:
        writer.save(1, state)
        state["weights"]["w"].fill_(9.0)  # training continues, in place
        state["rates"][0].fill_(9.0)
        state["progress"]["steps"] = 9
        assert load_newest_checkpoint(tmp_path) is None
        slow_disk.set()
        writer.wait()
    loaded = load_newest_checkpoint(tmp_path)
    assert loaded is not None
    assert (loaded["weights"]["w"].tolist(), loaded["rates"][0].tolist()) == ([0.0] * 3, [0.0])
    assert loaded["progress"] == {"steps": 1}


def test_checkpoints_are_skipped_while_the_disk_is_busy_unless_they_are_needed(
    tmp_path: Path, slow_disk: threading.Event
) -> None:
    with closing(CheckpointWriter(tmp_path, CPU)) as writer:
        writer.save(1, state_of(1))
        writer.save(2, state_of(2))
        threading.Timer(0.2, slow_disk.set).start()
        writer.save(3, state_of(3), needed=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000001.pt", "step-000000003.pt"]


def test_a_failed_write_is_raised_by_the_next_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with closing(CheckpointWriter(tmp_path, CPU)) as writer:
        writer.save(1, state_of(1))
        with pytest.raises(OSError, match="No space left"):
            writer.save(2, state_of(2), needed=True)
        writer.wait()  # the error is raised only once
