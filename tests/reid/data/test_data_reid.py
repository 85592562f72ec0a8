import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.errors import InputError
from harness.reid.data import open_dataset
from harness.reid.data.dataset import SYNTHETIC_RECORD
from harness.reid.data.declared import read_declared as read_reid
from harness.reid.data.known import DATASETS, find_dataset, recognise
from harness.reid.data.releases import DUKEMTMC_REID, MARKET1501
from harness.reid.data.synthetic.folder import RECORD


def test_files_are_sorted_and_carry_the_identity_and_camera_of_their_names(market):
    dataset = open_dataset("market1501", market)
    train = dataset.splits["train"]
    assert train.files == (
        "bounding_box_train/0002_c1s1_000002_00.jpg",
        "bounding_box_train/0002_c2s1_000003_00.jpg",
        "bounding_box_train/0007_c1s1_000001_00.jpg",
        "bounding_box_train/0007_c3s1_000004_00.jpg",
    )
    assert train.identities.tolist() == [2, 2, 7, 7]
    assert train.cameras is not None
    assert train.cameras.tolist() == [1, 2, 1, 3]
    assert dataset.splits["gallery"].identities.tolist() == [-1, 0, 3, 5, 5]
    assert dataset.task == "reid"
    assert dataset.root == market
    assert not dataset.synthetic


def test_a_set_whose_counts_differ_from_the_release_is_accepted_with_a_note(market):
    (note,) = open_dataset("market1501", market).notes
    assert note == (
        "not the release: train 4 images of 2 people, query 2 images of 2 people, gallery 5 images of 2 people"
    )


@pytest.mark.parametrize(
    "inner",
    ["", "market1501", "Market-1501-v15.09.15", "Market-1501", "market1501/Market-1501-v15.09.15", "MARKET_1501"],
)
def test_the_set_is_found_in_the_folder_or_in_a_subfolder_of_its_name(market, tmp_path, inner):
    outer = tmp_path / "data"
    place = outer / inner
    place.parent.mkdir(parents=True, exist_ok=True)
    (place / "x").mkdir(parents=True)
    for part in market.iterdir():
        shutil.copytree(part, place / part.name)
    if inner.endswith("15.09.15"):  # the release's own folder must hold the release unless it says that it is generated
        (place / SYNTHETIC_RECORD).write_text("{}")
    assert open_dataset("market1501", outer).root == place


def test_a_split_folder_leads_to_the_folder_around_it(market):
    assert open_dataset("market1501", market / "query").root == market


def test_two_folders_that_both_hold_the_set_are_ambiguous(market, tmp_path):
    shutil.copytree(market, tmp_path / "data" / "market1501")
    shutil.copytree(market, tmp_path / "data" / "Market")
    with pytest.raises(InputError, match="both hold market1501; name the one that you mean"):
        open_dataset("market1501", tmp_path / "data")


def test_a_missing_folder_is_reported_with_the_nearest_name(market):
    with pytest.raises(InputError, match=r'photograph: there is no such folder .*; did you mean "photographs"\?'):
        open_dataset("market1501", market.parent / "photograph")


def test_a_file_in_place_of_the_folder_is_reported(market):
    with pytest.raises(InputError, match=r"0003_c1s1_000001_00\.jpg: is a file, expected the folder of market1501"):
        open_dataset("market1501", market / "query" / "0003_c1s1_000001_00.jpg")


def test_a_wrong_folder_is_reported_with_every_place_searched(tmp_path):
    (tmp_path / "market1501").mkdir()
    with pytest.raises(InputError) as error:
        open_dataset("market1501", tmp_path)
    assert f"not found in {tmp_path}, {tmp_path / 'market1501'}:" in str(error.value)
    assert "expected a folder with bounding_box_train, query, bounding_box_test" in str(error.value)


def test_an_archive_that_was_not_unpacked_is_reported(tmp_path):
    (tmp_path / "Market-1501-v15.09.15.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"Market-1501-v15\.09\.15\.zip is there: unpack it"):
        open_dataset("market1501", tmp_path)


def test_a_missing_split_folder_is_named(market):
    shutil.rmtree(market / "query")
    with pytest.raises(InputError, match="photographs: query missing; market1501 has bounding_box_train, query"):
        open_dataset("market1501", market)


def test_the_training_split_can_be_opened_without_the_test_folders(market):
    shutil.rmtree(market / "query")
    shutil.rmtree(market / "bounding_box_test")
    assert list(open_dataset("market1501", market, splits=("train",)).splits) == ["train"]


@pytest.mark.parametrize(
    "name",
    [
        "-2_c1s1_000451_03.jpg",
        "0002_c1_000451_03.jpg",
        "0002_cXs1_000451_03.jpg",
        "0002_c1s1_000451_03 (copy).jpg",
        "٠٠٠٢_c1s1_000451_03.jpg",  # digits, but not ASCII
        f"{'9' * 19}_c1s1_000451_03.jpg",  # more than an int64 holds
        f"0002_c{'9' * 19}s1_000451_03.jpg",
    ],
)
def test_a_misnamed_image_is_an_error_that_names_it(market, name):
    (market / "bounding_box_train" / name).write_bytes(b"")
    with pytest.raises(InputError) as error:
        open_dataset("market1501", market)
    assert str(market / "bounding_box_train" / name) in str(error.value)
    assert "0002_c1s1_000451_03.jpg (identity or -1, camera, sequence, frame, box; any" in str(error.value)


def test_misnamed_images_in_one_folder_are_reported_as_one_problem(market):
    for name in ("d.jpg", "b.jpg", "c.jpg", "a.jpg"):
        (market / "query" / name).write_bytes(b"")
    (market / "bounding_box_test" / "e.jpg").write_bytes(b"")
    with pytest.raises(
        InputError, match=r"query: 4 images \(a\.jpg, b\.jpg, c\.jpg and 1 more\): no .*\(and 1 more such"
    ):
        open_dataset("market1501", market)


@pytest.mark.parametrize(
    ("dataset", "name", "identity", "camera"),
    [
        ("market1501", "0002_c9s1_000451_03.jpg", 2, 9),
        ("market1501", "0002_c0s1_000451_03.jpg", 2, 0),
        ("market1501", "0002_c12s1_000000_00.jpg", 2, 12),
        ("market1501", "12345_c1s1_000451_03.jpg", 12345, 1),
        ("market1501", f"{10**17}_c1s1_000451_03.jpg", 10**17, 1),
        ("market1501", "7_c1s1_1_1.jpg", 7, 1),
        ("market1501", "0002_c1s1_000451_03.jpeg", 2, 1),
        ("market1501", "0002_c1s1_000451_03.JPG", 2, 1),
        ("market1501", "0002_c1s1_000451_03.PnG", 2, 1),
        ("market1501", "0002_c1s1_000451_03.jfif", 2, 1),
        ("dukemtmc-reid", "0002_c12_f0046985.jpg", 2, 12),
        ("dukemtmc-reid", "12345_c1_f0046985.jpg", 12345, 1),
        ("dukemtmc-reid", "0002_c1_f46985.JPEG", 2, 1),
    ],
)
def test_names_of_a_custom_set_are_read_and_reported_in_one_note(
    tmp_path, write_images, dataset, name, identity, camera
):
    """The stricter naming binds the release alone: a custom set may use any digits, camera and suffix."""
    usual = "{}_c{}s1_000001_00.jpg" if dataset == "market1501" else "{}_c{}_f0000001.jpg"
    write_images(tmp_path / "bounding_box_train", [usual.format("0001", 1)])
    (tmp_path / "bounding_box_train" / name).write_bytes(b"")
    write_images(tmp_path / "query", [usual.format("0009", 1)])
    write_images(tmp_path / "bounding_box_test", [usual.format("0009", 2)])
    opened = open_dataset(dataset, tmp_path)
    train = opened.splits["train"]
    place = train.files.index(f"bounding_box_train/{name}")
    assert train.cameras is not None
    assert (train.identities[place], train.cameras[place]) == (identity, camera)
    counts, own = opened.notes
    assert counts.startswith("not the release")
    assert own.startswith("1 of 4 names are not as in the release (identities of four digits")
    assert own.endswith(f": bounding_box_train/{name}")
    assert recognise(tmp_path) == dataset


def test_the_gallery_of_a_custom_set_may_hold_a_junk_box_in_either_layout(tmp_path, write_images):
    write_images(tmp_path / "bounding_box_train", ["0001_c1_f0000001.jpg"])
    write_images(tmp_path / "query", ["0009_c1_f0000001.jpg"])
    write_images(tmp_path / "bounding_box_test", ["0009_c7_f0000002.jpg", "-1_c7_f0000002.jpg"])
    assert open_dataset("dukemtmc-reid", tmp_path).splits["gallery"].identities.tolist() == [-1, 9]


def test_names_unlike_the_release_give_one_note_however_many_there_are(market, write_images):
    write_images(market / "bounding_box_train", [f"{identity:05d}_c12s1_000000_00.png" for identity in range(1, 292)])
    notes = open_dataset("market1501", market).notes
    assert len(notes) == 2 + 1  # the counts, the names, and identities in training and in test
    assert notes[1] == (
        "291 of 302 names are not as in the release (identities of four digits or -1, cameras 1 to 6, .jpg): "
        "bounding_box_train/00001_c12s1_000000_00.png, bounding_box_train/00002_c12s1_000000_00.png, "
        "bounding_box_train/00003_c12s1_000000_00.png and 288 more"
    )


def test_a_folder_that_claims_to_be_the_release_must_have_its_names(market):
    image = market / "query" / "0003_c1s1_000001_00.jpg"
    image.rename(image.with_suffix(".JPG"))
    release = replace(MARKET1501, official={"train": (4, 2), "query": (2, 2), "gallery": (5, 2)})
    (problem,) = read_reid(release, market.rename(market.parent / release.folder), ("query",)).problems
    assert "1 of 2 names are not as in the release" in problem
    assert problem.endswith("your own data set needs a folder name other than Market-1501-v15.09.15")


def test_a_file_named_like_an_image_with_another_suffix_is_reported(market):
    for name in ("0002_c1s1_000002_00.heic", "0002_c1s1_000002_00.json"):
        (market / "bounding_box_train" / name).write_bytes(b"?")
    opened = open_dataset("market1501", market)
    assert len(opened.splits["train"]) == 4
    assert opened.notes[1] == (
        "2 files passed over, named like an image but with another suffix: "
        "bounding_box_train/0002_c1s1_000002_00.heic, bounding_box_train/0002_c1s1_000002_00.json"
    )


def test_files_that_are_not_images_are_skipped(market):
    for name in ("Thumbs.db", ".DS_Store", "._0002_c1s1_000002_00.jpg", "notes.txt", "synthetic.json"):
        (market / "bounding_box_train" / name).write_bytes(b"?")
    assert len(open_dataset("market1501", market).splits["train"]) == 4


def test_an_empty_split_is_an_error(market):
    for path in (market / "query").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"query: no images; expected files like 0002_c1s1_000451_03\.jpg"):
        open_dataset("market1501", market)


@pytest.mark.parametrize(("folder", "split"), [("bounding_box_train", "train"), ("query", "query")])
@pytest.mark.parametrize("identity", ["-1", "0000"])
def test_junk_and_distractors_belong_in_the_gallery_alone(market, folder, split, identity):
    name = f"{identity}_c1s1_000009_00.jpg"
    (market / folder / name).write_bytes(b"")
    with pytest.raises(InputError, match=rf"{name}: identity {int(identity)} in split {split} \(1 such images\)"):
        open_dataset("market1501", market)


def test_a_set_without_any_match_is_refused(market):
    (market / "bounding_box_test" / "0003_c2s1_000001_01.jpg").unlink()
    (market / "bounding_box_test" / "0005_c1s1_000001_01.jpg").unlink()
    with pytest.raises(InputError, match="none of the 2 queries has a gallery image of its identity from another"):
        open_dataset("market1501", market)


def test_queries_without_a_match_are_reported_in_a_note(market):
    (market / "bounding_box_test" / "0005_c1s1_000001_01.jpg").unlink()  # leaves 0005 to camera 2, the query's
    notes = open_dataset("market1501", market).notes
    assert "1 of 2 queries have no gallery image of their identity from another camera and are left out" in notes[1]
    assert "(query/0005_c2s1_000001_00.jpg)" in notes[1]


def test_photographs_of_a_single_camera_can_be_opened_with_a_note(tmp_path, write_images):
    write_images(tmp_path / "bounding_box_train", ["0001_c1s1_000001_00.jpg"])
    write_images(tmp_path / "query", ["0002_c1s1_000001_00.jpg"])
    write_images(tmp_path / "bounding_box_test", ["0002_c1s1_000002_00.jpg"])
    assert "all images are of one camera" in open_dataset("market1501", tmp_path).notes[1]


def test_people_in_both_training_and_test_are_reported_with_a_warning(market, write_images):
    write_images(market / "bounding_box_train", ["0005_c6s1_000001_01.jpg"])
    note = open_dataset("market1501", market).notes[1]
    assert note.startswith("WARNING: 1 identities are in training and in test (5)")


def test_a_folder_that_claims_to_be_the_release_must_have_its_counts(market):
    claimed = market.rename(market.parent / "Market-1501-v15.09.15")
    with pytest.raises(InputError, match="found 4 images of 2 people, expected the release's 12,936 of 751"):
        open_dataset("market1501", claimed)


def test_the_release_is_recognised_by_its_counts(market):
    release = replace(MARKET1501, official={"train": (4, 2), "query": (2, 2), "gallery": (5, 2)})
    (note,) = read_reid(release, market, ("train", "query")).dataset.notes
    assert note == ("the counts are those of the release: train 4 images of 2 people, query 2 images of 2 people")
    assert read_reid(release, market.rename(market.parent / release.folder), ("gallery",)).problems == ()


def test_release_counts_are_those_given_by_the_authors():
    assert MARKET1501.official == {"train": (12936, 751), "query": (3368, 750), "gallery": (19732, 750)}
    assert DUKEMTMC_REID.official == {"train": (16522, 702), "query": (2228, 702), "gallery": (17661, 1110)}


def test_an_image_missing_from_a_generated_set_is_noticed(market):
    record = {"files": {"bounding_box_train": 4, "query": 2, "bounding_box_test": 5}}
    (market / SYNTHETIC_RECORD).write_text(json.dumps(record))
    dataset = open_dataset("market1501", market)
    assert dataset.synthetic
    assert "synthetic" in dataset.notes[0]
    (market / "bounding_box_train" / "0002_c1s1_000002_00.jpg").unlink()
    with pytest.raises(InputError, match=r"found 3 images, expected 4, as in synthetic\.json"):
        open_dataset("market1501", market)


def test_the_generator_writes_the_record_that_the_reader_looks_for():
    assert RECORD == SYNTHETIC_RECORD


def test_dukemtmc_names_are_read_with_eight_cameras(tmp_path, write_images):
    write_images(tmp_path / "bounding_box_train", ["0005_c2_f0046985.jpg", "0001_c8_f0000001.jpg"])
    write_images(tmp_path / "query", ["0009_c1_f0000001.jpg"])
    write_images(tmp_path / "bounding_box_test", ["0009_c7_f0000002.jpg"])
    train = open_dataset("dukemtmc-reid", tmp_path).splits["train"]
    assert train.identities.tolist() == [1, 5]
    assert train.cameras is not None
    assert train.cameras.tolist() == [8, 2]
    (tmp_path / "query" / "0009_c1s1_000001_00.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"no dukemtmc-reid name; expected one like 0005_c2_f0046985\.jpg"):
        open_dataset("dukemtmc-reid", tmp_path)


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(InputError, match=r'"market1051" is not a data set; did you mean "market1501"\?'):
        open_dataset("market1051", Path())
    with pytest.raises(InputError, match=r'split "galery" of market1501: did you mean "gallery"\?'):
        open_dataset("market1501", Path(), splits=("galery",))


def test_find_dataset_takes_the_first_place_and_returns_where_it_looked(market, tmp_path):
    absent, empty = tmp_path / "absent", tmp_path / "empty"
    empty.mkdir()
    assert find_dataset("market1501", [absent, empty, market]) == (market, (absent, empty, market))
    assert find_dataset("market1501", [absent, empty]) == (None, (absent, empty))
    assert find_dataset("cifar100", [market]) == (None, (market,))


def test_an_incomplete_set_counts_as_found_so_that_opening_it_names_what_is_missing(market):
    shutil.rmtree(market / "query")
    assert find_dataset("market1501", [market])[0] == market


def test_recognise_distinguishes_the_layouts_by_image_names(market, tmp_path, write_images):
    assert recognise(market) == "market1501"
    duke = tmp_path / "duke"
    write_images(duke / "bounding_box_train", ["0005_c2_f0046985.jpg"])
    write_images(duke / "query", ["0009_c1_f0000001.jpg"])
    write_images(duke / "bounding_box_test", ["0009_c7_f0000002.jpg"])
    assert recognise(duke) == "dukemtmc-reid"
    with pytest.raises(InputError, match=", ".join(DATASETS)):
        recognise(tmp_path / "nothing")


def test_a_folder_that_may_not_be_read_is_reported(market):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (market / "query").chmod(0)
    try:
        with pytest.raises(InputError, match="query: cannot be read"):
            open_dataset("market1501", market)
    finally:
        (market / "query").chmod(0o755)


def test_labels_do_not_depend_on_file_order(market):
    from harness.reid.data import label_map

    train = open_dataset("market1501", market).splits["train"]
    classes = label_map(train.identities)
    assert classes.tolist() == [2, 7]
    assert np.searchsorted(classes, train.identities).tolist() == [0, 0, 1, 1]
