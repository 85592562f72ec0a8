"""Which boxes are planned: counts, names, identities, cameras. Nothing is rendered, so the full sets are cheap."""

import re
from collections import Counter, defaultdict
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import InputError
from harness.reid.data.synthetic.appearance import appearance_of
from harness.reid.data.synthetic.plan import (
    DUKEMTMC,
    GALLERY,
    MARKET1501,
    QUERY,
    TRAIN,
    Box,
    Kind,
    Layout,
    apportion,
    plan_boxes,
)
from harness.reid.data.synthetic.randomness import Purpose, stream

RELEASED_NAMES = {
    "market1501": re.compile(r"(-1|\d{4})_c([1-6])s(\d+)_(\d{6})_(\d{2})\.jpg"),
    "dukemtmc-reid": re.compile(r"(\d{4})_c([1-8])_f(\d{7})\.jpg"),
}
LAYOUTS = pytest.mark.parametrize("layout", [MARKET1501, DUKEMTMC], ids=lambda layout: layout.name)


def pid_of(box: Box) -> int:
    return int(box.name.split("_")[0])


def people_in(boxes: list[Box], folder: str) -> set[int]:
    return {pid_of(box) for box in boxes if box.folder == folder and pid_of(box) > 0}


def test_the_full_market_set_has_the_released_counts() -> None:
    boxes = plan_boxes(MARKET1501, MARKET1501.released, seed=0)
    assert Counter(box.folder for box in boxes) == {TRAIN: 12_936, QUERY: 3_368, GALLERY: 19_732}
    gallery = Counter(max(-1, min(1, pid_of(box))) for box in boxes if box.folder == GALLERY)
    assert gallery == {1: 13_115, 0: 2_798, -1: 3_819}
    assert [len(people_in(boxes, folder)) for folder in (TRAIN, QUERY, GALLERY)] == [751, 750, 750]
    assert len({(box.folder, box.name) for box in boxes}) == len(boxes)


def test_the_full_duke_set_has_the_released_counts() -> None:
    boxes = plan_boxes(DUKEMTMC, DUKEMTMC.released, seed=0)
    assert Counter(box.folder for box in boxes) == {TRAIN: 16_522, QUERY: 2_228, GALLERY: 17_661}
    assert [len(people_in(boxes, folder)) for folder in (TRAIN, QUERY, GALLERY)] == [702, 702, 1_110]
    alone = people_in(boxes, GALLERY) - people_in(boxes, QUERY)
    seen = defaultdict(set)
    for box in boxes:
        seen[pid_of(box)].add(box.camera)
    assert len(alone) == 408
    assert all(len(seen[pid]) == 1 for pid in alone)


@LAYOUTS
@settings(max_examples=15, deadline=None)
@given(identities=st.integers(6, 80), seed=st.integers(0, 2**32 - 1))
def test_a_small_set_is_a_sound_benchmark(layout: Layout, identities: int, seed: int) -> None:
    counts = layout.counts(identities)
    boxes = plan_boxes(layout, counts, seed)
    assert counts.identities == identities
    assert Counter(box.folder for box in boxes) == counts.by_folder
    assert len({box.name for box in boxes}) == len(boxes)
    assert not people_in(boxes, TRAIN) & people_in(boxes, GALLERY)
    queries = Counter((pid_of(box), box.camera) for box in boxes if box.folder == QUERY)
    assert set(queries.values()) == {1}
    labelled = {(pid_of(box), box.camera) for box in boxes if box.folder == GALLERY}
    for pid, camera in queries:
        assert any((pid, other) in labelled for other in range(1, layout.cameras + 1) if other != camera)
    for box in boxes:
        match = RELEASED_NAMES[layout.name].fullmatch(box.name)
        assert match is not None
        assert int(match[2]) == box.camera
        assert (pid_of(box) > 0) == (box.kind == Kind.PERSON)
        assert box.kind == Kind.PERSON or box.folder == GALLERY


@LAYOUTS
def test_training_identities_are_seen_by_several_cameras(layout: Layout) -> None:
    seen = defaultdict(set)
    for box in plan_boxes(layout, layout.counts(60), seed=3):
        if box.folder == TRAIN:
            seen[pid_of(box)].add(box.camera)
    assert min(map(len, seen.values())) >= 2
    assert len(set(map(len, seen.values()))) > 1


def test_market_boxes_have_one_size_and_duke_boxes_have_many() -> None:
    market = {box.size_px for box in plan_boxes(MARKET1501, MARKET1501.counts(20), seed=0)}
    duke = {box.size_px for box in plan_boxes(DUKEMTMC, DUKEMTMC.counts(20), seed=0)}
    assert market == {(64, 128)}
    assert len(duke) > 50
    assert all(0.3 < width / height < 0.6 for width, height in duke)


@LAYOUTS
@pytest.mark.parametrize("identities", [-1, 5, 10_000])
def test_impossible_numbers_of_identities_are_refused(layout: Layout, identities: int) -> None:
    with pytest.raises(InputError, match=f"identities: found {identities}, expected 6 to 9999"):
        layout.counts(identities)


def test_a_fifth_of_the_identities_are_siblings_within_their_split() -> None:
    boxes = plan_boxes(MARKET1501, MARKET1501.counts(200), seed=0)
    people = {box.person for box in boxes if box.kind == Kind.PERSON}
    siblings = [person for person in people if person.sibling_of is not None]
    assert len(siblings) == 20  # each with one other: 40 of 200 share all but a detail
    train = people_in(boxes, TRAIN)
    assert all((person.number in train) == (person.sibling_of in train) for person in siblings)


@given(seed=st.integers(0, 2**32 - 1), number=st.integers(1, 9999))
def test_siblings_differ_in_one_detail_and_strangers_in_many(seed: int, number: int) -> None:
    def unlike(one: int, other: int, sibling_of: int | None) -> int:
        looks = appearance_of(seed, one, None), appearance_of(seed, other, sibling_of)
        return sum(getattr(looks[0], field.name) != getattr(looks[1], field.name) for field in fields(looks[0]))

    assert unlike(number, number + 1, number) == 1
    assert unlike(number, number + 1, None) > 4


@given(data=st.data(), parts=st.integers(1, 40), low=st.integers(0, 3), spread=st.integers(0, 20))
def test_apportioned_parts_keep_their_sum_and_bounds(data: st.DataObject, parts: int, low: int, spread: int) -> None:
    total = data.draw(st.integers(parts * low, parts * (low + spread)))
    shares = apportion(total, parts, low, low + spread, np.random.default_rng(0))
    assert sum(shares) == total
    assert len(shares) == parts
    assert all(low <= share <= low + spread for share in shares)


def test_streams_differ_by_purpose_and_key_even_by_zeros() -> None:
    keys = [(Purpose.PLAN,), (Purpose.TRACK, 1), (Purpose.TRACK, 1, 1), (Purpose.TRACK, 0, 1), (Purpose.BOX, 1)]
    firsts = [stream(0, *key).integers(2**62) for key in keys] + [stream(1, Purpose.PLAN).integers(2**62)]
    assert len(set(firsts)) == len(firsts)
    assert stream(0, Purpose.PLAN).integers(2**62) == firsts[0]
