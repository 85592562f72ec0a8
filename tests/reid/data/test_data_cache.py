import errno
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from harness.errors import InputError
from harness.reid.data import Split, cache, cache_size_bytes, cached_images, open_dataset


def _train(root: Path) -> Split:
    return open_dataset("market1501", root).splits["train"]


def _cached(root: Path, cache_dir: Path, height_px: int = 12, width_px: int = 6, **options) -> np.ndarray:
    return cached_images(_train(root), root, height_px, width_px, cache_dir, workers=2, **options)


@pytest.fixture
def decodings(monkeypatch) -> list[int]:
    """Indices of the images decoded since the test began."""
    decoded: list[int] = []
    real = cache.pixels_of
    monkeypatch.setattr(
        cache, "pixels_of", lambda split, index, *rest: (decoded.append(index), real(split, index, *rest))[1]
    )
    return decoded


@pytest.mark.parametrize("size_px", [(16, 8), (32, 16), (5, 4)])
def test_pixels_are_those_of_torchvision(market, tmp_path, size_px):
    images = _cached(market, tmp_path / "cache", *size_px)
    assert images.shape == (4, *size_px, 3)
    assert images.dtype == np.uint8
    resize = transforms.Compose([transforms.Resize(size_px), transforms.PILToTensor()])
    for index, file in enumerate(_train(market).files or ()):
        with Image.open(market / file) as image:
            expected = resize(image.convert("RGB")).permute(1, 2, 0)
        assert torch.equal(torch.from_numpy(np.array(images[index])), expected)


def test_images_are_decoded_once_for_each_size(market, tmp_path, decodings):
    first = _cached(market, tmp_path / "cache")
    assert sorted(decodings) == [0, 1, 2, 3]
    assert np.array_equal(_cached(market, tmp_path / "cache"), first)
    assert len(decodings) == 4
    _cached(market, tmp_path / "cache", height_px=10)
    assert len(decodings) == 8


def test_equal_contents_elsewhere_share_the_entry(market, tmp_path, decodings):
    _cached(market, tmp_path / "cache")
    moved = market.rename(tmp_path / "moved")
    _cached(moved, tmp_path / "cache")
    assert len(decodings) == 4


def test_changed_contents_are_decoded_again(market, tmp_path, decodings, save_image):
    before = np.array(_cached(market, tmp_path / "cache"))
    save_image(market / "bounding_box_train" / "0002_c1s1_000002_00.jpg", seed=99)
    assert not np.array_equal(_cached(market, tmp_path / "cache"), before)


def test_progress_is_reported_and_the_size_is_known_in_advance(market, tmp_path):
    reported: list[tuple[int, int]] = []
    split = _train(market)
    size = cache_size_bytes(split, 12, 6)
    assert size == 4 * 12 * 6 * 3
    images = _cached(market, tmp_path / "cache", progress=lambda done, total: reported.append((done, total)))
    assert images.nbytes == size
    assert reported == [(4, 4)]


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def _flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-7] ^= 1
    path.write_bytes(content)


def _write_nonsense(path: Path) -> None:
    path.write_bytes(b"nonsense")


@pytest.mark.parametrize("damage", [_truncate, _flip_a_bit, _write_nonsense, Path.unlink])
@pytest.mark.parametrize("suffix", ["npy", "json"])
def test_a_damaged_entry_is_reported_and_rebuilt(market, tmp_path, decodings, damage, suffix):
    expected = np.array(_cached(market, tmp_path / "cache"))
    (path,) = (tmp_path / "cache").glob(f"*.{suffix}")
    damage(path)
    if suffix == "json" and damage is Path.unlink:
        assert np.array_equal(_cached(market, tmp_path / "cache"), expected)  # as if it had never been finished
    else:
        with pytest.warns(UserWarning, match="damaged cache of decoded images"):
            assert np.array_equal(_cached(market, tmp_path / "cache"), expected)
    assert len(decodings) == 8
    _cached(market, tmp_path / "cache")
    assert len(decodings) == 8


def test_an_entry_of_the_wrong_shape_is_not_trusted(market, tmp_path):
    expected = np.array(_cached(market, tmp_path / "cache"))
    (path,) = (tmp_path / "cache").glob("*.npy")
    np.save(path, expected.reshape(4, 6, 12, 3))
    record = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(record | {"blocks": list(cache.block_checksums(path, 1))}))
    with pytest.warns(UserWarning, match=r"holds uint8 of shape \(4, 6, 12, 3\)"):
        assert np.array_equal(_cached(market, tmp_path / "cache"), expected)


def test_what_a_killed_process_left_behind_is_overwritten(market, tmp_path):
    expected = np.array(_cached(market, tmp_path / "cache"))
    (path,) = (tmp_path / "cache").glob("*.npy")
    path.rename(path.with_suffix(".npy.tmp"))  # killed before the rename
    _truncate(path.with_suffix(".npy.tmp"))
    path.with_suffix(".json").unlink()
    assert np.array_equal(_cached(market, tmp_path / "cache"), expected)
    assert not list((tmp_path / "cache").glob("*.tmp"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty, or in no known image format"),
        (b"\xff\xd8\xff\xe0 is how a JPEG begins", "Truncated File Read"),
        (None, "image file is truncated"),
    ],
)
def test_an_unreadable_image_is_named_with_the_reason(market, tmp_path, content, reason, save_image):
    path = market / "bounding_box_train" / "0007_c1s1_000001_00.jpg"
    if content is None:
        save_image(path, size_px=(128, 64))
        content = path.read_bytes()[:-200]
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        _cached(market, tmp_path / "cache")
    assert str(path) in str(error.value)
    assert reason in str(error.value)
    assert [path.suffix for path in (tmp_path / "cache").iterdir() if path.suffix in {".npy", ".tmp", ".json"}] == []


def test_an_image_deleted_since_opening_is_named(market, tmp_path):
    split = _train(market)
    (market / "bounding_box_train" / "0007_c1s1_000001_00.jpg").unlink()
    with pytest.raises(InputError, match=r"0007_c1s1_000001_00\.jpg: cannot be read \(No such file or directory\)"):
        cached_images(split, market, 12, 6, tmp_path / "cache", workers=1)


def test_grey_palette_and_transparent_images_become_rgb(market, tmp_path):
    folder = market / "bounding_box_train"
    for name, mode in (("0011_c1s1_000001_00.jpg", "L"), ("0012_c1s1_000001_00.jpg", "P")):
        with Image.open(folder / "0002_c1s1_000002_00.jpg") as image:
            image.convert(mode).save(folder / name, format="PNG")
    images = _cached(market, tmp_path / "cache", 16, 8)
    grey = images[list(_train(market).identities).index(11)]
    assert np.array_equal(grey[..., 0], grey[..., 1])
    assert np.array_equal(grey[..., 1], grey[..., 2])


def test_a_disk_that_is_too_small_is_reported_before_anything_is_written(market, tmp_path, monkeypatch):
    usage = cache.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: usage._replace(free=100))
    with pytest.raises(InputError, match=r"decoded images of train need 0\.0 MB, 0\.0 MB are free"):
        _cached(market, tmp_path / "cache")


def test_a_disk_that_fills_up_is_reported_and_nothing_is_left_behind(market, tmp_path, monkeypatch):
    def full(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache, "_flush", full)
    with pytest.raises(InputError, match=r"cannot be written \(No space left on device\); it needs 0\.0 MB"):
        _cached(market, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.tmp"))


def test_a_cache_folder_that_cannot_be_created_is_reported(market, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(InputError, match="the cache of decoded images cannot be written"):
        _cached(market, tmp_path / "cache")


_ONE_PROCESS = """
import sys, time
from pathlib import Path
from harness.reid.data import cached_images, open_dataset
root, cache, ready, start = map(Path, sys.argv[1:])
split = open_dataset("market1501", root).splits["train"]
ready.touch()
while not start.exists():
    time.sleep(0.001)
reported = []
images = cached_images(split, root, 12, 6, cache, workers=2, progress=lambda done, total: reported.append(done))
print(len(reported), images.sum())
"""


def test_one_of_two_processes_decodes_and_the_other_waits(market, tmp_path):
    start, ready = tmp_path / "start", [tmp_path / "ready0", tmp_path / "ready1"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _ONE_PROCESS, market, tmp_path / "cache", mine, start],
            stdout=subprocess.PIPE,
            text=True,
        )
        for mine in ready
    ]
    while not all(path.exists() for path in ready):
        assert all(process.poll() is None for process in processes)
        time.sleep(0.01)
    start.touch()
    found = sorted(process.communicate(timeout=900)[0].split() for process in processes)
    total = str(_cached(market, tmp_path / "cache").sum())
    assert found == [["0", total], ["1", total]]


def test_only_one_of_many_threads_decodes(market, tmp_path, decodings):
    threads = [threading.Thread(target=_cached, args=(market, tmp_path / "cache")) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(decodings) == 4


def test_an_array_of_the_right_size_needs_no_cache(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 4, 3), dtype=np.uint8)
    split = Split("train", np.arange(3), arrays=pixels)
    assert cached_images(split, tmp_path, 8, 4, tmp_path / "cache", workers=1) is pixels
    assert cache_size_bytes(split, 8, 4) == 0
    assert not (tmp_path / "cache").exists()


def test_an_array_of_another_size_is_resized_and_cached(tmp_path):
    pixels = np.full((3, 8, 4, 3), (10, 20, 30), dtype=np.uint8)
    split = Split("train", np.arange(3), arrays=pixels)
    images = cached_images(split, tmp_path, 16, 8, tmp_path / "cache", workers=1)
    assert np.array_equal(images, np.broadcast_to(np.array([10, 20, 30], np.uint8), (3, 16, 8, 3)))
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 1
