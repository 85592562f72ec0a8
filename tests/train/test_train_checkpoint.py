"""Checkpoints: whole or not at all, the newest whole one wins, a damaged one is told."""

from pathlib import Path

import pytest
import torch

from harness.train.checkpoint import load_newest_checkpoint, save_checkpoint


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


def test_only_the_newest_two_are_kept_and_nothing_is_left_aside(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        save_checkpoint(tmp_path, step, state_of(step))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000003.pt", "step-000000004.pt"]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "emptied"])
def test_a_damaged_checkpoint_is_told_and_the_one_before_it_is_used(tmp_path: Path, damage: str) -> None:
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


def test_a_write_that_fails_halfway_leaves_the_older_checkpoint_and_no_litter(
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
