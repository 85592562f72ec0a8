import json
import pickle

import numpy as np
import pytest

from harness.errors import InputError
from harness.reid.data.check import check_dataset


def test_a_good_set_is_usable_and_its_counts_are_reported(market):
    reported: list[tuple[int, int]] = []
    report = check_dataset("market1501", market, progress=lambda done, total: reported.append((done, total)))
    assert report.usable
    assert reported == [(11, 11)]
    train, gallery = report.splits["train"], report.splits["gallery"]
    assert (train.images, train.identities, train.images_per_identity) == (4, 2, (2, 2))
    assert train.cameras == {"1": 2, "2": 1, "3": 1}
    assert (gallery.images, gallery.identities, gallery.distractors, gallery.junk) == (5, 2, 1, 1)
    assert gallery.images_per_identity == (1, 2)
    assert train.sizes == {"8x16": 4}
    assert report.shared_identities == ()
    assert report.queries_without_match == ()
    assert (
        "5 gallery images = 3 of 2 labelled people + 1 distractors (0000) + 1 junk (-1); 4 without junk" in report.notes
    )


def test_the_report_reads_as_text(market):
    lines = check_dataset("market1501", market).lines()
    assert lines[0] == f"market1501 in {market}"
    assert lines[1] == "  train    4 images of 2 people (2 to 2 each); by camera 1: 2, 2: 1, 3: 1; 8x16 pixels"
    assert lines[3] == (
        "  gallery  5 images of 2 people (1 to 2 each); 1 distractors, 1 junk; by camera 1: 2, 2: 2, 3: 1; 8x16 pixels"
    )
    assert lines[-1] == "usable"


def test_all_findings_are_reported_at_once(market, write_images, save_image):
    folder = market / "bounding_box_train"
    (folder / "0002_cXs1_000451_03.jpg").write_bytes(b"")
    (folder / "0007_c1s1_000001_00.jpg").write_bytes(b"no image")
    save_image(folder / "0002_c1s1_000002_00.jpg", size_px=(128, 64))
    path = market / "query" / "0003_c1s1_000001_00.jpg"
    save_image(path, size_px=(128, 64))
    path.write_bytes(path.read_bytes()[:-150])
    (market / "bounding_box_test" / "0005_c1s1_000001_01.jpg").unlink()
    write_images(folder, ["0005_c6s1_000001_01.jpg"])
    (folder / "0008_c1s1_000001_00.jpg").symlink_to("nowhere.jpg")

    report = check_dataset("market1501", market)
    assert not report.usable
    assert len(report.problems) == 1
    assert "0002_cXs1_000451_03.jpg: no market1501 name" in report.problems[0]
    assert {(image.file, image.reason.split(" (")[0]) for image in report.unreadable} == {
        ("bounding_box_train/0007_c1s1_000001_00.jpg", "empty, or in no known image format"),
        ("bounding_box_train/0008_c1s1_000001_00.jpg", "No such file or directory"),
        ("query/0003_c1s1_000001_00.jpg", "image file is truncated"),
    }
    assert report.shared_identities == (5,)
    assert report.queries_without_match == ("query/0005_c2s1_000001_00.jpg",)
    text = "\n".join(report.lines())
    assert "train: 3 images are not 64x128 as in the release: 8x16 (3)" in text
    assert text.endswith("not usable as it is: 4 problems")


def test_many_similar_findings_are_cut_to_a_few_and_a_count(market):
    for number in range(8):
        (market / "query" / f"0003_c1s1_{number:06d}_01.jpg").write_bytes(b"")
        (market / "query" / f"photo{number}.jpg").write_bytes(b"")
    report = check_dataset("market1501", market)
    lines = [line.strip() for line in report.lines()]
    assert [line for line in lines if line.startswith("problem")] == [
        f"problem  {market / 'query'}: 8 images (photo0.jpg, photo1.jpg, photo2.jpg and 5 more): no market1501 name; "
        "expected one like 0002_c1s1_000451_03.jpg (identity or -1, camera, sequence, frame, box; any number of digits)"
    ]
    reason = "empty, or in no known image format"
    assert [line for line in lines if line.startswith("unreadable")] == [
        *(f"unreadable  query/0003_c1s1_{number:06d}_01.jpg: {reason}" for number in range(5)),
        "unreadable  and 3 more for the same reason (--json lists all)",
    ]
    assert len(report.to_json()["unreadable"]) == 8


def test_the_report_is_plain_data(market):
    (market / "query" / "0003_c1s1_000001_00.jpg").write_bytes(b"")
    report = check_dataset("market1501", market).to_json()
    assert json.loads(json.dumps(report)) == {
        **report,
        "problems": [],
        "unreadable": [{"file": "query/0003_c1s1_000001_00.jpg", "reason": "empty, or in no known image format"}],
        "shared_identities": [],
        "queries_without_match": [],
        "notes": list(report["notes"]),
        "splits": json.loads(json.dumps(report["splits"])),
    }
    assert report["usable"] is False


def test_a_missing_set_is_an_error(tmp_path):
    with pytest.raises(InputError, match="market1501 not found in"):
        check_dataset("market1501", tmp_path)


def test_classes_are_counted_and_the_release_is_recognised_by_its_checksums(tmp_path):
    for name in ("train", "test"):
        content = {"data": np.zeros((4, 3072), np.uint8), "fine_labels": [0, 0, 0, 1]}
        (tmp_path / name).write_bytes(pickle.dumps(content, protocol=2))
    (tmp_path / "meta").write_bytes(pickle.dumps({"fine_label_names": ["a", "b"]}, protocol=2))
    report = check_dataset("cifar100", tmp_path)
    train = report.splits["train"]
    assert (train.images, train.identities, train.images_per_identity) == (4, 2, (1, 3))
    assert (train.distractors, train.junk) == (0, 0)
    assert train.sizes == {"32x32": 4}
    assert report.notes[-1] == "train, test, meta differ from the release's files"
    assert "4 images of 2 classes (1 to 3 each); 32x32 pixels" in report.lines()[1]
