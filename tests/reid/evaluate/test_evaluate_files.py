"""Features from any source in an .npz: scored, or refused with the file, the key and the reason."""

import json
import pickle
import zipfile

import numpy as np
import pytest

from harness.errors import InputError
from harness.reid.evaluate import evaluate_file, evaluate_ranking, evaluate_reranked, load_features


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        "query_features": rng.standard_normal((9, 6)).astype(np.float16),
        "query_ids": rng.integers(1, 5, 9),
        "query_cameras": rng.integers(0, 2, 9),
        "gallery_features": rng.standard_normal((50, 6)).astype(np.float16),
        "gallery_ids": rng.integers(-1, 5, 50),
        "gallery_cameras": rng.integers(0, 2, 50),
    }


@pytest.fixture
def write(tmp_path, arrays):
    def write(drop=(), **changes):
        path = tmp_path / "features.npz"
        np.savez(path, **{name: value for name, value in (arrays | changes).items() if name not in drop})
        return path

    return write


@pytest.mark.parametrize("rerank", [False, True])
def test_a_file_scores_like_its_arrays(write, arrays, rerank):
    fractions = []
    found = evaluate_file(
        write(), rerank=rerank, ap="trapezoid", progress=lambda done, total: fractions.append(done / total)
    )
    assert json.loads(json.dumps(found)) == found
    expected = (evaluate_reranked if rerank else evaluate_ranking)(*arrays.values(), ap="trapezoid")
    assert {name: found[name] for name in expected.metrics()} == expected.metrics()
    assert found["queries"] == 9
    assert found["ap"].startswith("trapezoid: ")
    assert found["rerank"] == ({"k1": 20, "k2": 6, "lambda": 0.3} if rerank else None)
    assert 0 < found["seconds"] < 60
    assert 0 < found["startup_seconds"] < 60
    assert found["peak_memory_mb"] > found["features_mb"] == pytest.approx((9 + 50) * 6 * 4 / 1e6)
    assert fractions[-1] == 1.0


def test_features_come_as_float32(write):
    features = load_features(write())
    assert features.query_features.dtype == features.gallery_features.dtype == np.float32
    assert features.gallery_ids.shape == (50,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"drop": ("query_ids",)}, r'features.npz: key "query_ids" is missing; found .*did you mean "'),
        ({"query_cameras": np.zeros(8, int)}, r"features.npz: query_cameras: found shape \(8,\); expected \(9,\)"),
        ({"gallery_features": np.zeros((50, 5))}, "query rows have 6 values, gallery rows 5"),
        ({"gallery_ids": np.zeros(50)}, "gallery_ids: found type float64; expected integers or text"),
        ({"gallery_ids": np.array([None] * 50, object)}, r'key "gallery_ids" cannot be read: .*expected a plain array'),
        ({"query_features": np.array([["a"] * 6] * 9)}, "query features: found type <U1"),
    ],
)
def test_inputs_that_do_not_fit_are_reported_with_the_file(write, changes, message):
    with pytest.raises(InputError, match=message):
        load_features(write(**changes))


def test_files_that_are_not_npz_are_refused(tmp_path, write):
    with pytest.raises(InputError, match=r"none.npz: no such file; expected an .npz with query_features"):
        load_features(tmp_path / "none.npz")
    (tmp_path / "pickled.npz").write_bytes(pickle.dumps({"query_ids": [1]}))
    with pytest.raises(InputError, match=r"pickled.npz: not an .npz file"):
        load_features(tmp_path / "pickled.npz")
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(InputError, match=r"one.npy: not an .npz file"):
        load_features(tmp_path / "one.npy")
    (tmp_path / "short.npz").write_bytes(write().read_bytes()[:-200])
    with pytest.raises(InputError, match=r"short.npz: not an .npz file"):
        load_features(tmp_path / "short.npz")


def test_an_archive_after_other_content_is_refused(tmp_path, write):
    (tmp_path / "behind.npz").write_bytes(b"notes\n" + write().read_bytes())
    with pytest.raises(InputError, match=r"behind.npz: not an .npz file"):
        load_features(tmp_path / "behind.npz")


def rewrite(path, name, change):
    """Changes the bytes of one array in an archive; the archive itself stays intact."""
    with zipfile.ZipFile(path) as archive:
        parts = {part: archive.read(part) for part in archive.namelist()}
    parts[f"{name}.npy"] = change(parts[f"{name}.npy"])
    with zipfile.ZipFile(path, "w") as archive:
        for part, content in parts.items():
            archive.writestr(part, content)
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content[:-40],  # the end is missing
        lambda content: b"\x93NUMPY\x01\x00\x10\x00{garbage        ",  # a header that cannot be parsed
        lambda content: content.replace(b"(9, 6), }" + b" " * 12, b"(9999999999999, 6), }"),  # 200 TB
        lambda content: content.replace(b"NUMPY\x01", b"NUMPY\x09"),  # a format of the future
        lambda content: content.replace(b"'<f2'", b"'<q9'"),  # no type
    ],
)
def test_an_array_that_numpy_cannot_read_is_named_in_one_line(write, change):
    path = rewrite(write(), "query_features", change)
    with pytest.raises(InputError, match=r'key "query_features" cannot be read: .+; expected a plain array') as caught:
        load_features(path)
    assert "\n" not in str(caught.value)


def test_flipped_bytes_give_features_or_a_line_that_names_the_file(write):
    path = write()
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    refused = []
    for _ in range(200):
        content = bytearray(whole)
        for place in rng.integers(0, len(content), 3):
            content[place] ^= rng.integers(1, 256)
        path.write_bytes(content)
        try:
            load_features(path)
        except InputError as error:
            refused.append(str(error))
    assert len(refused) > 100
    assert all(message.startswith(f"{path}: ") and message.isprintable() for message in refused)


@pytest.mark.parametrize("rerank", [False, True])
def test_byte_order_and_layout_of_arrays_change_nothing(write, arrays, rerank):
    expected = evaluate_file(write(), rerank=rerank)
    other = {name: array.astype(array.dtype.newbyteorder(">")) for name, array in arrays.items()}
    other["query_features"] = np.asfortranarray(other["query_features"])
    found = evaluate_file(write(**other), rerank=rerank)
    assert [found[name] for name in ("mAP", "rank1", "mINP")] == [expected[name] for name in ("mAP", "rank1", "mINP")]


@pytest.mark.parametrize("rerank", [False, True])
def test_a_gallery_of_one_and_more_neighbours_than_exist(write, rerank):
    one = {"gallery_features": np.zeros((1, 6)), "gallery_ids": np.array([2]), "gallery_cameras": np.array([7])}
    found = evaluate_file(write(**one), rerank=rerank, k1=1000, k2=500)
    assert found["mAP"] == found["rank1"] == 1.0
    assert found["valid_queries"] == (np.load(write())["query_ids"] == 2).sum() > 0


def test_a_damaged_array_is_named(write):
    path = write()
    content = bytearray(path.read_bytes())
    content[200:220] = bytes(20)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r'key "query_features" cannot be read'):
        load_features(path)
