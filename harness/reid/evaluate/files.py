"""Features in an ``.npz`` file, evaluated: what the command line offers for anybody's features."""

import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.errors import InputError, did_you_mean
from harness.files import NotRegularFileError, regular_file
from harness.reid.evaluate.inputs import to_feature_pair, to_labels
from harness.reid.evaluate.memory import PeakMemory
from harness.reid.evaluate.ranking import evaluate_ranking
from harness.reid.evaluate.reranking import evaluate_reranked
from harness.reid.evaluate.result import RankingResult
from harness.reid.evaluate.workers import Progress

AP_NAMES = {
    "step": "step: mean of the precision at each match",
    "trapezoid": "trapezoid: mean of the precisions before and at each match (original Matlab code)",
}


@dataclass(frozen=True)
class Features:
    """Both sides of a retrieval problem, as arrays that fit each other; labels are integers or text, as stored."""

    query_features: NDArray[np.float32]
    query_ids: NDArray[Any]
    query_cameras: NDArray[Any]
    gallery_features: NDArray[np.float32]
    gallery_ids: NDArray[Any]
    gallery_cameras: NDArray[Any]


def load_features(path: str | Path) -> Features:
    """The arrays of an ``.npz`` file; nothing pickled is ever read.

    Expected keys: ``query_features`` (Q, D), ``query_ids`` (Q,), ``query_cameras`` (Q,), and ``gallery_*`` likewise.
    Labels may be integers or text, and of shape (Q, 1) or (1, Q).

    Raises:
        InputError: no such file, no ``.npz``, a missing key, an object array, shapes or types that do not fit.
    """
    path = Path(path)
    names = [field.name for field in fields(Features)]
    try:
        regular_file(path)
    except NotRegularFileError as error:
        raise InputError(f"{path}: found {error.found}, expected an .npz file with {', '.join(names)}") from None
    except (OSError, ValueError):  # a name too long, or with a null byte
        raise InputError(f"{path}: no such file; expected an .npz with {', '.join(names)}") from None
    if not zipfile.is_zipfile(path) or not _begins_as_zip(path):
        raise InputError(f"{path}: not an .npz file; expected what numpy.savez writes")
    arrays = _read_arrays(path, names)
    try:
        query, gallery = to_feature_pair(arrays["query_features"], arrays["gallery_features"])
        to_labels(
            arrays["query_ids"],
            arrays["query_cameras"],
            arrays["gallery_ids"],
            arrays["gallery_cameras"],
            (len(query), len(gallery)),
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return Features(**(arrays | {"query_features": query, "gallery_features": gallery}))


def _begins_as_zip(path: Path) -> bool:
    """Whether numpy would read it as an archive; another file may end as one."""
    with regular_file(path).open("rb") as file:
        return file.read(2) == b"PK"


def _read_arrays(path: Path, names: list[str]) -> dict[str, NDArray[Any]]:
    arrays, part = {}, "list of arrays"
    try:
        with np.load(regular_file(path), allow_pickle=False) as stored:
            for name in names:
                if name not in stored:
                    found = [repr(key)[1:-1] for key in stored.files]  # of a damaged file, with control characters
                    listed = f"{', '.join(found)}: {did_you_mean(name, found)}" if found else "none"
                    raise InputError(f'{path}: key "{name}" is missing; found {listed}')
                part = f'key "{name}"'
                arrays[name] = stored[name]
    except InputError:
        raise
    except Exception as error:  # numpy, tokenize, zipfile and zlib have many kinds for damaged files, and no common one
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{path}: {part} cannot be read: {reason}; expected a plain array") from error
    return arrays


def evaluate_file(
    path: str | Path,
    *,
    rerank: bool = False,
    metric: Literal["euclidean", "cosine"] = "euclidean",
    ap: Literal["step", "trapezoid"] = "step",
    k1: int = 20,
    k2: int = 6,
    lambda_: float = 0.3,
    device: str = "cpu",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Scores the features in ``path``; JSON-able, metrics as fractions.

    Returns:
        The metrics (``mAP``, ``rank1``, ..., ``mINP``), ``valid_queries``, ``queries``; ``seconds`` of the evaluation,
        without reading the file; ``startup_seconds`` spent before it on loading the inner loops, which
        the first call on a machine compiles; ``peak_memory_mb`` of the whole process meanwhile, libraries and
        features included, and ``features_mb`` of the features alone (MB of 10^6 bytes); and the settings: ``ap``
        in words, ``metric``, ``rerank`` (its parameters, or null), ``device``.
    """
    features = load_features(path)
    arrays = [getattr(features, field.name) for field in fields(Features)]
    if rerank:
        evaluate: Callable[..., RankingResult] = partial(evaluate_reranked, k1=k1, k2=k2, lambda_=lambda_)
    else:
        evaluate = evaluate_ranking
    evaluate = partial(evaluate, metric=metric, ap=ap, device=device, top=0)
    begun = time.perf_counter()
    evaluate(*_small_problem())
    started = time.perf_counter()
    with PeakMemory() as memory:
        result = evaluate(*arrays, progress=progress)
    return {
        **result.metrics(),
        "queries": result.queries,
        "seconds": time.perf_counter() - started,
        "startup_seconds": started - begun,
        "peak_memory_mb": memory.peak_bytes / 1e6,
        "features_mb": (features.query_features.nbytes + features.gallery_features.nbytes) / 1e6,
        "ap": AP_NAMES[ap],
        "metric": metric,
        "rerank": {"k1": k1, "k2": k2, "lambda": lambda_} if rerank else None,
        "device": device,
    }


def _small_problem() -> tuple[NDArray[Any], ...]:
    """Boxes of 8 identities before 2 cameras, on both sides: enough to have the inner loops loaded."""
    rng = np.random.default_rng(0)
    ids, cameras = np.arange(64) % 8, np.arange(64) // 8 % 2
    query, gallery = rng.standard_normal((2, 64, 16), dtype=np.float32)
    return query, ids, cameras, gallery, ids, cameras
