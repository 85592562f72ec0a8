"""Other evaluators on the same features, where they are installed: their metrics, seconds and memory next to ours.

Each peer is a function of ``evaluate.make_problem``'s arrays that returns mAP and Rank-1 as fractions, doing all that a
user of it would do: distances, whatever it leaves to its caller, metrics. None is a dependency; those not installed are
named and skipped. Junk is removed beforehand, since no peer knows about it.
"""

import importlib
import importlib.metadata
import io
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch

from harness.reid.evaluate import evaluate_ranking, evaluate_reranked
from harness.reid.evaluate.memory import PeakMemory

PAIRS = 67_000_000
"""Peers get as many queries as make this many pairs: all of Market-1501's, fewer for a larger gallery."""
RERANKED = 400, 3000
"""Queries and gallery boxes for comparing re-ranking; the dense matrices of a peer do not allow many more."""

Problem = tuple[np.ndarray, ...]
Scores = tuple[float, float]


@dataclass(frozen=True)
class Peer:
    """One evaluator of another project."""

    distribution: str
    """Its name on the package index; the table shows its version."""
    module: str
    score: Callable[[Problem], Scores]
    formula: str
    """How it differs from ours, if it does."""
    cameras: bool = True
    """Whether it can leave out a query's own camera."""
    rerank: bool = False


def torchreid_ranking(problem: Problem) -> Scores:
    """Squared distances by torch, rows sorted, the Market-1501 protocol in Cython if built, else in Python."""
    from torchreid.reid.metrics import compute_distance_matrix, evaluate_rank

    query, ids, cameras, gallery, gallery_ids, gallery_cameras = problem
    distances = compute_distance_matrix(torch.from_numpy(query), torch.from_numpy(gallery)).numpy()
    cmc, mean_ap = evaluate_rank(distances, ids, gallery_ids, cameras, gallery_cameras)
    return float(mean_ap), float(cmc[0])


def torchreid_reranking(problem: Problem) -> Scores:
    """The authors' code as redistributed: dense matrices over queries and gallery, given plain distances."""
    from torchreid.reid.metrics import compute_distance_matrix, evaluate_rank
    from torchreid.reid.utils.rerank import re_ranking

    query, ids, cameras, gallery, gallery_ids, gallery_cameras = problem
    sides = torch.from_numpy(query), torch.from_numpy(gallery)

    def plain(left: torch.Tensor, right: torch.Tensor) -> np.ndarray:
        distances: np.ndarray = compute_distance_matrix(left, right).clamp_(min=0.0).sqrt_().numpy()
        return distances

    distances = re_ranking(plain(*sides), plain(sides[0], sides[0]), plain(sides[1], sides[1]))
    cmc, mean_ap = evaluate_rank(distances, ids, gallery_ids, cameras, gallery_cameras)
    return float(mean_ap), float(cmc[0])


def oml_ranking(problem: Problem) -> Scores:
    """The whole gallery sorted for each query; an identity in one camera is a sequence, which is left out."""
    from oml.functional.knn import batched_knn_qg
    from oml.functional.metrics import calc_retrieval_metrics

    query, ids, cameras, gallery, gallery_ids, gallery_cameras = (torch.from_numpy(array) for array in problem)
    count = int(max(cameras.max(), gallery_cameras.max())) + 1
    _, retrieved, right = batched_knn_qg(
        query,
        gallery,
        len(gallery),
        labels_query=ids,
        labels_gallery=gallery_ids,
        sequence_ids_query=ids * count + cameras,
        sequence_ids_gallery=gallery_ids * count + gallery_cameras,
    )
    found = calc_retrieval_metrics(
        retrieved, right, cmc_top_k=(1,), precision_top_k=(), map_top_k=(len(gallery),), verbose=False
    )
    return float(found["map"][len(gallery)]), float(found["cmc"][1])


def metric_learning_ranking(problem: Problem) -> Scores:
    """The whole gallery sorted for each query."""
    from pytorch_metric_learning.distances import LpDistance
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
    from pytorch_metric_learning.utils.inference import CustomKNN

    query, ids, _, gallery, gallery_ids, _ = (torch.from_numpy(array) for array in problem)
    calculator = AccuracyCalculator(
        include=("mean_average_precision", "precision_at_1"),
        k=len(gallery),
        device=torch.device("cpu"),
        knn_func=CustomKNN(LpDistance(normalize_embeddings=False)),
    )
    found = calculator.get_accuracy(query, ids, gallery, gallery_ids)
    return float(found["mean_average_precision"]), float(found["precision_at_1"])


PEERS = (
    Peer("torchreid", "torchreid.reid.metrics", torchreid_ranking, "the same; ties in no fixed order"),
    Peer(
        "open-metric-learning",
        "oml.functional.knn",
        oml_ranking,
        "a query without a valid match scores 0 and is not left out; ties in no fixed order",
    ),
    Peer(
        "pytorch-metric-learning",
        "pytorch_metric_learning.utils.accuracy_calculator",
        metric_learning_ranking,
        "knows no cameras, so ours ranks without them too",
        cameras=False,
    ),
    Peer("torchreid", "torchreid.reid.utils.rerank", torchreid_reranking, "the same, in float32", rerank=True),
)


def compare(problem: Problem) -> tuple[list[dict[str, Any]], list[str]]:
    """A row for each peer that is installed, with ours on the same boxes; the names of those that are not."""
    rows, missing = [], []
    for peer in PEERS:
        # A separate process for each, since memory freed by one would hide the use of the next.
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            found = pool.submit(_run, peer, _share(problem, peer)).result()
        if isinstance(found, str):
            missing.append(found)
        else:
            rows.append(found)
    return rows, list(dict.fromkeys(missing))


def _run(peer: Peer, problem: Problem) -> dict[str, Any] | str:
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            importlib.import_module(peer.module)
        except ImportError as error:
            return f"{peer.distribution} ({error})"
        return _beside_ours(peer, problem)


def _share(problem: Problem, peer: Peer) -> Problem:
    query, ids, cameras, gallery, gallery_ids, gallery_cameras = problem
    kept = np.flatnonzero(gallery_ids != -1)
    queries = max(1, min(len(query), PAIRS // len(kept)))
    if peer.rerank:
        queries, kept = min(queries, RERANKED[0]), kept[: RERANKED[1]]
    found = np.isin(ids[:queries], gallery_ids[kept])
    if not peer.cameras:
        cameras, gallery_cameras = np.zeros_like(cameras), np.ones_like(gallery_cameras)
    part = np.flatnonzero(found)
    return query[part], ids[part], cameras[part], gallery[kept], gallery_ids[kept], gallery_cameras[kept]


def _beside_ours(peer: Peer, problem: Problem) -> dict[str, Any]:
    ours = evaluate_reranked if peer.rerank else evaluate_ranking
    result = ours(*problem, top=0)
    started = time.perf_counter()
    ours(*problem, top=0)
    our_seconds = time.perf_counter() - started
    with PeakMemory() as memory:
        started = time.perf_counter()
        mean_ap, rank1 = peer.score(problem)
        seconds = time.perf_counter() - started
    return {
        "peer": f"{peer.distribution} {importlib.metadata.version(peer.distribution)}",
        "what": "re-ranked" if peer.rerank else "ranked",
        "queries": len(problem[0]),
        "gallery": len(problem[3]),
        "seconds": seconds,
        "ours_seconds": our_seconds,
        "peak_above_mb": (memory.peak_bytes - memory.start_bytes) / 1e6,
        "mAP": mean_ap,
        "mAP_less_ours": mean_ap - result.mAP,
        "rank1": rank1,
        "rank1_less_ours": rank1 - result.rank1,
        "formula": peer.formula,
    }
