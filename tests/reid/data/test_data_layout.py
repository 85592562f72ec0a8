"""Custom layouts: what may be declared, and what is read with them."""

import doctest

import numpy as np
import pytest
from pydantic import ValidationError

from harness.errors import InputError
from harness.reid import layout
from harness.reid.data import held_out, known, naming, open_dataset, places, split_fingerprint
from harness.reid.data.known import find_dataset
from harness.reid.layout import LayoutSpec

SHOP = {
    "name": "shop",
    "splits": {"train": "train/*", "query": "query/*", "gallery": "gallery/*"},
    "pattern": "{identity:int}_c{camera:int}_{frame}.jpg",
}


def test_the_examples_in_the_docstrings_hold():
    for module in (layout, places, naming, known, held_out):
        assert doctest.testmod(module).failed == 0


@pytest.fixture
def shop(tmp_path, write_images):
    root = tmp_path / "photographs"
    write_images(root / "train", ["7_c1_a.jpg", "2_c2_b.jpg", "2_c1_c.JPG"])
    write_images(root / "query", ["3_c1_a.jpg"])
    write_images(root / "gallery", ["3_c2_a.jpg", "2_c2_a.jpg"])
    (root / "train" / "Thumbs.db").write_bytes(b"?")
    (root / "train" / ".hidden_c1_a.jpg").write_bytes(b"?")
    return root


def test_the_parts_of_a_name_are_read_and_other_files_are_skipped(shop):
    dataset = open_dataset(SHOP, shop)
    train = dataset.splits["train"]
    assert train.files == ("train/2_c1_c.JPG", "train/2_c2_b.jpg", "train/7_c1_a.jpg")
    assert (train.identities.tolist(), train.cameras.tolist()) == ([2, 2, 7], [1, 2, 1])
    assert dataset.name == "shop"
    assert dataset.notes[0] == (
        "as declared: train 3 images of 2 people, query 1 images of 1 people, gallery 2 images of 2 people"
    )


def test_a_declaration_survives_a_round_trip_through_pydantic(shop):
    spec = LayoutSpec.model_validate(SHOP)
    assert LayoutSpec.model_validate(spec.model_dump()) == spec
    assert open_dataset(spec, shop).splits["train"].files == open_dataset(SHOP, shop).splits["train"].files


def test_a_name_that_does_not_fit_is_an_error_that_names_it_and_the_pattern(shop):
    (shop / "query" / "4_cX_a.jpg").write_bytes(b"")
    with pytest.raises(InputError) as error:
        open_dataset(SHOP, shop)
    message = f"{shop / 'query' / '4_cX_a.jpg'}: no shop name; expected one like {SHOP['pattern']}"
    assert str(error.value) == message


def test_only_the_requested_splits_are_read(shop):
    (shop / "query" / "nonsense.jpg").write_bytes(b"")
    assert list(open_dataset(SHOP, shop, splits=("train",)).splits) == ["train"]


def test_a_missing_folder_is_named_with_what_the_layout_has(tmp_path, shop):
    for path in sorted((shop / "query").iterdir()):
        path.unlink()
    (shop / "query").rmdir()
    with pytest.raises(InputError, match="photographs: query missing; shop has train, query, gallery in one folder"):
        open_dataset(SHOP, shop)
    assert find_dataset(SHOP, [tmp_path / "absent", shop])[0] == shop
    shop.rename(tmp_path / "shop")
    assert find_dataset(SHOP, [tmp_path])[0] == tmp_path


def test_a_folder_per_identity_and_names_instead_of_numbers(tmp_path, write_images):
    """Names are numbered in order, those in training first: ann 1, zoe 2; then bob 3. Cameras from 0: door, hall."""
    spec = {
        "name": "friends",
        "splits": {"train": "train", "query": "query", "gallery": "gallery"},
        "pattern": "{identity}/{camera}-{frame}",
        "junk": {"identity": ["nobody"]},
        "distractors": {"identity": ["stranger"]},
    }
    write_images(tmp_path / "train" / "zoe", ["hall-1.png"])
    write_images(tmp_path / "train" / "ann", ["door-1.png", "hall-1.png"])
    write_images(tmp_path / "query" / "bob", ["hall-1.png"])
    write_images(tmp_path / "gallery" / "bob", ["door-1.png"])
    write_images(tmp_path / "gallery" / "ann", ["door-9.png"])
    write_images(tmp_path / "gallery" / "nobody", ["door-1.png"])
    write_images(tmp_path / "gallery" / "stranger", ["hall-1.png"])
    splits = open_dataset(spec, tmp_path).splits
    assert splits["train"].identities.tolist() == [1, 1, 2]
    assert splits["train"].cameras.tolist() == [0, 1, 1]
    assert splits["query"].identities.tolist() == [3]
    assert splits["gallery"].files == (
        "gallery/ann/door-9.png",
        "gallery/bob/door-1.png",
        "gallery/nobody/door-1.png",
        "gallery/stranger/hall-1.png",
    )
    assert splits["gallery"].identities.tolist() == [1, 3, -1, 0]
    alone = open_dataset(spec, tmp_path, splits=("query", "gallery")).splits
    for name in alone:
        assert split_fingerprint(alone[name], tmp_path, tmp_path / "index") == split_fingerprint(
            splits[name], tmp_path, tmp_path / "index"
        )


def test_lists_name_the_images_and_may_give_their_labels(tmp_path, write_images):
    write_images(tmp_path / "boxes" / "a b", ["one.jpg", "two.jpg"])
    write_images(tmp_path / "boxes", ["three_c5.jpg", "four_c6.jpg", "unlisted.jpg"])
    (tmp_path / "train.txt").write_text("a b/one.jpg 4 1\n\na b/two.jpg\t4  2\n")
    (tmp_path / "query.txt").write_text("three_c5.jpg 9 1\n")
    (tmp_path / "gallery.txt").write_text("four_c6.jpg 9 2\r\n")
    said = {"folder": "boxes", "line": "{file} {identity:int} {camera:int}"}
    spec = {
        "name": "listed",
        "splits": {name: {"list": f"{name}.txt", **said} for name in ("train", "query", "gallery")},
        "pattern": ["{any}"],
    }
    splits = open_dataset(spec, tmp_path).splits
    assert splits["train"].files == ("boxes/a b/one.jpg", "boxes/a b/two.jpg")
    assert (splits["train"].identities.tolist(), splits["train"].cameras.tolist()) == ([4, 4], [1, 2])
    assert splits["gallery"].cameras.tolist() == [2]
    for line, message in (
        ("three_c5.jpg nine 1", r'query\.txt:2: found "three_c5\.jpg nine 1", expected \{file\} \{identity:int\}'),
        ("../three_c5.jpg 9 1", r"query\.txt:2: .* outside the data set's folder"),
        ("three_c5.jpg 8 1", r"query\.txt:2: boxes/three_c5\.jpg is listed twice, with different labels"),
    ):
        (tmp_path / "query.txt").write_text(f"three_c5.jpg 9 1\n{line}\n")
        with pytest.raises(InputError, match=message):
            open_dataset(spec, tmp_path)
    (tmp_path / "query.txt").write_bytes(b"three_c5.jpg 9 1\n\xff 9 1\n")
    with pytest.raises(InputError, match=r"query\.txt:2: found the byte 0xff, expected UTF-8 text"):
        open_dataset(spec, tmp_path)


def test_the_first_matching_pattern_of_several_is_used(tmp_path, write_images):
    write_images(tmp_path / "train", ["5_c1.jpg", "cam2-p6.jpg"])
    spec = {
        **SHOP,
        "splits": {"train": "train/*"},
        "pattern": ["{identity:int}_c{camera:int}", "cam{camera:int}-p{identity:int}"],
    }
    train = open_dataset(spec, tmp_path, splits=("train",)).splits["train"]
    assert (train.identities.tolist(), train.cameras.tolist()) == ([5, 6], [1, 2])


def test_images_with_other_suffixes_are_reported_and_not_read(shop):
    (shop / "train" / "9_c1_a.png").write_bytes(b"?")
    dataset = open_dataset({**SHOP, "pattern": "{identity:int}_c{camera:int}_{frame}", "suffixes": [".jpg"]}, shop)
    assert len(dataset.splits["train"]) == 3
    assert "1 file passed over, named like an image but with another suffix: train/9_c1_a.png" in dataset.notes


def test_distractors_declared_by_folder_need_no_labelled_name(shop, write_images):
    write_images(shop / "extra", ["00001.jpg", "2_c9_a.jpg"])
    spec = {
        **SHOP,
        "splits": {**SHOP["splits"], "gallery": ["gallery/*", "extra/*"]},
        "distractors": {"files": "extra/*"},
    }
    gallery = open_dataset(spec, shop).splits["gallery"]
    assert gallery.files == ("extra/00001.jpg", "extra/2_c9_a.jpg", "gallery/2_c2_a.jpg", "gallery/3_c2_a.jpg")
    assert gallery.identities.tolist() == [0, 0, 2, 3]


def test_an_undeclared_identity_0_is_reported_with_both_remedies(shop, write_images):
    write_images(shop / "gallery", ["0_c3_a.jpg"])
    with pytest.raises(
        InputError, match=r"0_c3_a\.jpg: identity 0 .* declare distractors: \{identity: \[0\]\}, or write"
    ):
        open_dataset(SHOP, shop)
    marked = open_dataset({**SHOP, "distractors": {"identity": [0]}}, shop).splits["gallery"]
    assert marked.identities.tolist() == [0, 2, 3]
    named = open_dataset({**SHOP, "pattern": "{identity}_c{camera:int}_{frame}.jpg"}, shop).splits["gallery"]
    assert named.identities.tolist() == [3, 1, 4]  # in training 2 and 7, then 0 and 3


def test_the_same_number_in_training_and_test_may_be_two_people(tmp_path, write_images):
    """In training 0 and 1 become 1 and 2, in test 0 and 1 become 3 and 4."""
    write_images(tmp_path / "train", ["0_c1_a.jpg", "1_c1_a.jpg"])
    write_images(tmp_path / "query", ["0_c1_a.jpg", "1_c1_a.jpg"])
    write_images(tmp_path / "gallery", ["0_c2_a.jpg", "1_c2_a.jpg"])
    dataset = open_dataset({**SHOP, "apart": True}, tmp_path)
    assert [split.identities.tolist() for split in dataset.splits.values()] == [[1, 2], [3, 4], [3, 4]]
    assert not any("in training and in test" in note for note in dataset.notes)


@pytest.fixture
def plain(tmp_path, write_images):
    """One folder: six people, each by two cameras, twice."""
    names = [f"p{who}-cam{camera}-{shot}.jpg" for who in range(6) for camera in (1, 2) for shot in (1, 2)]
    return write_images(tmp_path / "plain", [*names, "p9-cam1-1.jpg"])


DRAWN = {
    "name": "plain",
    "splits": {"all": "*"},
    "pattern": "{identity}-cam{camera:int}-{frame}",
    "distractors": {"identity": ["p9"]},
    "draw": {"share": 0.5, "seed": 3},
}


def test_a_plain_folder_is_split_by_identity_so_that_every_query_has_a_match(plain):
    dataset = open_dataset(DRAWN, plain)
    train, query, gallery = (dataset.splits[name] for name in ("train", "query", "gallery"))
    assert len(train) == 3 * 4
    assert not set(train.identities) & set(query.identities)
    assert set(query.identities) == set(gallery.identities) - {0}
    assert len(query) + len(gallery) == 3 * 4 + 1
    assert not set(query.files) & set(gallery.files)
    assert (gallery.identities == 0).sum() == 1  # the distractor is never trained on
    assert dataset.notes[0].startswith("drawn, share 0.5, seed 3: train 12 images of 3 people, query")


def test_the_same_seed_draws_the_same_and_another_seed_another(plain):
    first, again = (open_dataset(DRAWN, plain).splits for _ in range(2))
    other = open_dataset({**DRAWN, "draw": {"share": 0.5, "seed": 4}}, plain).splits
    assert {name: split.files for name, split in first.items()} == {name: split.files for name, split in again.items()}
    assert first["train"].files != other["train"].files
    alone = open_dataset(DRAWN, plain, splits=("train",)).splits["train"]
    assert alone.files == first["train"].files
    assert np.array_equal(alone.identities, first["train"].identities)


def test_classes_are_numbered_from_0_by_their_names(tmp_path, write_images):
    for split, classes in (("train", ("cat", "ant")), ("test", ("bee", "cat"))):
        for kind in classes:
            write_images(tmp_path / split / kind, ["1.png", "2.png"])
    spec = {
        "name": "animals",
        "task": "classification",
        "splits": {"train": "train", "test": "test"},
        "pattern": "{identity}/{frame}",
    }
    dataset = open_dataset(spec, tmp_path)
    assert dataset.class_names == ("ant", "cat", "bee")
    assert dataset.splits["train"].identities.tolist() == [0, 0, 1, 1]
    assert dataset.splits["test"].identities.tolist() == [2, 2, 1, 1]
    drawn = open_dataset({**spec, "splits": {"all": "train"}}, tmp_path)
    assert [len(split) for split in drawn.splits.values()] == [2, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pattern": "{identty}"}, 'did you mean "identity"'),
        ({"pattern": "{identity:number}"}, r"expected \{identity\} or \{identity:int\}"),
        ({"pattern": "{identity}{camera}"}, "separates {camera} from the part before it"),
        ({"pattern": "{identity}_{identity}"}, "twice"),
        ({"pattern": "{camera:int}_{frame}"}, "has no {identity}"),
        ({"pattern": "{identity"}, "brace without its other half"),
        ({"pattern": ["{identity}_{camera}", "{identity}"]}, "has no {camera}, which the others have"),
        ({"pattern": []}, "found an empty list"),
        ({"suffixes": [".jgp"]}, 'did you mean ".jpg"'),
        ({"name": "my shop"}, "letters, digits"),
        ({"splits": {"train": "train/*", "query": "query/*"}}, "no gallery"),
        ({"splits": {"train": "train/*", "test": "test/*"}}, "a reid set has no such split"),
        ({"splits": {"all": "*", "train": "train/*"}}, "expected all alone"),
        ({"splits": {"all": "*"}, "apart": True}, "drawn by identity"),
        ({"draw": {"seed": 1}}, "nothing to draw from"),
        ({"splits": {"train": "../train/*"}}, "inside the data set's folder"),
        ({"splits": {"train": {"files": "a", "list": "b"}}}, "expected either files"),
        ({"splits": {"train": {"files": "a", "line": "{file} {identity}"}}}, "belongs to a list"),
        ({"splits": {"train": {"list": "b", "line": "{identity}"}}}, "has no {file}"),
    ],
)
def test_an_impossible_layout_is_refused_with_the_reason(change, message):
    with pytest.raises(
        ValidationError,
        match=message.replace("{camera}", r"\{camera\}")
        .replace("{file}", r"\{file\}")
        .replace("no {identity}", r"no \{identity\}"),
    ):
        LayoutSpec.model_validate({**SHOP, **change})


def test_a_layout_under_the_name_of_a_known_set_is_refused(shop):
    with pytest.raises(InputError, match='"market1501" is the name of a known data set; give your own layout another'):
        open_dataset({**SHOP, "name": "market1501"}, shop)
