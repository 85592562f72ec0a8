"""Users' metrics: functions of an evaluation's data, named by ``evaluation.metrics``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import InputError, StageError
from harness.formatting import one_line
from harness.plugins import load_object
from harness.reid.recipe import OwnMetricSpec
from harness.units import Floats


@dataclass(frozen=True)
class ScoredRetrieval:
    """The argument of a function for the protocol ``market``; Q queries, G gallery images, D dimensions."""

    query_features: NDArray[np.float32]
    """(Q, D)"""
    gallery_features: NDArray[np.float32]
    """(G, D)"""
    query_ids: NDArray[np.int64]
    gallery_ids: NDArray[np.int64]
    query_cameras: NDArray[np.int64]
    gallery_cameras: NDArray[np.int64]
    average_precision: Floats
    """(Q,), NaN for queries without a match, which no metric counts."""
    first_hit_rank: NDArray[np.int64]
    """(Q,), from 1; 0 for queries without a match."""
    top_indices: NDArray[np.int64]
    """(Q, 10): the gallery images that each query ranks first."""


@dataclass(frozen=True)
class ScoredClassification:
    """The argument of a function for the protocol ``classification``; N images, C classes."""

    logits: NDArray[np.float32]
    """(N, C)"""
    labels: NDArray[np.int64]
    """(N,) positions among the C classes; -1 for a class that training lacks."""


def own_metrics(
    declared: Mapping[str, OwnMetricSpec], scored: ScoredRetrieval | ScoredClassification, counted: NDArray[np.bool_]
) -> tuple[dict[str, float], dict[str, Floats]]:
    """Calls the user's functions: ``function(scored, **options)`` returns a number, or one for each query or image.

    Args:
        declared: By metric.
        scored: What they are called with.
        counted: (Q,) or (N,): which of the units count.

    Returns:
        Each metric, and for those with a value by unit the values of the units that count.

    Raises:
        StageError: If a function is missing, fails, or returns something else; with the metric's key.
    """
    metrics: dict[str, float] = {}
    values: dict[str, Floats] = {}
    for key, spec in declared.items():
        found = _call(key, spec, scored)
        if found.ndim == 1:
            if len(found) != len(counted):
                raise StageError(f'metric "{key}": returned {len(found)} values, expected {len(counted)} or one')
            values[key] = found[counted]
        metrics[key] = float(found.mean() if found.ndim == 0 else values[key].mean())
        if not np.isfinite(values.get(key, found)).all():
            raise StageError(f'metric "{key}": returned a value that is not finite')
    return metrics, values


def _call(key: str, spec: OwnMetricSpec, scored: Any) -> Floats:
    try:
        function = load_object(spec.implementation)
        found = np.asarray(function(scored, **spec.options), dtype=np.float64)
    except InputError as error:
        raise StageError(f'metric "{key}": {error}') from error
    except Exception as error:  # the user's code may raise anything
        raise StageError(f'metric "{key}": {spec.implementation}: {type(error).__name__}: {one_line(error)}') from error
    if found.ndim > 1:
        raise StageError(f'metric "{key}": returned an array of shape {found.shape}, expected one value or (units,)')
    return found
