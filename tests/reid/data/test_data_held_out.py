from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import InputError
from harness.reid.data import Dataset, Split, held_out_split, open_dataset
from harness.reid.data.protocol import has_match


def _dataset(boxes: list[tuple[int, int]]) -> Dataset:
    """A data set with training images only: one for each (identity, camera) in ``boxes``."""
    files = [f"{index:04d}.jpg" for index in range(len(boxes))]
    identities, cameras = [box[0] for box in boxes], [box[1] for box in boxes]
    return Dataset("market1501", Path("set"), {"train": Split.of_files("train", files, identities, cameras)}, "reid")


def _slow_match(query: Split, gallery: Split) -> list[bool]:
    assert query.cameras is not None
    assert gallery.cameras is not None
    gallery_boxes = list(zip(gallery.identities, gallery.cameras, strict=True))
    boxes = zip(query.identities, query.cameras, strict=True)
    return [any(i == gi and c != gc for gi, gc in gallery_boxes) for i, c in boxes]


_BOXES = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 4)), min_size=2, max_size=40)


@given(boxes=_BOXES, share=st.floats(0.05, 0.9), seed=st.integers(0, 5))
def test_held_out_people_are_divided_into_queries_that_all_have_a_match(boxes, share, seed):
    dataset = _dataset(boxes)
    train = dataset.splits["train"]
    try:
        held = held_out_split(dataset, share, seed)
    except InputError:
        return  # too few people, or none seen twice
    query, gallery = held.splits["query"], held.splits["gallery"]
    files = [held.splits[name].files for name in ("train", "query", "gallery")]
    assert sorted(file for part in files for file in part or ()) == list(train.files or ())
    people = set(query.identities) | set(gallery.identities)
    assert not people & set(held.splits["train"].identities)
    assert len(people) == max(1, round(share * len(np.unique(train.identities))))
    assert query.cameras is not None
    pairs = list(zip(query.identities, query.cameras, strict=True))
    assert len(pairs) == len(set(pairs))  # one query per identity and camera
    if len({camera for _, camera in boxes}) > 1:
        assert all(_slow_match(query, gallery))


@given(boxes=_BOXES, share=st.floats(0.3, 0.9), seed=st.integers(0, 5))
def test_the_two_parts_share_the_training_and_no_person(boxes, share, seed):
    dataset = _dataset(boxes)
    try:
        choose, confirm = (held_out_split(dataset, share, seed, part) for part in ("choose", "confirm"))
    except InputError:
        return  # too few people, or nobody in a half seen twice: then neither part is made
    whole = held_out_split(dataset, share, seed)
    assert choose.splits["train"].files == confirm.splits["train"].files == whole.splits["train"].files
    people = [
        set(part.splits["query"].identities) | set(part.splits["gallery"].identities)
        for part in (choose, confirm, whole)
    ]
    assert not people[0] & people[1]
    assert people[0] | people[1] == people[2]
    assert 0 <= len(people[0]) - len(people[1]) <= 1
    for part in (choose, confirm):
        assert part.splits["query"].cameras is not None
        if len({camera for _, camera in boxes}) > 1:
            assert all(_slow_match(part.splits["query"], part.splits["gallery"]))


def test_a_half_unusable_for_confirmation_is_reported_before_anything_is_chosen():
    boxes = [(identity, camera) for identity in (1, 2) for camera in (1, 2)] + [(identity, 1) for identity in (3, 4)]
    seed = next(seed for seed in range(50) if set(np.random.default_rng(seed).permutation([1, 2, 3, 4])[:2]) == {2, 4})
    for part in ("choose", "confirm"):
        with pytest.raises(InputError, match=r"none of the 1 held-out training identities to (choose|confirm) on was"):
            held_out_split(_dataset(boxes), 0.5, seed, part)
    with pytest.raises(InputError, match="0 held-out training identities to confirm on"):
        held_out_split(_dataset([(1, 1), (1, 2), (2, 1), (2, 2)]), 0.5, 0, "choose")


@given(query=_BOXES, gallery=_BOXES)
def test_has_match_agrees_with_looking_at_every_pair(query, gallery):
    one, other = _dataset(query).splits["train"], _dataset(gallery).splits["train"]
    if len({camera for _, camera in (*query, *gallery)}) == 1:
        expected = [identity in {other for other, _ in gallery} for identity, _ in query]
    else:
        expected = _slow_match(one, other)
    assert has_match(one, other).tolist() == expected


@pytest.mark.parametrize(
    ("cameras", "queries"),
    [
        ([1, 1, 2, 2], [1, 2]),  # each camera provides a query and keeps one image for the other
        ([1, 2], [2]),  # one provides the query, the other the match
        ([1, 1, 2], [2]),  # camera 1 keeps both: its query would have no match once camera 2 gave its image
        ([1, 1, 2, 2, 3], [1, 2, 3]),
        ([1, 1, 1], []),  # seen by one camera: no query can be answered
    ],
)
def test_which_cameras_provide_queries(cameras, queries):
    # Identity 9 is trained on; the seed is one that holds out identity 1.
    dataset = _dataset([(1, camera) for camera in cameras] + [(9, 5)])
    seed = next(seed for seed in range(99) if np.random.default_rng(seed).permutation([1, 9])[0] == 1)
    if not queries:
        with pytest.raises(InputError, match="was seen twice by different cameras"):
            held_out_split(dataset, 0.5, seed)
        return
    query = held_out_split(dataset, 0.5, seed).splits["query"]
    assert query.cameras is not None
    assert query.cameras.tolist() == queries


def test_the_division_depends_on_the_seed_alone():
    boxes = [(identity, camera) for identity in range(1, 21) for camera in (1, 1, 2, 2, 3)]
    first, again, other = (held_out_split(_dataset(boxes), 0.25, seed) for seed in (3, 3, 4))
    assert first.splits["query"].files == again.splits["query"].files
    assert first.splits["query"].files != other.splits["query"].files
    assert first.notes[-1] == (
        "scored on 5 of 20 training identities, held out (15 queries, 10 gallery images), seed 3; "
        "the test images are not used"
    )


def test_photographs_of_one_camera_are_divided_too():
    held = held_out_split(_dataset([(identity, 1) for identity in (1, 1, 2, 2)]), 0.5, 0)
    assert len(held.splits["query"]) == len(held.splits["gallery"]) == 1


@pytest.mark.parametrize(
    ("boxes", "share", "message"),
    [
        ([(1, 1), (1, 2)], 0.5, "cannot hold out 0.5 of 1 training identities and train on the rest"),
        ([(1, 1), (2, 2)], 0.5, "none of the 1 held-out training identities was seen twice by different cameras"),
        ([(1, 1), (2, 2)], 1.5, "held-out share 1.5: expected a value between 0 and 1"),
    ],
)
def test_too_few_images_to_divide_are_reported(boxes, share, message):
    with pytest.raises(InputError, match=message):
        held_out_split(_dataset(boxes), share, 0)


def test_the_test_folders_are_not_needed(market):
    for folder in ("query", "bounding_box_test"):
        for path in (market / folder).iterdir():
            path.unlink()
        (market / folder).rmdir()
    held = held_out_split(open_dataset("market1501", market, splits=("train",)), 0.5, 0)
    assert len(held.splits["train"]) == 2
    assert len(held.splits["query"]) == len(held.splits["gallery"]) == 1


def test_every_class_is_trained_and_gives_up_its_share_of_images():
    identities = np.repeat(np.arange(3), 10)
    arrays = np.arange(30, dtype=np.uint8)[:, None, None, None].repeat(3, axis=3)
    train = Split("train", identities, arrays=arrays)
    held = held_out_split(Dataset("cifar100", Path("set"), {"train": train}, "classification"), 0.2, 0)
    assert np.bincount(held.splits["test"].identities).tolist() == [2, 2, 2]
    assert np.bincount(held.splits["train"].identities).tolist() == [8, 8, 8]
    parts = [held.splits[name].arrays for name in ("train", "test")]
    assert sorted(int(image[0, 0, 0]) for part in parts if part is not None for image in part) == list(range(30))


def test_the_two_parts_of_classes_share_the_training_and_no_image():
    arrays = np.arange(30, dtype=np.uint8)[:, None, None, None].repeat(3, axis=3)
    train = Split("train", np.repeat(np.arange(3), 10), arrays=arrays)
    dataset = Dataset("cifar100", Path("set"), {"train": train}, "classification")
    choose, confirm, whole = (held_out_split(dataset, 0.4, 0, part) for part in ("choose", "confirm", None))
    for part in (choose, confirm):
        assert np.bincount(part.splits["test"].identities).tolist() == [2, 2, 2]
        np.testing.assert_array_equal(part.splits["train"].arrays, whole.splits["train"].arrays)
    images = [{int(image[0, 0, 0]) for image in part.splits["test"].arrays} for part in (choose, confirm, whole)]
    assert not images[0] & images[1]
    assert images[0] | images[1] == images[2]
    with pytest.raises(InputError, match=r"holding out 0\.1 of the 10 training images of class 0 leaves one, and a"):
        held_out_split(dataset, 0.1, 0, "choose")


def test_a_class_too_small_to_divide_is_reported():
    train = Split("train", np.zeros(2, np.int64), arrays=np.zeros((2, 1, 1, 3), np.uint8))
    with pytest.raises(InputError, match=r"cannot hold out 0\.1 of the 2 training images of class 0"):
        held_out_split(Dataset("cifar100", Path("set"), {"train": train}, "classification"), 0.1, 0)
