"""Anything but a regular file is refused at once wherever a file is expected: a reader that waited would hang."""

import os
import socket
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from harness.errors import InputError
from harness.execute import Store
from harness.execute.manifest import checksum_of
from harness.files import NotRegularFileError, regular_file, replace_text, replacing
from harness.matrix.source import read_yaml
from harness.reid.data import Split
from harness.reid.data.cache import cached_images
from harness.reid.data.decode import decode_image
from harness.reid.data.fingerprint import split_fingerprint
from harness.reid.data.plain_pickle import load_plain_pickle
from harness.reid.evaluate.files import load_features
from harness.reid.models import weights_identity
from harness.reid.train.checkpoint import load_newest_checkpoint
from harness.search.storage import open_storage
from harness.spool import SpoolWriter, read_spool

KINDS = {"a folder": "folder", "a named pipe": "pipe", "a socket": "socket", "a device": "device"}


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Short names: the path of a socket has at most a hundred characters."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(params=KINDS)
def special(request: pytest.FixtureRequest, in_tmp: Path) -> Iterator[Callable[[Path], str]]:
    """Puts something that is no regular file in a file's place; returns what it is."""
    listener = socket.socket(socket.AF_UNIX)

    def put(path: Path) -> str:
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        match KINDS[request.param]:
            case "folder":
                path.mkdir()
            case "pipe":
                os.mkfifo(path)
            case "socket":
                listener.bind(os.path.relpath(path))
            case "device":
                path.symlink_to("/dev/zero")
        return str(request.param)

    yield put
    listener.close()


def test_a_regular_file_and_a_link_to_one_are_returned(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to("file")
    assert [regular_file(tmp_path / name) for name in ("file", "link")] == [tmp_path / "file", tmp_path / "link"]


def test_what_is_missing_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        regular_file(tmp_path / "nothing")


def test_anything_else_is_refused_by_name_and_kind(special: Callable[[Path], str], tmp_path: Path) -> None:
    found = special(tmp_path / "special")
    (tmp_path / "link").symlink_to("special")
    for name in ("special", "link"):
        with pytest.raises(NotRegularFileError) as refused:
            regular_file(tmp_path / name)
        assert refused.value.found == found
        assert refused.value.strerror == f"found {found}, expected a regular file"
        assert refused.value.filename == str(tmp_path / name)


def images(path: Path) -> Split:
    return Split.of_files("train", [path.name], identities=[1], cameras=[1])


READERS: dict[str, Callable[[Path], Any]] = {
    "an image": decode_image,
    "an image that is fingerprinted": lambda path: split_fingerprint(images(path), path.parent, path.parent / "index"),
    "a CIFAR pickle": load_plain_pickle,
    "a declaration": read_yaml,
    "features": load_features,
    "weights": lambda path: weights_identity("resnet18", str(path)),
    "a product of a stage": checksum_of,
    "a study's journal": lambda path: open_storage(None, path),
    "a spool": read_spool,
    "a spool to write on": SpoolWriter,
}


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_names_the_file_and_what_it_found(
    reader: str, special: Callable[[Path], str], tmp_path: Path
) -> None:
    found = special(path := tmp_path / "file.npz")
    with pytest.raises((InputError, NotRegularFileError)) as refused:
        READERS[reader](path)
    assert f"found {found}" in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_checkpoint_that_is_no_file_is_named_and_passed_over(special: Callable[[Path], str], tmp_path: Path) -> None:
    found = special(path := tmp_path / "step-000000001.pt")
    with pytest.warns(UserWarning, match=f"{path}: found {found}"):
        assert load_newest_checkpoint(tmp_path) is None


def test_a_manifest_that_is_no_file_is_damage(special: Callable[[Path], str], tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    found = special(path := store.folder("ab" * 16) / "manifest.json")
    assert store.verify("ab" * 16) == f"{path} is damaged: found {found}, expected a regular file"


def test_a_tables_record_that_is_no_file_is_named(special: Callable[[Path], str], tmp_path: Path) -> None:
    found = special(path := tmp_path / "store" / "tables" / "table.json")
    with pytest.raises(InputError, match=rf"{path} is damaged \(found {found}"):
        Store(tmp_path / "store").tables()


@pytest.mark.parametrize("ending", [".npy", ".json"])
def test_a_cache_entry_that_is_no_file_is_named_and_made_anew(
    ending: str, tmp_path: Path, in_tmp: Path, small_jpeg: bytes
) -> None:
    (tmp_path / "a.jpg").write_bytes(small_jpeg)
    split = images(tmp_path / "a.jpg")
    first = cached_images(split, tmp_path, 4, 2, tmp_path / "cache", 1).copy()
    (entry,) = (tmp_path / "cache").glob(f"*{ending}")
    entry.unlink()
    os.mkfifo(entry)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = cached_images(split, tmp_path, 4, 2, tmp_path / "cache", 1)
    assert (again == first).all()
    assert entry.is_file()


@pytest.fixture
def small_jpeg() -> bytes:
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (2, 4), "red").save(buffer, "JPEG")
    return buffer.getvalue()


def test_a_replaced_file_is_whole_or_as_before(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    replace_text(path, "first\n")
    with suppress(ZeroDivisionError), replacing(path) as aside:
        aside.write_text("half of the sec")
        raise ZeroDivisionError
    assert path.read_bytes() == b"first\n"
    replace_text(path, "second, größer\n")
    assert path.read_bytes() == "second, größer\n".encode()
    assert list(tmp_path.iterdir()) == [path]  # no temporary file is left


def test_a_replaced_file_is_synced_before_it_is_renamed_and_its_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, synced = tmp_path / "a.txt", list[tuple[int, bool]]()
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (synced.append((os.fstat(file).st_ino, path.exists())), sync(file)))
    replace_text(path, "text")
    assert synced == [(path.stat().st_ino, False), (tmp_path.stat().st_ino, True)]


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with replacing(path) as first, replacing(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # the outer block is left last
