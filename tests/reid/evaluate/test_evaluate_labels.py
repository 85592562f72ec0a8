"""Labels as other toolkits write them: text, columns and rows score as integers do."""

import json
import os

import numpy as np
import pytest
import torch
import warm
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import InputError
from harness.reid.evaluate import evaluate_distances, evaluate_file, evaluate_ranking, evaluate_reranked

NAMES = ("query_ids", "query_cameras", "gallery_ids", "gallery_cameras")


def problem(seed=0):
    """Features and labels, junk and distractors among them."""
    rng = np.random.default_rng(seed)
    return {
        "query_features": rng.standard_normal((12, 9)).astype(np.float32),
        "query_ids": rng.integers(1, 6, 12),
        "query_cameras": rng.integers(0, 3, 12),
        "gallery_features": rng.standard_normal((60, 9)).astype(np.float32),
        "gallery_ids": rng.integers(-1, 5, 60),
        "gallery_cameras": rng.integers(0, 3, 60),
    }


def padded(labels):
    return np.array([f"{label:04d}" if label >= 0 else "-1" for label in labels])


def names_of(labels):
    return np.array(["-1" if label == -1 else f"person {'abcdefg'[label]}" for label in labels])


WRITTEN = {
    "padded": padded,
    "text": lambda labels: labels.astype(str),
    "with spaces": lambda labels: np.array([f" {label} " for label in labels]),
    "bytes": lambda labels: labels.astype("S"),
    "objects": lambda labels: labels.astype(object),
    "text objects": lambda labels: padded(labels).astype(object),
    "names": names_of,
    "a list": lambda labels: padded(labels).tolist(),
    "a tensor": torch.from_numpy,
}
SHAPES = {"flat": lambda labels: labels, "column": lambda labels: labels[:, None], "row": lambda labels: labels[None]}


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("evaluate", [evaluate_ranking, evaluate_reranked])
def test_labels_in_any_form_score_as_integers(written, shape, evaluate):
    case = problem()
    expected = evaluate(*case.values())
    changed = {name: WRITTEN[written](case[name]) for name in NAMES}
    if written != "a list":
        changed = {name: SHAPES[shape](values) for name, values in changed.items()}
    found = evaluate(*(case | changed).values())
    np.testing.assert_array_equal(found.average_precision, expected.average_precision)
    np.testing.assert_array_equal(found.top_indices, expected.top_indices)
    assert found.valid_queries == expected.valid_queries


def test_numbers_as_text_meet_integers():
    case = problem()
    expected = evaluate_ranking(*case.values()).average_precision
    for side in NAMES:
        found = evaluate_ranking(*(case | {side: padded(case[side])}).values()).average_precision
        np.testing.assert_array_equal(found, expected)


@given(data=st.data())
def test_renaming_labels_changes_nothing(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    ids, gallery_ids, cameras, gallery_cameras = (rng.integers(0, 5, size) for size in (8, 40, 8, 40))
    ids[0], gallery_ids[:2], cameras[0], gallery_cameras[0] = 1, 1, 0, 1
    word = st.text(st.characters(categories=("L",)), min_size=1, max_size=6)
    people, lenses = (np.array(data.draw(st.lists(word, min_size=5, max_size=5, unique=True))) for _ in range(2))
    distances = rng.random((8, 40))
    plain = evaluate_distances(distances, ids, cameras, gallery_ids, gallery_cameras)
    named = evaluate_distances(distances, people[ids], lenses[cameras], people[gallery_ids], lenses[gallery_cameras])
    np.testing.assert_array_equal(plain.average_precision, named.average_precision)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gallery_ids": np.repeat(["1", "0001"], 30)}, 'gallery_ids: found "0001" and "1", one number; expected one'),
        (
            {"gallery_ids": np.repeat(["a", "b"], 30)},
            'gallery_ids: found "a", but query_ids are integers; expected lab',
        ),
        ({"query_cameras": np.ones((12, 2), int)}, r"query_cameras: found shape \(12, 2\); expected \(12,\)"),
        ({"query_ids": np.ones((1, 1, 12), int)}, r"query_ids: found shape \(1, 1, 12\); expected \(12,\)"),
        ({"query_ids": np.ones(12)}, "query_ids: found type float64; expected integers or text"),
        ({"query_ids": [None] * 12}, "query_ids: found type object; expected integers or text"),
        ({"query_ids": [2**70] * 12}, "query_ids: found type object; expected integers or text"),
        ({"query_ids": np.array([b"\xff"] * 12)}, "query_ids: found bytes that are not UTF-8; expected integers or te"),
    ],
)
def test_labels_that_do_not_fit_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        evaluate_ranking(*(problem() | change).values())


def test_cameras_are_named_in_messages_as_the_user_names_them():
    with pytest.raises(
        InputError, match=r"none of them in another camera \(query cameras door, gallery cameras door\)"
    ):
        evaluate_distances([[0.1]], ["a"], ["door"], ["a"], ["door"])


def test_the_command_line_scores_text_and_columns_as_integers(tmp_path):
    case = problem()
    np.savez(tmp_path / "plain.npz", **case)
    np.savez(tmp_path / "text.npz", **(case | {name: padded(case[name])[:, None] for name in NAMES}))
    plain, text = (
        json.loads(warm.run(["harness", "evaluate", name, "--json"], tmp_path, os.environ, timeout_s=900).stdout)
        for name in ("plain.npz", "text.npz")
    )
    metrics = ("mAP", "rank1", "rank5", "mINP", "valid_queries", "queries")
    assert {name: text[name] for name in metrics} == {name: plain[name] for name in metrics}
    assert text["mAP"] == evaluate_file(tmp_path / "plain.npz")["mAP"]
