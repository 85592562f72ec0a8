"""Error rates computed by hand, and compared with sorting."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import InputError
from harness.reid.evaluate import evaluate_classification


def test_hand_values_of_four_samples():
    logits = [
        [9, 8, 7, 6, 5, 4],  # class 0: first
        [9, 8, 7, 6, 5, 4],  # class 1: second
        [9, 8, 7, 6, 5, 4],  # class 4: fifth
        [9, 8, 7, 6, 5, 4],  # class 5: sixth
    ]
    result = evaluate_classification(logits, [0, 1, 4, 5])
    assert (result.top1_error, result.error, result.top5_error) == (3 / 4, 3 / 4, 1 / 4)
    assert result.correct.tolist() == [True, False, False, False]
    assert result.metrics() == {"error": 3 / 4, "top5_error": 1 / 4}


@given(seed=st.integers(0, 10**6), classes=st.integers(1, 12), ties=st.booleans())
def test_errors_are_those_of_a_stable_sort(seed, classes, ties):
    rng = np.random.default_rng(seed)
    logits = rng.integers(0, 3, (30, classes)) if ties else rng.standard_normal((30, classes))
    labels = rng.integers(0, classes, 30)
    order = np.argsort(-logits, axis=1, kind="stable")
    result = evaluate_classification(logits, labels)
    np.testing.assert_array_equal(result.correct, order[:, 0] == labels)
    assert result.top5_error == pytest.approx(1 - (order[:, :5] == labels[:, None]).any(1).mean())


@pytest.mark.parametrize("classes", [3, 9])
def test_a_sample_whose_class_has_no_logit_counts_as_an_error_in_both_rates(classes):
    result = evaluate_classification(np.eye(classes), [0, 1, *[-1] * (classes - 2)])
    assert result.correct.tolist() == [True, True, *[False] * (classes - 2)]
    assert result.top5_error == result.error == (classes - 2) / classes


def test_tensors_of_small_float_types_are_accepted_as_logits():
    result = evaluate_classification(torch.eye(3, dtype=torch.bfloat16), torch.tensor([0, 1, 1]))
    assert result.correct.tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.zeros((0, 5)), [], r"logits: found shape \(0, 5\)"),
        (np.zeros(5), [0], r"logits: found shape \(5,\)"),
        (np.zeros((2, 5)), [0], r"labels: found shape \(1,\) of int64; expected \(2,\), integers"),
        (np.zeros((2, 5)), [0.0, 1.0], "of float64"),
        (np.zeros((2, 5)), [0, 5], "labels: found 5 at 1; expected 0 to 4, or -1"),
        (np.array([[0.0, 1.0], [np.nan, 1.0]]), [0, 1], r"logits: 1 row\(s\) hold NaN \(first: row 1\)"),
    ],
)
def test_inputs_that_do_not_fit_are_reported(logits, labels, message):
    with pytest.raises(InputError, match=message):
        evaluate_classification(logits, labels)
