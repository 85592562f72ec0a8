"""The known data sets, each read from a small folder that has the layout of its release."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from harness.errors import InputError
from harness.reid.data import open_dataset
from harness.reid.data.check import check_dataset
from harness.reid.data.known import KNOWN, recognise, release_counts
from harness.reid.data.sheet import write_sheet

WriteImages = Callable[[Path, list[str]], Path]


def market_500k(root: Path, write: WriteImages) -> Path:
    write(root / "bounding_box_train", ["0002_c1s1_000001_00.jpg", "0002_c2s1_000001_00.jpg"])
    write(root / "query", ["0003_c1s1_000001_00.jpg"])
    write(root / "bounding_box_test", ["0003_c2s1_000001_01.jpg", "-1_c1s1_000001_01.jpg"])
    write(root / "images", ["0000_c1s1_000151_01.jpg", "00000002.jpg"])
    return root


def msmt17(root: Path, write: WriteImages, train: str, test: str) -> Path:
    """People 0 and 1 in training, and two others in test; the third part of a name is the camera."""
    lists = {
        "list_train.txt": (
            train,
            ["0000/0000_000_01_0303morning_0015_0.jpg 0", "0001/0001_000_02_0303noon_0016_0.jpg 1"],
        ),
        "list_val.txt": (train, ["0000/0000_001_14_0303morning_0017_0.jpg 0"]),
        "list_query.txt": (
            test,
            ["0000/0000_000_05_0303morning_0018_0.jpg 0", "0001/0001_000_05_0303noon_0018_0.jpg 1"],
        ),
        "list_gallery.txt": (
            test,
            ["0000/0000_001_06_0303morning_0019_0.jpg 0", "0001/0001_001_07_0303noon_0018_0.jpg 1"],
        ),
    }
    for name, (folder, lines) in lists.items():
        for line in lines:
            file = root / folder / line.split()[0]
            write(file.parent, [file.name])
        (root / name).write_text("\n".join(lines) + "\n")
    return root


def cuhk03(root: Path, write: WriteImages, boxes: str) -> Path:
    write(root / boxes / "bounding_box_train", ["0001_c1_1.png", "0001_c2_6.png"])
    write(root / boxes / "query", ["0003_c1_2.png"])
    write(root / boxes / "bounding_box_test", ["0003_c2_7.png", "0003_c1_3.png"])
    return root / boxes


def veri(root: Path, write: WriteImages) -> Path:
    """The gallery holds the query too; image_train has an image that no list names."""
    files = {
        "train": ["0001_c001_00016450_0.jpg", "0001_c002_00016460_0.jpg"],
        "query": ["0002_c003_00020000_0.jpg"],
        "test": ["0002_c003_00020000_0.jpg", "0002_c004_00020010_0.jpg"],
    }
    for name, images in files.items():
        write(root / f"image_{name}", images)
        (root / f"name_{name}.txt").write_text("\n".join(images) + "\n")
    write(root / "image_train", ["0009_c001_00016450_0.jpg"])
    return root


def pytorch_folders(root: Path, write: WriteImages) -> Path:
    write(root / "pytorch" / "train" / "0002", ["0002_c1s1_000001_00.jpg"])
    write(root / "pytorch" / "val" / "0002", ["0002_c2s1_000001_00.jpg"])
    write(root / "pytorch" / "train_all" / "0002", ["0002_c1s1_000001_00.jpg", "0002_c2s1_000001_00.jpg"])
    write(root / "pytorch" / "query" / "0003", ["0003_c1s1_000001_00.jpg"])
    for folder, name in (
        ("0003", "0003_c2s1_000001_00.jpg"),
        ("0000", "0000_c1s1_000001_00.jpg"),
        ("-1", "-1_c1s1_1_0.jpg"),
    ):
        write(root / "pytorch" / "gallery" / folder, [name])
    return root


def image_folder(root: Path, write: WriteImages, test: str) -> Path:
    for split, classes in (("train", ("ant", "cat")), (test, ("cat", "ant"))):
        for kind in classes:
            write(root / split / kind, ["1.jpg", "2.jpg"])
    return root


def cifar10(root: Path, write: WriteImages) -> Path:
    root.mkdir(parents=True)
    for number, name in enumerate([*(f"data_batch_{batch}" for batch in range(1, 6)), "test_batch"]):
        content = {"data": np.full((2, 3072), number, np.uint8), "labels": [0, 1]}
        (root / name).write_bytes(pickle.dumps(content, protocol=2))
    (root / "batches.meta").write_bytes(pickle.dumps({"label_names": ["airplane", "automobile"]}, protocol=2))
    return root


STAND_INS: dict[str, tuple[str, Callable[[Path, WriteImages], Path]]] = {
    "market1501-500k": ("market1501-500k", market_500k),
    "msmt17 v1": ("msmt17", lambda root, write: msmt17(root, write, "train", "test")),
    "msmt17 v2": ("msmt17", lambda root, write: msmt17(root, write, "mask_train_v2", "mask_test_v2")),
    "cuhk03-detected": ("cuhk03-detected", lambda root, write: cuhk03(root, write, "detected")),
    "cuhk03-labelled": ("cuhk03-labelled", lambda root, write: cuhk03(root, write, "labeled")),
    "veri-776": ("veri-776", veri),
    "pytorch-folders": ("pytorch-folders", pytorch_folders),
    "imagefolder test": ("imagefolder", lambda root, write: image_folder(root, write, "test")),
    "imagefolder val": ("imagefolder", lambda root, write: image_folder(root, write, "val")),
    "cifar10": ("cifar10", cifar10),
}


@pytest.mark.parametrize("case", STAND_INS)
def test_each_is_recognised_and_usable(case, tmp_path, write_images):
    name, make = STAND_INS[case]
    root = make(tmp_path / "set", write_images)
    assert recognise(root) == name
    report = check_dataset(name, root)
    assert report.usable, report.lines()
    assert not report.unreadable


def test_msmt17_numbers_training_and_test_people_separately_and_takes_the_camera_from_the_name(tmp_path, write_images):
    for version, folders in (("version 1", ("train", "test")), ("version 2", ("mask_train_v2", "mask_test_v2"))):
        dataset = open_dataset("msmt17", msmt17(tmp_path / version[-1], write_images, *folders))
        train, query, gallery = (dataset.splits[name] for name in ("train", "query", "gallery"))
        assert (train.identities.tolist(), train.cameras.tolist()) == ([1, 1, 2], [1, 14, 2])
        assert (query.identities.tolist(), gallery.identities.tolist()) == ([3, 4], [3, 4])
        assert gallery.cameras.tolist() == [6, 7]
        assert dataset.notes[0].startswith(version)
        assert not any("in training and in test" in note for note in dataset.notes)


def test_market1501_with_distractors_ranks_all_the_extra_images(tmp_path, write_images):
    root = market_500k(tmp_path, write_images)
    gallery = open_dataset("market1501-500k", root).splits["gallery"]
    assert dict(zip(gallery.files, gallery.identities.tolist(), strict=True)) == {
        "bounding_box_test/-1_c1s1_000001_01.jpg": -1,
        "bounding_box_test/0003_c2s1_000001_01.jpg": 3,
        "images/0000_c1s1_000151_01.jpg": 0,
        "images/00000002.jpg": 0,
    }
    assert len(open_dataset("market1501", root).splits["gallery"]) == 2


def test_veri_776_is_read_by_its_lists_or_else_its_folders_and_its_notes_speak_of_vehicles(tmp_path, write_images):
    root = veri(tmp_path, write_images)
    listed = open_dataset("veri-776", root)
    assert len(listed.splits["train"]) == 2
    assert listed.splits["gallery"].cameras.tolist() == [3, 4]
    assert listed.notes[0].startswith("not the release: train 2 images of 1 vehicles")
    for path in root.glob("name_*.txt"):
        path.unlink()
    assert len(open_dataset("veri-776", root).splits["train"]) == 3
    assert "3 images of 2 vehicles" in check_dataset("veri-776", root).lines()[1]


def test_cuhk03_boxes_are_distinguished_by_their_folder(tmp_path, write_images):
    for boxes in ("detected", "labeled"):
        cuhk03(tmp_path / "cuhk03-np", write_images, boxes)
    for name, folder in (("cuhk03-detected", "detected"), ("cuhk03-labelled", "labeled")):
        dataset = open_dataset(name, tmp_path)
        assert dataset.root == tmp_path / "cuhk03-np" / folder
        assert dataset.notes[0] == f"new protocol, {name.split('-')[1]} boxes"


def test_a_folder_per_identity_is_trained_on_all_of_it(tmp_path, write_images):
    root = pytorch_folders(tmp_path, write_images)
    splits = open_dataset("pytorch-folders", root).splits
    assert splits["train"].files == ("train_all/0002/0002_c1s1_000001_00.jpg", "train_all/0002/0002_c2s1_000001_00.jpg")
    assert splits["gallery"].identities.tolist() == [-1, 0, 3]
    for path in (root / "pytorch" / "train_all" / "0002").iterdir():
        path.unlink()
    (root / "pytorch" / "train_all" / "0002").rmdir()
    (root / "pytorch" / "train_all").rmdir()
    dataset = open_dataset("pytorch-folders", root)
    assert dataset.splits["train"].files == ("train/0002/0002_c1s1_000001_00.jpg", "val/0002/0002_c2s1_000001_00.jpg")
    assert dataset.notes[0] == "trained on train/ and val/"


def test_classes_of_cifar_10_and_of_image_folders(tmp_path, write_images):
    cifar = open_dataset("cifar10", cifar10(tmp_path / "cifar-10-batches-py", write_images))
    assert cifar.class_names == ("airplane", "automobile")
    assert cifar.splits["train"].identities.tolist() == [0, 1] * 5
    assert cifar.splits["train"].arrays[:, 0, 0, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert check_dataset("cifar10", cifar.root).notes[-1].startswith("data_batch_1, data_batch_2")
    folders = open_dataset("imagefolder", image_folder(tmp_path / "animals", write_images, "val"))
    assert folders.class_names == ("ant", "cat")
    assert folders.splits["test"].files == ("val/ant/1.jpg", "val/ant/2.jpg", "val/cat/1.jpg", "val/cat/2.jpg")


def test_a_class_of_an_image_folder_holds_all_images_below_it_as_in_torchvision(tmp_path, write_images):
    root = image_folder(tmp_path, write_images, "val")
    for place in ("train/cat/wild", "train/cat/wild/big", "train/ant/cat", "val/cat/wild"):
        write_images(root / place, ["1.jpg", "9.png"])
    (root / "train" / "cat" / "wild" / "read me.txt").touch()
    dataset = open_dataset("imagefolder", root)
    for split, folder in (("train", "train"), ("test", "val")):
        theirs = ImageFolder(str(root / folder))
        found = dataset.splits[split]
        assert dataset.class_names == tuple(theirs.classes)
        assert dict(zip(found.files, found.identities.tolist(), strict=True)) == {
            Path(path).relative_to(root).as_posix(): label for path, label in theirs.samples
        }
    assert "train/ant/cat/1.jpg" in dataset.splits["train"].files  # an ant, despite the name of its folder


def test_links_to_folders_are_followed_as_torchvision_does(tmp_path, write_images):
    root, elsewhere = image_folder(tmp_path / "set", write_images, "val"), tmp_path / "elsewhere"
    write_images(elsewhere / "night", ["7.jpg", "8.jpg"])
    (root / "train" / "cat" / "more").symlink_to(elsewhere)
    (root / "train" / "dog").symlink_to(elsewhere, target_is_directory=True)
    (root / "train" / "ant" / "3.jpg").symlink_to(elsewhere / "night" / "7.jpg")
    write_images(root / "val" / "dog", ["1.jpg"])
    dataset = open_dataset("imagefolder", root)
    theirs = ImageFolder(str(root / "train"))
    train = dataset.splits["train"]
    assert dict(zip(train.files, train.identities.tolist(), strict=True)) == {
        Path(path).relative_to(root).as_posix(): label for path, label in theirs.samples
    }
    assert {"train/cat/more/night/7.jpg", "train/dog/night/8.jpg", "train/ant/3.jpg"} <= set(train.files)


def test_following_a_loop_of_links_ends(tmp_path, write_images):
    root = image_folder(tmp_path, write_images, "val")
    files = open_dataset("imagefolder", root).splits["train"].files
    cat, ant = root / "train" / "cat", root / "train" / "ant"
    (cat / "again").symlink_to(cat)
    (cat / "up").symlink_to(root / "train")
    (cat / "itself").symlink_to("itself")
    assert open_dataset("imagefolder", root).splits["train"].files == files
    (cat / "across").symlink_to(ant)
    (ant / "across").symlink_to(cat)  # each of the other's images once, and no further
    names = {"1.jpg", "2.jpg"}
    assert {Path(file).name for file in files} == names
    assert set(open_dataset("imagefolder", root).splits["train"].files or ()) == {
        f"train/{place}/{name}" for place in ("cat", "cat/across", "ant", "ant/across") for name in names
    }


@pytest.mark.parametrize("places", ["photos", "photos/*/*", "photos/**/*"])
def test_the_folder_of_an_identity_may_be_a_link(places, tmp_path, write_images):
    for person in ("ann", "bob"):
        write_images(tmp_path / "people" / person, ["a_1.jpg", "b_2.jpg"])
    (tmp_path / "set" / "photos").mkdir(parents=True)
    for person in ("ann", "bob"):
        (tmp_path / "set" / "photos" / person).symlink_to(tmp_path / "people" / person)
    layout = {"name": "shop", "splits": {"all": places}, "pattern": "{identity}/{camera}_{frame}"}
    splits = open_dataset(layout, tmp_path / "set").splits
    found = {file for split in splits.values() for file in split.files}
    assert found == {f"photos/{person}/{name}" for person in ("ann", "bob") for name in ("a_1.jpg", "b_2.jpg")}


def test_the_error_names_what_the_closest_layout_lacks(tmp_path, write_images):
    root = msmt17(tmp_path, write_images, "train", "test")
    (root / "list_query.txt").unlink()
    with pytest.raises(InputError, match=r"list_query\.txt missing; msmt17 has list_train\.txt, list_val\.txt, train"):
        open_dataset("msmt17", root)


def test_a_folder_that_claims_to_be_a_release_must_have_its_counts(tmp_path, write_images):
    root = msmt17(tmp_path / "MSMT17_V1", write_images, "train", "test")
    with pytest.raises(InputError, match="found 3 images of 2 people, expected the release's 32,621 of 1,041"):
        open_dataset("msmt17", root)


def test_release_counts_are_those_given_by_the_authors():
    counts = {name: release_counts(name) for name in KNOWN}
    assert counts["msmt17"] == {"train": (32621, 1041), "query": (11659, 3060), "gallery": (82161, 3060)}
    assert counts["veri-776"] == {"train": (37778, 576), "query": (1678, 200), "gallery": (11579, 200)}
    assert counts["cuhk03-detected"] == {"train": (7365, 767), "query": (1400, 700), "gallery": (5332, 700)}
    assert counts["cuhk03-labelled"] == {"train": (7368, 767), "query": (1400, 700), "gallery": (5328, 700)}
    assert counts["market1501-500k"] == {"train": (12936, 751), "query": (3368, 750), "gallery": (519732, 750)}
    assert counts["cifar10"] == {"train": (50000, 10), "test": (10000, 10)}
    assert counts["pytorch-folders"] is counts["imagefolder"] is None


def test_an_unknown_folder_is_reported_with_the_layout_it_resembles(tmp_path, write_images):
    for name in ("image_train", "image_qurey", "image_test"):
        write_images(tmp_path / name, ["0001_c001_00016450_0.jpg"])
    with pytest.raises(InputError) as error:
        recognise(tmp_path)
    assert str(error.value).startswith(
        f"{tmp_path}: looks like veri-776: image_train, image_query, image_test; found no image_query "
        "(there is image_qurey); a layout of your own is declared"
    )


def test_a_contact_sheet_shows_images_of_each_split(tmp_path, write_images):
    root = market_500k(tmp_path / "set", write_images)
    dataset = open_dataset("market1501-500k", root)
    (root / "images" / "00000002.jpg").write_bytes(b"no image")  # an empty tile
    with Image.open(write_sheet(dataset, tmp_path / "sheet.png")) as sheet:
        assert sheet.width > 10 * 96
        pixels = np.asarray(sheet.convert("RGB"))
    height = pixels.shape[0] // 3
    for row in range(3):
        assert len(np.unique(pixels[row * height : (row + 1) * height].reshape(-1, 3), axis=0)) > 100
    with pytest.raises(InputError, match=r"--sheet .*sheet\.what: cannot be written .*expected a picture"):
        write_sheet(dataset, tmp_path / "sheet.what")
