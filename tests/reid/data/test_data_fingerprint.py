import json
import logging
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.errors import InputError
from harness.reid.data import Split, fingerprint, open_dataset, split_fingerprint


@pytest.fixture
def later(monkeypatch):
    """Lets a minute pass, so that the files count as settled."""
    real = time.time_ns
    monkeypatch.setattr(fingerprint.time, "time_ns", lambda: real() + 60_000_000_000)


def _of(root: Path, index: Path, split: str = "train") -> str:
    dataset = open_dataset("market1501", root)
    return split_fingerprint(dataset.splits[split], dataset.root, index)


def _read_files(monkeypatch) -> list[str]:
    """Names of the files that are read from now on."""
    read: list[str] = []
    real = fingerprint._digest
    monkeypatch.setattr(fingerprint, "_digest", lambda path: (read.append(path.name), real(path))[1])
    return read


def test_equal_contents_elsewhere_have_equal_fingerprints(market, tmp_path):
    copy = tmp_path / "elsewhere"
    shutil.copytree(market, copy, copy_function=shutil.copy)  # new times
    assert _of(market, tmp_path / "i") == _of(copy, tmp_path / "j") == _of(copy, tmp_path / "i")


def test_splits_differ(market, tmp_path):
    assert len({_of(market, tmp_path / "i", split) for split in ("train", "query", "gallery")}) == 3


def test_one_flipped_bit_changes_it_even_if_size_and_time_are_kept(market, tmp_path, later):
    before = _of(market, tmp_path / "i")
    path = market / "bounding_box_train" / "0002_c1s1_000002_00.jpg"
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_mtime_ns == status.st_mtime_ns
    assert _of(market, tmp_path / "i") != before


def test_a_renamed_a_new_and_a_missing_file_change_it(market, tmp_path):
    folder = market / "bounding_box_train"
    seen = {_of(market, tmp_path / "i")}
    (folder / "0002_c1s1_000002_00.jpg").rename(folder / "0002_c1s1_000002_01.jpg")
    seen.add(_of(market, tmp_path / "i"))
    shutil.copy(folder / "0002_c1s1_000002_01.jpg", folder / "0002_c1s1_000002_02.jpg")
    seen.add(_of(market, tmp_path / "i"))
    (folder / "0007_c1s1_000001_00.jpg").unlink()
    seen.add(_of(market, tmp_path / "i"))
    assert len(seen) == 4


def test_labels_are_part_of_it(market, tmp_path):
    split = open_dataset("market1501", market).splits["train"]
    assert split.cameras is not None
    variants = [
        split,
        replace(split, identities=split.identities + 1),
        replace(split, cameras=split.cameras + 1),
        replace(split, cameras=None),
    ]
    assert len({split_fingerprint(variant, market, tmp_path / "i") for variant in variants}) == 4
    assert split_fingerprint(replace(split, name="other"), market, tmp_path / "i") == split_fingerprint(
        split, market, tmp_path / "i"
    )


def test_a_second_call_reads_no_file(market, tmp_path, monkeypatch, later):
    before = _of(market, tmp_path / "i")
    read = _read_files(monkeypatch)
    assert _of(market, tmp_path / "i") == before
    assert read == []


def test_only_a_changed_file_is_read_again(market, tmp_path, monkeypatch, later):
    _of(market, tmp_path / "i")
    path = market / "bounding_box_train" / "0007_c3s1_000004_00.jpg"
    path.write_bytes(path.read_bytes() + b"\0")
    read = _read_files(monkeypatch)
    _of(market, tmp_path / "i")
    assert read == [path.name]


def test_a_file_that_may_still_be_changing_is_not_remembered(market, tmp_path, monkeypatch):
    _of(market, tmp_path / "i")  # written a moment ago: a change within one tick of the clock would go unnoticed
    read = _read_files(monkeypatch)
    _of(market, tmp_path / "i")
    assert len(read) == 4


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"version": 1}', b"\xff\xfe", b"null"])
def test_a_damaged_index_is_made_anew(market, tmp_path, damage, caplog, later):
    before = _of(market, tmp_path / "i")
    (index,) = (tmp_path / "i").glob("*.json")
    index.write_bytes(damage)
    with caplog.at_level(logging.WARNING):
        assert _of(market, tmp_path / "i") == before
    assert "damaged index of file digests" in caplog.text
    assert json.loads(index.read_text())["files"]


def test_a_wrong_digest_in_the_index_is_noticed(market, tmp_path, later):
    before = _of(market, tmp_path / "i")
    (index,) = (tmp_path / "i").glob("*.json")
    content = json.loads(index.read_text())
    name = next(iter(content["files"]))
    content["files"][name][1] = "0" * 32
    index.write_text(json.dumps(content))
    assert _of(market, tmp_path / "i") == before


def test_an_index_that_cannot_be_written_costs_time_only(market, tmp_path, caplog, later):
    (tmp_path / "i").write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        assert _of(market, tmp_path / "i") == _of(market, tmp_path / "j")
    assert "was not written" in caplog.text


def test_several_writers_leave_a_whole_index(market, tmp_path, monkeypatch, later):
    with ThreadPoolExecutor(8) as pool:
        splits = ["train", "query", "gallery"] * 4
        results = list(pool.map(lambda split: _of(market, tmp_path / "i", split), splits))
    assert len(set(results)) == 3
    assert not list((tmp_path / "i").glob("*.tmp"))
    for split in ("train", "query", "gallery"):
        _of(market, tmp_path / "i", split)
    read = _read_files(monkeypatch)
    for split in ("train", "query", "gallery"):
        _of(market, tmp_path / "i", split)
    assert read == []


def test_a_missing_file_is_named(market, tmp_path):
    dataset = open_dataset("market1501", market)
    (market / "query" / "0003_c1s1_000001_00.jpg").unlink()
    with pytest.raises(InputError, match=r"0003_c1s1_000001_00\.jpg: cannot be read \(No such file or directory\)"):
        split_fingerprint(dataset.splits["query"], market, tmp_path / "i")


def test_an_array_is_identified_by_its_pixels(tmp_path):
    pixels = np.arange(2 * 2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 2, 3)
    labels = np.array([1, 2])

    def of(arrays: np.ndarray) -> str:
        return split_fingerprint(Split("train", labels, arrays=arrays), tmp_path, tmp_path / "i")

    changed = pixels.copy()
    changed[1, 1, 1, 2] ^= 1
    assert of(pixels) == of(pixels.copy()) == of(np.asfortranarray(pixels))
    assert len({of(pixels), of(changed), of(pixels.reshape(2, 1, 4, 3))}) == 3


def test_the_fingerprint_of_known_contents_stays_what_it_was(tmp_path):
    """Pinned: a change here retrains everything that anybody has cached."""
    (tmp_path / "a.jpg").write_bytes(b"one")
    (tmp_path / "b.jpg").write_bytes(b"two")
    split = Split.of_files("train", ["a.jpg", "b.jpg"], [1, 2], [3, 4])
    assert split_fingerprint(split, tmp_path, tmp_path / "i") == "0ab8ad0a62b6f955e966fc84dec8f593"
