"""Digits and ties: features that share a large offset, and rows that differ by rounding alone."""

import numpy as np
import pytest
from evaluate_oracles import exact_distances, rank_slowly, rerank_slowly, unit_rows
from hypothesis import given
from hypothesis import strategies as st

from harness.reid.evaluate import evaluate_ranking, evaluate_reranked, k_reciprocal_distances
from harness.reid.evaluate.bounds import product_bounds
from harness.reid.evaluate.rows import measure_rows, measure_sides, squared_distances
from harness.reid.evaluate.scan import slack

TORCH_ON_CPU = "cpu:0"
ORACLES = {"euclidean": lambda features: features, "cosine": unit_rows}


def people(seed, queries=12, gallery=70, dimension=48):
    """Boxes of eight identities, seen by three cameras, in float64."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((8, dimension))
    ids, gallery_ids = rng.integers(0, 8, queries), rng.integers(-1, 8, gallery)
    query = centres[ids] + 1.2 * rng.standard_normal((queries, dimension))
    others = centres[gallery_ids] + 1.2 * rng.standard_normal((gallery, dimension))
    return query, ids, rng.integers(0, 3, queries), others, gallery_ids, rng.integers(0, 3, gallery)


def with_offset(case, spread):
    """The features as ``1 + spread * x``."""
    query, ids, cameras, gallery, *labels = case
    return (1 + spread * query).astype(np.float32), ids, cameras, (1 + spread * gallery).astype(np.float32), *labels


@pytest.mark.parametrize("metric", ORACLES)
@pytest.mark.parametrize("spread", [1.0, 0.003, 0.001, 0.0001])
@pytest.mark.parametrize("device", ["cpu", TORCH_ON_CPU])
def test_a_large_common_offset_costs_no_digits(spread, metric, device):
    for seed in range(2):
        query, ids, cameras, gallery, gallery_ids, gallery_cameras = case = with_offset(people(seed), spread)
        left, right = ORACLES[metric](query), ORACLES[metric](gallery)
        distances = k_reciprocal_distances(query, gallery, metric=metric, device=device)
        np.testing.assert_allclose(distances, rerank_slowly(left, right), atol=1e-6)

        kept = gallery_ids != -1
        labels = ids, cameras, gallery_ids[kept], gallery_cameras[kept]
        expected = rank_slowly(rerank_slowly(left, right[kept]).round(12), *labels)
        found = evaluate_reranked(*case, metric=metric, device=device)
        np.testing.assert_allclose(found.average_precision, expected["ap"], atol=1e-12)
        expected = rank_slowly(exact_distances(left, right[kept]), *labels)
        found = evaluate_ranking(*case, metric=metric, device=device)
        np.testing.assert_allclose(found.average_precision, expected["ap"], atol=1e-12)


def test_a_centre_is_subtracted_only_where_it_saves_digits():
    query, _, _, gallery, *_ = with_offset(people(0), 0.01)
    gallery[5] = 1e15  # one distant row does not prevent it for the others
    mine, theirs = measure_sides(query, gallery, "euclidean", 2)
    assert np.median(np.linalg.norm(theirs.products, axis=1)) < 0.02 * np.median(np.linalg.norm(gallery, axis=1))
    np.testing.assert_allclose(theirs.products[0] - mine.products[0], gallery[0] - query[0], atol=1e-9)
    plain = people(0)
    mine, _ = measure_sides(plain[0].astype(np.float32), plain[3].astype(np.float32), "euclidean", 2)
    assert mine.products is mine.values


@given(
    seed=st.integers(0, 10**6),
    spread=st.floats(1e-5, 0.3),
    metric=st.sampled_from(["euclidean", "cosine"]),
    outlier=st.booleans(),
)
def test_scores_of_centred_rows_stay_within_their_bound(seed, spread, metric, outlier):
    query, _, _, gallery, *_ = with_offset(people(seed, queries=4, gallery=40, dimension=200), spread)
    if outlier:
        gallery[seed % 40, seed % 200] += 1e6
    mine, theirs = measure_sides(query, gallery, metric, 1)
    assert mine.products is not mine.values
    scores = (0.5 * theirs.norms**2).astype(np.float32) - mine.products @ theirs.products.T
    bounds = product_bounds(200, largest_norm=theirs.norms.max())
    squares = exact_distances(ORACLES[metric](query), ORACLES[metric](gallery)) ** 2
    for row in range(4):
        for column in range(40):
            exact = (squares[row, column] - mine.norms[row] ** 2) / 2
            assert abs(scores[row, column] - exact) <= slack(squares[row, column], mine.norms[row], bounds)


def coarse(features):
    """Float32 numbers with eleven binary digits, so that integer multiples up to 4,096 are exact."""
    return features.astype(np.float16).astype(np.float32)


@given(seed=st.integers(0, 10**6), offset=st.sampled_from([0.0, 3.0]))
def test_multiples_of_a_row_rank_like_the_row_itself_under_cosine(seed, offset):
    query, ids, cameras, gallery, *labels = people(seed)
    query, gallery = coarse(query + offset), coarse(gallery + offset)
    gallery[35:] = gallery[:35]  # every row twice, so that there are ties to break
    factors = np.random.default_rng(seed).integers(1, 4096, (len(gallery), 1)).astype(np.float32)
    for evaluate in (evaluate_ranking, evaluate_reranked):
        plain = evaluate(query, ids, cameras, gallery, *labels, metric="cosine", top=70)
        longer = evaluate(query, ids, cameras, gallery * factors, *labels, metric="cosine", top=70)
        np.testing.assert_array_equal(plain.top_indices, longer.top_indices)
        np.testing.assert_array_equal(plain.average_precision, longer.average_precision)


def test_collinear_rows_are_equally_distant_and_a_multiple_of_the_query_is_at_distance_zero():
    row = np.array([[0.1, 0.7, -0.3, 0.2]], np.float32).astype(np.float16).astype(np.float32)
    others = row * np.array([[1], [3], [7], [1000], [-5], [-11]], np.float32)
    rows, query = measure_rows(others, "cosine", "gallery"), measure_rows(3 * row, "cosine", "query")
    found = squared_distances(query, np.zeros(6, int), rows, np.arange(6))
    assert found[:4].tolist() == [0.0] * 4
    assert found[4] == found[5] == pytest.approx(4.0)


def test_rows_of_zeros_are_at_distance_one_from_every_direction_and_tie():
    gallery = np.random.default_rng(0).standard_normal((60, 33)).astype(np.float32)
    gallery[50:] = 0.0
    ids = np.where(np.arange(60) == 30, 1, 2)
    zeros = evaluate_ranking(np.zeros((1, 33)), [1], [0], gallery, ids, np.ones(60, int), metric="cosine", top=60)
    # Zeros are at distance 0 from the zero query, everything else at 1: gallery order within each.
    assert zeros.top_indices[0].tolist() == [*range(50, 60), *range(50)]
    assert zeros.first_hit_rank.tolist() == [10 + 30 + 1]
    rows = measure_rows(gallery, "cosine", "gallery")
    assert squared_distances(rows, np.arange(50), rows, np.full(50, 55)).tolist() == [1.0] * 50
