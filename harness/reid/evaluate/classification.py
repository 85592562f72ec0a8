"""Error rates of classifiers."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import InputError
from harness.reid.evaluate.inputs import to_array


@dataclass(frozen=True)
class ClassificationResult:
    """How often a classifier is wrong; fractions."""

    top1_error: float
    top5_error: float
    """Share of samples whose class is not among the five highest logits; of up to five classes, those labelled -1."""
    correct: NDArray[np.bool_]
    """By sample, whether the highest logit is its class's."""

    @property
    def error(self) -> float:
        """Top-1 error, what tables call the error rate."""
        return self.top1_error

    def metrics(self) -> dict[str, float]:
        """The figures by the names that tables and trackers use."""
        return {"error": self.top1_error, "top5_error": self.top5_error}


def evaluate_classification(logits: Any, labels: Any) -> ClassificationResult:
    """Top-1 and top-5 error of logits (N, C) against class labels (N,); a label of -1 is a class that has no logit.

    A sample's place is the number of classes ranked above its own: those with a higher logit, and those with an equal
    one and a lower index, so a tie goes to the first class.

    Raises:
        InputError: shapes or types that do not fit, labels outside -1 to C - 1, logits that hold NaN.

    >>> result = evaluate_classification([[0.1, 0.9], [0.8, 0.2], [0.5, 0.5]], [1, 1, 0])
    >>> result.error, result.correct.tolist()
    (0.3333333333333333, [True, False, True])
    """
    scores, classes = to_array(logits), to_array(labels)
    if scores.ndim != 2 or 0 in scores.shape or scores.dtype.kind not in "fiu":
        raise InputError(f"logits: found shape {scores.shape} of {scores.dtype}; expected (samples, classes), numbers")
    if classes.shape != (len(scores),) or classes.dtype.kind not in "iu":
        raise InputError(f"labels: found shape {classes.shape} of {classes.dtype}; expected ({len(scores)},), integers")
    if (nan := np.isnan(scores).any(axis=1)).any():
        raise InputError(f"logits: {nan.sum()} row(s) hold NaN (first: row {nan.argmax()}); expected numbers")
    if (outside := (classes < -1) | (classes >= scores.shape[1])).any():
        raise InputError(
            f"labels: found {classes[outside][0]} at {outside.argmax()}; expected 0 to {scores.shape[1] - 1}, or -1"
        )
    own = np.take_along_axis(scores, np.maximum(classes[:, None].astype(np.int64), 0), axis=1)
    earlier = np.arange(scores.shape[1]) < classes[:, None]
    place = ((scores > own) | ((scores == own) & earlier)).sum(axis=1)
    place[classes == -1] = max(5, scores.shape[1])
    return ClassificationResult(float((place >= 1).mean()), float((place >= 5).mean()), place == 0)
