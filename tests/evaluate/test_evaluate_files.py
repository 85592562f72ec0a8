"""Anybody's features in an .npz: scored, or refused with the file, the key and the reason."""

import json
import pickle

import numpy as np
import pytest

from harness.errors import InputError
from harness.evaluate import evaluate_file, evaluate_ranking, evaluate_reranked, load_features


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
def test_a_file_scores_as_its_arrays_do(write, arrays, rerank):
    told = []
    found = evaluate_file(
        write(), rerank=rerank, ap="trapezoid", progress=lambda done, total: told.append(done / total)
    )
    assert json.loads(json.dumps(found)) == found
    expected = (evaluate_reranked if rerank else evaluate_ranking)(*arrays.values(), ap="trapezoid")
    assert {name: found[name] for name in expected.metrics()} == expected.metrics()
    assert found["queries"] == 9
    assert found["ap"].startswith("trapezoid: ")
    assert found["rerank"] == ({"k1": 20, "k2": 6, "lambda": 0.3} if rerank else None)
    assert 0 < found["seconds"] < 60
    assert found["peak_memory_mb"] > found["features_mb"] == pytest.approx((9 + 50) * 6 * 4 / 1e6)
    assert told[-1] == 1.0


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
        ({"gallery_ids": np.zeros(50)}, "gallery_ids: found type float64; expected integers"),
        ({"gallery_ids": np.array([None] * 50, object)}, r'key "gallery_ids" cannot be read: .*expected a plain array'),
        ({"query_features": np.array([["a"] * 6] * 9)}, "query features: found type <U1"),
    ],
)
def test_what_does_not_fit_is_told_with_the_file(write, changes, message):
    with pytest.raises(InputError, match=message):
        load_features(write(**changes))


def test_files_that_are_no_npz_are_refused(tmp_path, write):
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


def test_a_damaged_array_is_named(write):
    path = write()
    content = bytearray(path.read_bytes())
    content[200:220] = bytes(20)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r'key "query_features" cannot be read'):
        load_features(path)
