"""CUHK03's release, written in its own structure by h5py and SciPy, and extracted into the new protocol's folders."""

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from typer.testing import CliRunner

from harness.cli.data import data_app
from harness.errors import InputError
from harness.reid.data import open_dataset
from harness.reid.data.cuhk03 import BOXES, extract_cuhk03
from harness.reid.data.known import recognise

PEOPLE = (2, 1, 1, 1, 1)
"""People of each pair of cameras."""
CELLS = (1, 2, 6)
"""Numbers of the cells, of ten a person, that hold an image: two by the first camera, one by the second."""


def picture(boxes: str, pair: int, person: int, number: int) -> np.ndarray:
    """An image (H, W, 3) that no other is like, of a size of its own."""
    generator = np.random.default_rng([BOXES.index(boxes), pair, person, number])
    return generator.integers(0, 256, (6 + number, 3 + person, 3), dtype=np.uint8)


def write_release(path: Path) -> None:
    """As MATLAB writes cells in version 7.3: references, axes in reverse, an empty cell as its two sizes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for boxes in BOXES:
            pairs = []
            for pair, people in enumerate(PEOPLE, start=1):
                cells = np.empty((10, people), dtype=h5py.ref_dtype)
                for person in range(1, people + 1):
                    for number in range(1, 11):
                        filled = number in CELLS
                        value = picture(boxes, pair, person, number).T if filled else np.zeros(2, dtype=np.uint64)
                        name = f"#refs#/{boxes}{pair}_{person}_{number}"
                        cells[number - 1, person - 1] = file.create_dataset(name, data=value).ref
                pairs.append(file.create_dataset(f"#refs#/{boxes}{pair}", data=cells, dtype=h5py.ref_dtype).ref)
            file.create_dataset(boxes, data=np.array([pairs], dtype=h5py.ref_dtype), dtype=h5py.ref_dtype)


def protocol(**changes: Any) -> dict[str, Any]:
    """The first pair's two people are trained on; each of the others has a query, by the first camera."""
    files, labels, splits = [], [], {"train_idx": [], "query_idx": [], "gallery_idx": []}
    for pair, people in enumerate(PEOPLE, start=1):
        for person in range(1, people + 1):
            for number in CELLS:
                files.append(f"{pair}_{person:03d}_{1 if number <= 5 else 2}_{number:02d}.png")
                labels.append(10 * pair + person)
                split = "train_idx" if pair == 1 else "query_idx" if number == 1 else "gallery_idx"
                splits[split].append(len(files))
    names = np.empty((len(files), 1), dtype=object)
    names[:, 0] = files
    column: Mapping[str, Any] = {key: np.array(value, dtype=float)[:, None] for key, value in splits.items()}
    return {"filelist": names, "labels": np.array(labels, dtype=float)[:, None], **column, **changes}


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """The folder that toolkits expect: the archive's own beside the protocol's files."""
    folder = tmp_path / "cuhk03"
    write_release(folder / "cuhk03_release" / "cuhk-03.mat")
    for boxes in BOXES:
        savemat(folder / f"cuhk03_new_protocol_config_{boxes}.mat", protocol())
    return folder


def test_the_release_is_extracted_into_the_folders_of_its_new_protocol(release: Path, tmp_path: Path) -> None:
    counted = []
    extracted = extract_cuhk03(release, tmp_path / "np", lambda done, total: counted.append((done, total)))
    assert counted == [(done, 36) for done in range(1, 37)]  # 6 people x 3 images x 2 kinds of boxes
    assert [(one.folder.name, one.images, one.left_out) for one in extracted] == [
        ("detected", 18, 0),
        ("labeled", 18, 0),
    ]
    for name, boxes in (("cuhk03-detected", "detected"), ("cuhk03-labelled", "labeled")):
        dataset = open_dataset(name, tmp_path / "np")
        train, query, gallery = (dataset.splits[split] for split in ("train", "query", "gallery"))
        assert train.identities.tolist() == [1, 1, 1, 2, 2, 2]
        assert query.identities.tolist() == [3, 4, 5, 6]
        assert gallery.identities.tolist() == [3, 3, 4, 4, 5, 5, 6, 6]
        assert (train.cameras is not None and train.cameras.tolist()) == [1, 1, 2] * 2
        assert (gallery.cameras is not None and gallery.cameras.tolist()) == [1, 2] * 4
        assert train.files is not None
        assert train.files[5] == "bounding_box_train/0002_c2_1_002_2_06.png"
        stored = np.asarray(Image.open(dataset.root / train.files[5]))
        assert np.array_equal(stored, picture(boxes, pair=1, person=2, number=6))


def test_the_command_extracts_what_a_check_of_the_release_points_to(release: Path, tmp_path: Path) -> None:
    for look in (recognise, partial(open_dataset, "cuhk03-labelled")):
        with pytest.raises(InputError, match=rf"images as files with harness data extract {release} --out DIR"):
            look(release)
    done = CliRunner().invoke(data_app, ["extract", str(release), "--out", str(tmp_path / "np"), "--json"])
    assert done.exit_code == 0, done.output
    assert '"images": 18' in done.stdout
    again = CliRunner().invoke(data_app, ["extract", str(release), "--out", str(tmp_path / "np"), "--json"])
    assert '"extracted": []' in again.stdout  # both are there


def test_images_that_the_protocol_does_not_name_are_left_out_and_counted(release: Path, tmp_path: Path) -> None:
    kept = protocol()["gallery_idx"][:-1]
    savemat(release / "cuhk03_new_protocol_config_labeled.mat", protocol(gallery_idx=kept))
    extracted = extract_cuhk03(release, tmp_path / "np")
    assert [(one.images, one.left_out) for one in extracted] == [(18, 0), (17, 1)]


def test_an_extraction_that_failed_leaves_nothing_that_looks_whole(release: Path, tmp_path: Path) -> None:
    files = protocol()["filelist"]
    files[0, 0] = "5_002_1_01.png"
    savemat(release / "cuhk03_new_protocol_config_labeled.mat", protocol(filelist=files))
    with pytest.raises(InputError, match=r"lacks 1 labeled images that cuhk03_new_protocol_config_labeled\.mat names"):
        extract_cuhk03(release, tmp_path / "np")
    assert sorted(path.name for path in (tmp_path / "np").iterdir()) == ["detected", "labeled.part"]
    savemat(release / "cuhk03_new_protocol_config_labeled.mat", protocol())
    assert [one.folder.name for one in extract_cuhk03(release, tmp_path / "np")] == ["labeled"]
    assert sorted(path.name for path in (tmp_path / "np").iterdir()) == ["detected", "labeled"]
    assert len(open_dataset("cuhk03-labelled", tmp_path / "np").splits["train"]) == 6


def _names(odd: str) -> np.ndarray:
    files: np.ndarray = protocol()["filelist"]
    files[0, 0] = odd
    return files


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_idx": [[1.0, 99.0]]}, "train_idx has the number 99; expected numbers from 1 to 18 of names like"),
        ({"train_idx": [[0.0]]}, "train_idx has the number 0; expected"),
        ({"train_idx": [[1.5]]}, "train_idx is not a list of whole numbers"),
        ({"query_idx": [[1.0]]}, r"1_001_1_01\.png is in bounding_box_train and again in query"),
        ({"labels": [[1.0, 2.0]]}, "has 18 names in filelist and 2 labels"),
        ({"filelist": _names("../1_001_1_01.png")}, r'train_idx names "\.\./1_001_1_01\.png"; expected'),
    ],
)
def test_a_protocol_that_cannot_be_is_refused(
    changes: dict[str, Any], message: str, release: Path, tmp_path: Path
) -> None:
    savemat(release / "cuhk03_new_protocol_config_detected.mat", protocol(**changes))
    with pytest.raises(InputError, match=f"cuhk03_new_protocol_config_detected.mat: {message}"):
        extract_cuhk03(release, tmp_path / "np")
    assert not (tmp_path / "np").exists()


def test_what_is_missing_or_damaged_is_named(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"no cuhk-03\.mat in it"):
        extract_cuhk03(tmp_path / "nowhere", tmp_path / "np")
    config = release / "cuhk03_new_protocol_config_labeled.mat"
    config.write_bytes(config.read_bytes()[:300])
    with pytest.raises(InputError, match=r"config_labeled\.mat: (cannot be read|has no )"):
        extract_cuhk03(release, tmp_path / "np")
    config.unlink()
    with pytest.raises(InputError, match=r"config_labeled\.mat not found in .*cuhk03 and .*cuhk03_release; it says"):
        extract_cuhk03(release, tmp_path / "np")
    savemat(config, {"labels": [1.0]})
    with pytest.raises(InputError, match="has no filelist, train_idx, query_idx, gallery_idx"):
        extract_cuhk03(release, tmp_path / "np")
    savemat(config, protocol())
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "h5py", None)
        with pytest.raises(InputError, match="needs h5py, which is not installed; add the extra cuhk03"):
            extract_cuhk03(release, tmp_path / "np")
    (release / "cuhk03_release" / "cuhk-03.mat").write_bytes(b"no MATLAB file")
    with pytest.raises(InputError, match=r"cuhk-03\.mat: cannot be read \(.*\); expected the MATLAB 7\.3 file"):
        extract_cuhk03(release, tmp_path / "np")
    with h5py.File(release / "cuhk03_release" / "cuhk-03.mat", "w") as file:
        file["other"] = 1
    with pytest.raises(InputError, match=r"cuhk-03\.mat: cannot be read \(.*detected.*\)"):
        extract_cuhk03(release, tmp_path / "np")
