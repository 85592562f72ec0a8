"""Slow and obvious: what the fast paths are held against."""

import numpy as np


def unit_rows(features):
    """Rows of length 1 in float64; a row of zeros stays as it is."""
    rows = np.asarray(features, np.float32).astype(float)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)


def exact_distances(queries, gallery):
    """Plain Euclidean distances in float64, pair by pair."""
    queries, gallery = (np.asarray(rows).astype(float) for rows in (queries, gallery))
    return np.array([[np.sqrt(((q - g) ** 2).sum()) for g in gallery] for q in queries])


def rank_slowly(distances, query_ids, query_cameras, gallery_ids, gallery_cameras, ap="step"):
    """The Market-1501 protocol as one would explain it: sort each row, drop what is left out, walk down."""
    figures = {"ap": [], "inp": [], "first": [], "top": []}
    for row, (identity, camera) in enumerate(zip(query_ids, query_cameras, strict=True)):
        order = sorted(range(len(gallery_ids)), key=lambda item: (distances[row][item], item))
        order = [
            item
            for item in order
            if gallery_ids[item] != -1 and not (gallery_ids[item] == identity and gallery_cameras[item] == camera)
        ]
        right = [gallery_ids[item] == identity for item in order]
        figures["top"].append(order)
        ranks = [place + 1 for place, hit in enumerate(right) if hit]
        figures["first"].append(ranks[0] if ranks else 0)
        figures["inp"].append(len(ranks) / ranks[-1] if ranks else np.nan)
        figures["ap"].append(_step(ranks) if ap == "step" else _trapezoid(right))
    return {name: values if name == "top" else np.array(values) for name, values in figures.items()}


def _step(ranks):
    return np.mean([(place + 1) / rank for place, rank in enumerate(ranks)]) if ranks else np.nan


def _trapezoid(right):
    """The Oxford buildings formula, walked from rank to rank."""
    if not any(right):
        return np.nan
    area, old_recall, old_precision, found = 0.0, 0.0, 1.0, 0
    for place, hit in enumerate(right):
        found += hit
        recall, precision = found / sum(right), found / (place + 1)
        area += (recall - old_recall) * (old_precision + precision) / 2
        old_recall, old_precision = recall, precision
    return area


def rerank_slowly(queries, gallery, k1=20, k2=6, lambda_=0.3):
    """k-reciprocal re-ranking, step by step as Zhong et al. (CVPR 2017) describe it; dense, float64.

    Section 3.2: N(p, k); R(p, k) = {g in N(p, k): p in N(g, k)}; R*(p, k) = R(p, k) united with every R(q, k/2), q in
    R(p, k), of which two thirds lie in R(p, k) already. Section 3.3: V_p,g = exp(-d(p, g)) on R*, Jaccard distance
    1 - sum min / sum max. Section 3.4: V_p becomes the mean of V over N(p, k2). Section 3.5: weighted by lambda.
    """
    both = np.concatenate([queries, gallery])
    squared = exact_distances(both, both) ** 2
    largest = squared.max(axis=1, keepdims=True)
    original = np.divide(squared, largest, out=np.zeros_like(squared), where=largest > 0)
    total = len(both)
    ranking = [sorted(range(total), key=lambda item: (squared[row, item], item)) for row in range(total)]
    nearest = [{k: set(order[: k + 1]) for k in (k1, int(np.around(k1 / 2)))} for order in ranking]

    def reciprocal(item, k):
        return {other for other in nearest[item][k] if item in nearest[other][k]}

    weights = np.zeros((total, total))
    for item in range(total):
        core = reciprocal(item, k1)
        grown = set(core)
        for other in core:
            half = reciprocal(other, int(np.around(k1 / 2)))
            if len(half & core) > 2 / 3 * len(half):
                grown |= half
        members = sorted(grown)
        if members:
            kernel = np.exp(-original[item, members])
            weights[item, members] = kernel / kernel.sum()
    if k2 > 1:
        weights = np.array([weights[order[:k2]].mean(axis=0) for order in ranking])
    final = np.zeros((len(queries), len(gallery)))
    for row in range(len(queries)):
        for column in range(len(gallery)):
            other = weights[len(queries) + column]
            least = np.minimum(weights[row], other).sum()
            most = np.maximum(weights[row], other).sum()
            jaccard = 1 - least / most if most else 1.0
            final[row, column] = (1 - lambda_) * jaccard + lambda_ * original[row, len(queries) + column]
    return final
