import doctest
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from harness.errors import InputError
from harness.reid.data import Dataset, Split, dataset, declared, open_dataset


def test_the_examples_in_the_docstrings_hold():
    for module in (dataset, declared):
        assert doctest.testmod(module).failed == 0


def test_the_package_imports_little_and_exports_what_it_lists():
    code = (
        "import sys, harness.reid.data\n"
        "assert not {'torch', 'mlflow', 'harness.reid.data.check', 'harness.reid.data.known'} & set(sys.modules)\n"
        "assert all(hasattr(harness.reid.data, name) for name in harness.reid.data.__all__)\n"
        "assert 'torch' not in sys.modules\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "either files or arrays"),
        ({"files": ("b", "a")}, "not sorted or not unique; use Split.of_files"),
        ({"files": ("a", "a")}, "not sorted or not unique"),
        ({"files": ("a",)}, r"identities are int64 of shape \(2,\), expected int64 of shape \(1,\)"),
        ({"files": ("a", "b"), "cameras": np.zeros(2, np.int32)}, "cameras are int32"),
        ({"arrays": np.zeros((2, 4, 4), np.uint8)}, r"expected uint8 of shape \(N, H, W, 3\)"),
        ({"arrays": np.zeros((2, 4, 4, 3))}, "arrays are float64"),
    ],
)
def test_parts_of_a_split_that_do_not_fit_are_refused(parts, message):
    with pytest.raises(ValueError, match=message):
        Split("train", identities=np.zeros(2, np.int64), **parts)


def test_a_subset_keeps_the_order_of_the_split():
    split = Split.of_files("train", ["a", "b", "c"], [1, 2, 3], [4, 5, 6])
    part = split.subset("query", [2, 0])
    assert part.files == ("a", "c")
    assert part.identities.tolist() == [1, 3]
    assert part.cameras is not None
    assert part.cameras.tolist() == [4, 6]
    assert part.image_name(1) == "c"
    assert Split("t", np.zeros(1, np.int64), arrays=np.zeros((1, 2, 2, 3), np.uint8)).image_name(0) == "t[0]"


OWN = """
from pathlib import Path
from harness.reid.data import Dataset, Split
from harness.errors import InputError

def shop(root: Path) -> Dataset:
    files = [path.relative_to(root).as_posix() for path in root.glob("*/*.jpg")]
    def split(name, folder):
        mine = [file for file in files if file.startswith(folder)]
        names = [file.split("/")[1] for file in mine]
        return Split.of_files(name, mine, [int(n[:4]) for n in names], [int(n[6]) for n in names])
    return Dataset("shop", root, {"train": split("train", "a"), "query": split("query", "b"),
                                  "gallery": split("gallery", "c")}, "reid")

def nothing(root): return None
def half(root):
    whole = shop(root)
    return Dataset("half", root, {"train": whole.splits["train"]}, "reid")
def sort(root): return Dataset("sort", root, {}, "ranking")
def picky(root): raise InputError("this folder is not mine")
table = 3
"""


@pytest.fixture
def own(tmp_path, write_images, monkeypatch) -> Path:
    (tmp_path / "my_photographs.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_photographs", raising=False)
    write_images(tmp_path / "a", ["0001_c1.jpg", "0001_c2.jpg"])
    write_images(tmp_path / "b", ["0002_c1.jpg"])
    write_images(tmp_path / "c", ["0002_c2.jpg"])
    return tmp_path


def test_a_custom_reader_is_called_with_the_folder(own):
    opened = open_dataset("my_photographs:shop", own)
    assert opened.name == "my_photographs:shop"
    assert opened.splits["train"].files == ("a/0001_c1.jpg", "a/0001_c2.jpg")
    assert list(open_dataset("my_photographs:shop", own, splits=("train",)).splits) == ["train"]


def test_the_result_of_a_custom_reader_is_checked(own, write_images):
    write_images(own / "b", ["0000_c1.jpg"])
    with pytest.raises(InputError, match="identity 0 in split query"):
        open_dataset("my_photographs:shop", own)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("no_such_module:shop", 'no module "no_such_module"'),
        ("my_photographs:shopp", r'has no "shopp"; did you mean "shop"\?'),
        ("my_photographs:table", "expected a function of the folder, found int"),
        ("my_photographs:nothing", "returned NoneType, expected harness.reid.data.Dataset"),
        ("my_photographs:half", "no split query, gallery; found train, expected train, query, gallery"),
        ("my_photographs:sort", 'task "ranking": expected one of: classification, reid'),
        ("my_photographs:picky", "this folder is not mine"),
    ],
)
def test_an_unsuitable_custom_reader_is_reported(own, reference, message):
    with pytest.raises(InputError, match=message):
        open_dataset(reference, own)


def test_a_custom_reader_that_finds_nothing_is_reported(own):
    with pytest.raises(InputError, match="no images in split train, query, gallery"):
        open_dataset("my_photographs:shop", own / "a")


def test_a_data_set_is_generated_if_its_folder_says_so(tmp_path):
    assert not Dataset("x", tmp_path, {}, "reid").synthetic
    (tmp_path / "synthetic.json").write_text("{}")
    assert Dataset("x", tmp_path, {}, "reid").synthetic
