"""How good features are: CMC, mAP and mINP under the Market-1501 protocol, k-reciprocal re-ranking, error rates.

Plain arrays or tensors in, plain results with per-query figures out; exact, in blocks, on any device. Knows nothing of
models, recipes or tracking; the one file it reads is an ``.npz`` of features (``files``).
"""

from harness.reid.evaluate.classification import evaluate_classification
from harness.reid.evaluate.files import evaluate_file, load_features
from harness.reid.evaluate.ranking import evaluate_distances, evaluate_ranking
from harness.reid.evaluate.reranking import evaluate_reranked, k_reciprocal_distances
from harness.reid.evaluate.result import RankingResult

__all__ = [
    "RankingResult",
    "evaluate_classification",
    "evaluate_distances",
    "evaluate_file",
    "evaluate_ranking",
    "evaluate_reranked",
    "k_reciprocal_distances",
    "load_features",
]
