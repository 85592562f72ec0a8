"""Sets on disk: bytes, sizes, safety when killed, and that recognising the pedestrians is worthwhile."""

import doctest
import hashlib
import importlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.errors import InputError
from harness.reid.data.synthetic import FOLDERS, RECORD, describe, make, make_cifar100, make_dukemtmc, make_market1501
from harness.reid.data.synthetic.cifar import COARSE_OF_FINE, FINE_NAMES
from harness.reid.data.synthetic.plan import GALLERY, MARKET1501, QUERY, TRAIN

MAKE = "import sys; from pathlib import Path; from harness.reid.data.synthetic import make; "


def digest(folder: Path) -> str:
    """One checksum of all names and contents."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        total.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_market1501(tmp_path_factory.mktemp("market"), identities=12, seed=5)


def test_a_market_set_has_its_folders_counts_and_image_size(market: Path) -> None:
    counts = MARKET1501.counts(12).by_folder
    assert {path.name for path in market.iterdir()} == {TRAIN, GALLERY, QUERY, RECORD}
    for name, count in counts.items():
        images = list((market / name).iterdir())
        assert len(images) == count
        for path in images:
            with Image.open(path) as image:
                assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (64, 128))


def test_a_duke_set_has_images_of_many_sizes(tmp_path: Path) -> None:
    folder = make_dukemtmc(tmp_path, identities=6, seed=0)
    sizes = {Image.open(path).size for path in (folder / TRAIN).iterdir()}
    assert folder == tmp_path / "dukemtmc-reid"
    assert len(sizes) > 10


@pytest.mark.parametrize("layout", FOLDERS)
def test_equal_seeds_give_equal_bytes_in_any_process_and_any_number_of_them(layout: str, tmp_path: Path) -> None:
    here = make(layout, tmp_path / "here", 6, 7, workers=1)
    code = MAKE + f"\nif __name__ == '__main__': make('{layout}', Path(sys.argv[1]), 6, 7, workers=2)"
    environment = os.environ | {"PYTHONHASHSEED": "123", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "there")], check=True, env=environment)
    assert digest(here) == digest(tmp_path / "there" / FOLDERS[layout])


def test_another_seed_gives_other_people(market: Path, tmp_path: Path) -> None:
    other = make_market1501(tmp_path, identities=12, seed=6)
    assert digest(other) != digest(market)


def test_every_image_of_a_set_is_different(market: Path) -> None:
    sums = [hashlib.sha256(path.read_bytes()).digest() for path in market.rglob("*.jpg")]
    assert len(set(sums)) == len(sums)


def test_progress_rises_to_the_number_of_images(tmp_path: Path) -> None:
    reported: list[tuple[int, int]] = []
    make_market1501(tmp_path, identities=6, seed=0, progress=lambda done, total: reported.append((done, total)))
    images = MARKET1501.counts(6).images
    assert reported == sorted(reported)
    assert reported[-1] == (images, images)


def test_a_set_is_made_once_and_reused(market: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in market.rglob("*")}
    assert make_market1501(market.parent, identities=12, seed=5) == market
    assert {path: path.stat().st_mtime_ns for path in market.rglob("*")} == before
    record = json.loads((market / RECORD).read_text())
    assert record["layout"] == "market1501"
    assert (record["size"], record["seed"], record["full"]) == (12, 5, False)


def test_a_set_made_with_other_settings_is_refused_with_the_difference(market: Path) -> None:
    with pytest.raises(InputError, match=r"exists already and was made with other settings \(seed is 5, wanted 9\)"):
        make_market1501(market.parent, identities=12, seed=9)


def test_an_unrelated_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "market1501").mkdir()
    (tmp_path / "market1501" / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="exists already and was not made by this generator"):
        make_market1501(tmp_path, identities=6, seed=0)
    assert (tmp_path / "market1501" / "thesis.txt").read_text() == "precious"


def test_a_set_that_lost_an_image_is_reported_as_incomplete(tmp_path: Path) -> None:
    folder = make_market1501(tmp_path, identities=6, seed=0)
    next((folder / QUERY).iterdir()).unlink()
    count = MARKET1501.counts(6).queries
    with pytest.raises(InputError, match=f"query: found {count - 1} files, expected {count}"):
        make_market1501(tmp_path, identities=6, seed=0)


def test_a_failure_halfway_leaves_nothing_that_looks_like_a_set(tmp_path: Path) -> None:
    def fail(done: int, total: int) -> None:
        raise RuntimeError("stop here")

    with pytest.raises(RuntimeError, match="stop here"):
        make_market1501(tmp_path, identities=12, seed=0, progress=fail)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_a_killed_generator_leaves_no_set_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    code = MAKE + "make('market1501', Path(sys.argv[1]), 400, 0, workers=1)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env=environment)
    deadline = time.monotonic() + 900
    while not list(tmp_path.rglob("*.jpg")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(list(tmp_path.glob(".market1501.*.partial"))) == 1
    assert not (tmp_path / "market1501").exists()
    folder = make_market1501(tmp_path, identities=6, seed=0)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == [folder]


def test_unknown_layouts_and_bad_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r'layout: found "market"; did you mean "market1501"\?'):
        make("market", tmp_path, 6, 0)
    with pytest.raises(InputError, match="seed: found -1, expected 0 to 4294967295"):
        make("market1501", tmp_path, 6, -1)
    with pytest.raises(InputError, match="images_per_class: found 2, expected 5 to 5000"):
        make("cifar100", tmp_path, 2, 0)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="market1501: cannot be written"):
        make("market1501", tmp_path / "file", 6, 0)


def load(path: Path) -> dict[bytes, Any]:
    with warnings.catch_warnings():  # numpy warns of what even the release contains
        warnings.simplefilter("ignore")
        content: dict[bytes, Any] = pickle.loads(path.read_bytes(), encoding="bytes")
    return content


def test_a_cifar_set_has_the_released_keys_shapes_and_labels(tmp_path: Path) -> None:
    folder = make_cifar100(tmp_path, images_per_class=5, seed=0)
    meta = load(folder / "meta")
    assert folder == tmp_path / "cifar-100-python"
    assert list(map(len, (meta[b"fine_label_names"], meta[b"coarse_label_names"]))) == [100, 20]
    for name, count in (("train", 500), ("test", 100)):
        batch = load(folder / name)
        assert set(batch) == {b"data", b"fine_labels", b"coarse_labels", b"filenames", b"batch_label"}
        assert (batch[b"data"].shape, batch[b"data"].dtype) == ((count, 3072), np.uint8)
        assert np.bincount(batch[b"fine_labels"]).tolist() == [count // 100] * 100
        assert batch[b"coarse_labels"] == [COARSE_OF_FINE[fine] for fine in batch[b"fine_labels"]]
        assert len(set(batch[b"filenames"])) == count
        assert len(np.unique(batch[b"data"], axis=0)) == count


def test_cifar_classes_form_twenty_superclasses_of_five() -> None:
    assert len(set(FINE_NAMES)) == 100
    assert np.bincount(COARSE_OF_FINE).tolist() == [5] * 20


def test_the_full_cifar_set_would_have_the_released_counts() -> None:
    assert describe("cifar100", 5, full=True) == "50,000 training and 10,000 test images of 100 classes"


def clothes_histogram(path: Path) -> np.ndarray:
    """Square roots of 8 x 8 x 8 colour counts of six bands in the middle of a box, where the person is; unit length."""
    pixels = np.asarray(Image.open(path)).astype(int)[:126, 18:46] // 32
    codes = (pixels[..., 0] * 64 + pixels[..., 1] * 8 + pixels[..., 2]).reshape(6, -1)
    counts = np.concatenate([np.bincount(band, minlength=512) for band in codes])
    root = np.sqrt(counts)
    return root / np.linalg.norm(root)


def test_clothes_identify_people_across_cameras_poorly_but_better_than_chance(tmp_path: Path) -> None:
    folder = make_market1501(tmp_path, identities=30, seed=1)
    sides = {}
    for part in (QUERY, GALLERY):
        paths = [path for path in sorted((folder / part).iterdir()) if not path.name.startswith("-1")]
        labels = np.array([(int(path.name[:4]), int(path.name[6])) for path in paths])
        sides[part] = np.stack([clothes_histogram(path) for path in paths]), labels
    (query, asked), (gallery, held) = sides[QUERY], sides[GALLERY]
    same, elsewhere = asked[:, :1] == held[:, 0], asked[:, 1:] != held[:, 1]
    similarity = np.where(same & ~elsewhere, -1.0, query @ gallery.T)
    rank1 = float(same[np.arange(len(query)), similarity.argmax(1)].mean())
    chance = float((same & elsewhere).mean())
    assert 3 * chance < rank1 < 0.5


@pytest.mark.parametrize("module", ["__init__", "plan", "cifar"])
def test_documented_examples_hold(module: str) -> None:
    name = "harness.reid.data.synthetic" + ("" if module == "__init__" else f".{module}")
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_the_generator_needs_no_torch() -> None:
    code = "import sys, harness.reid.data.synthetic; sys.exit('torch' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=environment).returncode == 0
