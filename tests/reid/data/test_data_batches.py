import threading
import time
from itertools import islice

import numpy as np
import pytest
import torch

from harness.errors import InputError
from harness.reid.data import Split, cached_images, open_dataset
from harness.reid.data.augment import normalize
from harness.reid.data.batches import DecodingFeeder, ImageFeeder
from harness.reid.data.sampler import shuffled_batches

CPU = torch.device("cpu")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _reading() -> int:
    return sum(thread.name == "read-ahead" for thread in threading.enumerate())


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (20, 6, 4, 3), dtype=np.uint8)


@pytest.mark.parametrize("workers", [0, 1])
def test_the_three_ways_give_the_same_bytes(market, tmp_path, workers):
    split = open_dataset("market1501", market).splits["train"]
    decoded = cached_images(split, market, 12, 6, tmp_path / "cache", workers=1)
    labels = np.array([0, 0, 1, 1])
    indices = [np.array([3, 0]), np.array([1, 1, 2]), np.array([2])]
    resident = ImageFeeder(decoded, CPU, memory_limit_bytes=decoded.nbytes)
    streamed = ImageFeeder(decoded, CPU, memory_limit_bytes=decoded.nbytes - 1)
    files = DecodingFeeder(split, market, 12, 6, CPU, workers=workers)
    assert resident.resident
    assert not streamed.resident
    ways = [list(feeder.batches(indices, labels)) for feeder in (resident, streamed, files)]
    assert [len(way) for way in ways] == [3, 3, 3]
    for index, *batches in zip(indices, *ways, strict=True):
        for batch in batches:
            assert batch.images.dtype == torch.uint8
            assert batch.labels.dtype == torch.int64
            assert np.array_equal(batch.pixels().numpy(), decoded[index])
            assert batch.labels.tolist() == labels[index].tolist()
            finished = normalize(batch.images, MEAN, STD, rows=batch.rows)
            assert torch.equal(finished, normalize(torch.from_numpy(decoded[index]), MEAN, STD))


@pytest.mark.parametrize("limit", [0, 10**9])
def test_batches_of_a_matrix_of_indices_come_in_order(images, limit):
    indices = shuffled_batches(20, 6, torch.Generator().manual_seed(0))
    found = list(ImageFeeder(images, CPU, limit).batches(indices, np.arange(20)))
    assert np.array_equal(torch.stack([batch.labels for batch in found]).numpy(), indices)
    assert np.array_equal(torch.stack([batch.pixels() for batch in found]).numpy(), images[indices])


@pytest.mark.parametrize("limit", [0, 10**9])
def test_an_empty_plan_yields_no_batches(images, limit):
    assert list(ImageFeeder(images, CPU, limit).batches(np.zeros((0, 4), np.int64), np.arange(20))) == []


def test_memory_mapped_images_are_used_without_a_copy(images, tmp_path):
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    (batch,) = ImageFeeder(mapped, CPU, 0).batches([np.array([7, 3])], np.arange(20))
    assert batch.images.data_ptr() == mapped.ctypes.data
    assert np.array_equal(batch.pixels().numpy(), images[[7, 3]])


def test_the_reading_thread_ends_with_the_iteration(images):
    feeder = ImageFeeder(images, CPU, 0)
    indices = [np.array([0, 1])] * 50
    batches = feeder.batches(indices, np.arange(20))
    assert len(list(islice(batches, 3))) == 3
    assert _reading() == 1
    batches.close()  # what leaving a for loop does
    assert _reading() == 0
    assert len(list(feeder.batches(indices, np.arange(20)))) == 50
    assert _reading() == 0


def test_reading_ahead_of_the_consumer_is_bounded(images):
    started: list[int] = []

    class Watched(list):
        def __iter__(self):
            for index, batch in enumerate(super().__iter__()):
                started.append(index)
                yield batch

    batches = ImageFeeder(images, CPU, 0).batches(Watched([np.array([0])] * 50), np.arange(20))
    next(batches)
    deadline = time.monotonic() + 5
    while len(started) < 6 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(started) == 6  # one consumed, four queued, one being read
    batches.close()


def test_an_error_in_the_reading_thread_reaches_the_consumer(images):
    batches = ImageFeeder(images, CPU, 0).batches([np.array([0]), np.array([20])], np.arange(20))
    next(batches)
    with pytest.raises(IndexError):
        next(batches)
    assert _reading() == 0


def test_an_unreadable_image_is_named_by_every_way_of_decoding(market):
    split = open_dataset("market1501", market).splits["train"]
    (market / "bounding_box_train" / "0007_c1s1_000001_00.jpg").write_bytes(b"")
    feeder = DecodingFeeder(split, market, 12, 6, CPU, workers=0)
    with pytest.raises(InputError, match=r"0007_c1s1_000001_00\.jpg: cannot be read as an image"):
        list(feeder.batches([np.arange(4)], np.arange(4)))


def test_arrays_are_served_from_memory(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 6, 4, 3), dtype=np.uint8)
    feeder = DecodingFeeder(Split("train", np.arange(3), arrays=pixels), tmp_path, 6, 4, CPU, workers=0)
    (batch,) = feeder.batches([np.array([2, 0])], np.array([7, 8, 9]))
    assert np.array_equal(batch.pixels().numpy(), pixels[[2, 0]])
    assert batch.labels.tolist() == [9, 7]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("limit", [0, 10**9])
def test_batches_on_a_gpu_are_the_same(images, limit):
    indices = shuffled_batches(20, 6, torch.Generator().manual_seed(0))
    found = list(ImageFeeder(images, torch.device("cuda"), limit).batches(indices, np.arange(20)))
    assert np.array_equal(torch.stack([batch.pixels() for batch in found]).cpu().numpy(), images[indices])
