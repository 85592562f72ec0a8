import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from harness.errors import InputError
from harness.reid.data import open_dataset
from harness.reid.data.known import find_dataset, recognise
from harness.reid.data.plain_pickle import load_plain_pickle


def _short_string(text: bytes) -> bytes:
    """The SHORT_BINSTRING opcode, which Python 2 wrote for its ``str``."""
    return b"U" + bytes([len(text)]) + text


def _python2_batch(data: bytes, shape: tuple[int, int], labels: list[int]) -> bytes:
    """The bytes that Python 2 with numpy 1 wrote, opcode by opcode: protocol 2, byte strings everywhere.

    {'data': _reconstruct(ndarray, (0,), 'b') with state (1, shape, dtype('u1'), False, data), 'fine_labels': [...]}
    """
    dtype = (
        b"cnumpy\ndtype\n" + _short_string(b"u1") + b"K\x00K\x01\x87R"  # dtype('u1', 0, 1)
        b"(K\x03" + _short_string(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"  # its state
    )
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n" + b"cnumpy\nndarray\n" + b"K\x00\x85" + _short_string(b"b") + b"\x87R"
        b"(K\x01" + b"K" + bytes([shape[0]]) + b"M" + shape[1].to_bytes(2, "little") + b"\x86" + dtype + b"\x89"
        b"T" + len(data).to_bytes(4, "little") + data + b"tb"
    )
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    content = b"(" + _short_string(b"data") + array + _short_string(b"fine_labels") + numbers + b"u"
    return b"\x80\x02}" + content + b"."


def _write(folder: Path, train: int = 6, test: int = 3, protocol: int = 2) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    for name, count in (("train", train), ("test", test)):
        content = {
            b"data": generator.integers(0, 256, (count, 3072), dtype=np.uint8),
            b"fine_labels": [index % 3 for index in range(count)],
            b"coarse_labels": [0] * count,
            b"filenames": [b"a.png"] * count,
            b"batch_label": b"training batch 1 of 1",
        }
        (folder / name).write_bytes(pickle.dumps(content, protocol=protocol))
    meta = {b"fine_label_names": [b"apple", b"bear", b"cup"], b"coarse_label_names": [b"things"]}
    (folder / "meta").write_bytes(pickle.dumps(meta, protocol=protocol))
    return folder


@pytest.mark.parametrize("protocol", range(6))
def test_every_pickle_protocol_is_read(tmp_path, protocol):
    dataset = open_dataset("cifar100", _write(tmp_path, protocol=protocol))
    train = dataset.splits["train"]
    assert dataset.task == "classification"
    assert dataset.class_names == ("apple", "bear", "cup")
    assert train.identities.tolist() == [0, 1, 2, 0, 1, 2]
    assert train.cameras is None
    assert train.arrays is not None
    assert train.arrays.shape == (6, 32, 32, 3)
    expected = np.random.default_rng(0).integers(0, 256, (6, 3072), dtype=np.uint8)
    # Row-major planes: red of pixel (row 1, column 2) of image 5 is value 0 * 1024 + 1 * 32 + 2, green 1024 later.
    assert train.arrays[5, 1, 2].tolist() == [expected[5, 34], expected[5, 1024 + 34], expected[5, 2048 + 34]]


def test_a_file_written_by_python_2_and_an_old_numpy_is_read(tmp_path):
    _write(tmp_path)
    data = bytes(range(256)) * 24  # 2 x 3072
    (tmp_path / "train").write_bytes(_python2_batch(data, (2, 3072), [2, 0]))
    train = open_dataset("cifar100", tmp_path).splits["train"]
    assert train.identities.tolist() == [2, 0]
    assert train.arrays is not None
    assert train.arrays[1, 0, 5].tolist() == [5, 5, 5]  # 3072, 1024 and 2048 are multiples of 256


@pytest.mark.parametrize("inner", ["", "cifar-100-python", "cifar100", "cifar100/cifar-100-python"])
def test_the_set_is_found_in_the_folder_or_in_a_subfolder_of_its_name(tmp_path, inner):
    place = _write(tmp_path / inner)
    assert open_dataset("cifar100", tmp_path).root == place
    assert find_dataset("cifar100", [tmp_path])[0] == tmp_path
    assert recognise(tmp_path) == "cifar100"


def test_counts_are_reported(tmp_path):
    (note,) = open_dataset("cifar100", _write(tmp_path)).notes
    assert note == "not the release: train 6 images of 3 classes, test 3 images of 3 classes"


class _Bomb:
    def __init__(self, call, *arguments):
        self._reduced = (call, arguments)

    def __reduce__(self):
        return self._reduced


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize(
    ("call", "argument", "name"),
    [
        (os.system, "touch exploded", "posix.system"),
        (eval, "open('exploded', 'w')", "eval"),
        (np.load, "exploded", "numpy"),
        (np.zeros, 10**15, "numpy"),
        (bytearray, 10**15, "bytearray"),
    ],
)
def test_a_pickle_that_asks_for_anything_else_is_refused_and_not_run(
    tmp_path, monkeypatch, protocol, call, argument, name
):
    monkeypatch.chdir(tmp_path)
    _write(tmp_path)
    content = {b"data": _Bomb(call, argument), b"fine_labels": []}
    (tmp_path / "train").write_bytes(pickle.dumps(content, protocol=protocol))
    with pytest.raises(InputError, match=rf"train: refused or damaged pickle \(UnpicklingError: it asks for .*{name}"):
        open_dataset("cifar100", tmp_path)
    assert not (tmp_path / "exploded").exists()


def test_an_array_of_objects_is_refused(tmp_path):
    path = tmp_path / "train"
    path.write_bytes(pickle.dumps({b"data": np.array([{}], dtype=object)}, protocol=2))
    with pytest.raises(InputError, match="dtype 'O8' is not numeric"):
        load_plain_pickle(path)


def test_a_pickle_cannot_request_bytes_of_a_given_length(tmp_path):
    path = tmp_path / "train"
    path.write_bytes(b"\x80\x02c__builtin__\nbytes\nM\xff\xff\x85R.")  # bytes(65535)
    with pytest.raises(InputError, match="refused or damaged"):
        load_plain_pickle(path)


@pytest.mark.parametrize("keep", [0, 1, 10, 100, 3000])
def test_a_truncated_file_is_an_error_that_names_it(tmp_path, keep):
    _write(tmp_path)
    content = (tmp_path / "train").read_bytes()
    (tmp_path / "train").write_bytes(content[:keep])
    with pytest.raises(InputError, match="train: refused or damaged pickle"):
        open_dataset("cifar100", tmp_path)


def test_a_missing_meta_file_is_named(tmp_path):
    (_write(tmp_path) / "meta").unlink()
    with pytest.raises(InputError, match="meta: cannot be read"):
        open_dataset("cifar100", tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (b"fine_labels", [0, 1, 3, 0, 1, 2], "fine_labels has 3, expected 0 to 2, as meta names 3 classes"),
        (b"fine_labels", [0, -1, 2, 0, 1, 2], "fine_labels has -1"),
        (b"fine_labels", [0.5] * 6, "not a list of whole numbers"),
        (b"fine_labels", [[0], [1, 2]], "not a list of whole numbers"),
        (b"fine_labels", [0, 1], r"data is uint8 of shape \(6, 3072\), expected uint8 of shape \(2, 3072\)"),
        (b"data", np.zeros((6, 3072)), "data is float64"),
        (b"data", b"x", "data is bytes"),
    ],
)
def test_contents_that_do_not_fit_are_reported(tmp_path, key, value, message):
    _write(tmp_path)
    content = pickle.loads((tmp_path / "train").read_bytes())  # written three lines above
    content[key] = value
    (tmp_path / "train").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(InputError, match=message):
        open_dataset("cifar100", tmp_path)


def test_a_missing_key_is_reported_with_those_that_exist(tmp_path):
    _write(tmp_path)
    (tmp_path / "train").write_bytes(pickle.dumps({b"data": b"", b"labels": []}, protocol=2))
    with pytest.raises(InputError, match='there is no "fine_labels", found data, labels'):
        open_dataset("cifar100", tmp_path)


def test_the_training_split_can_be_opened_alone(tmp_path):
    (_write(tmp_path) / "test").unlink()
    assert list(open_dataset("cifar100", tmp_path, splits=("train",)).splits) == ["train"]
    with pytest.raises(InputError, match="test missing; cifar100 has train, test in one folder"):
        open_dataset("cifar100", tmp_path)
