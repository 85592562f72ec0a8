"""k-reciprocal re-ranking compared with a literal reading of the paper, and unchanged by whatever must not matter."""

import numpy as np
import pytest
import torch
from evaluate_oracles import rank_slowly, rerank_slowly
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import InputError
from harness.reid.evaluate import (
    evaluate_distances,
    evaluate_ranking,
    evaluate_reranked,
    k_reciprocal_distances,
    neighbours,
    reranking,
)
from harness.reid.evaluate.neighbours import find_neighbours, triangle
from harness.reid.evaluate.rows import measure_rows

TORCH_ON_CPU = "cpu:0"


def people(seed, queries=10, gallery=70, dimension=12, identities=6, copies=0):
    """Boxes around identities, as features with labels; the last ``copies`` gallery rows repeat earlier ones."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((identities + 1, dimension))
    ids, gallery_ids = rng.integers(1, identities + 1, queries), rng.integers(-1, identities + 1, gallery)
    query = centres[ids] + 0.6 * rng.standard_normal((queries, dimension))
    others = centres[gallery_ids] + 0.6 * rng.standard_normal((gallery, dimension))
    if copies:
        others[-copies:] = others[rng.integers(0, gallery - copies, copies)]
    return (
        query.astype(np.float32),
        ids,
        rng.integers(0, 3, queries),
        others.astype(np.float32),
        gallery_ids,
        rng.integers(0, 3, gallery),
    )


PARAMETERS = [(20, 6, 0.3), (5, 3, 0.3), (1, 1, 0.5), (7, 1, 0.0), (20, 6, 0.0), (3, 9, 1.0), (500, 6, 0.3)]


@pytest.mark.parametrize(("k1", "k2", "lambda_"), PARAMETERS)
@pytest.mark.parametrize("device", ["cpu", TORCH_ON_CPU])
@pytest.mark.parametrize("copies", [0, 30])
def test_distances_and_rankings_are_those_of_the_paper(k1, k2, lambda_, device, copies):
    query, ids, cameras, gallery, gallery_ids, gallery_cameras = case = people(k1, copies=copies)
    options = {"k1": k1, "k2": k2, "lambda_": lambda_, "device": device}
    slow = rerank_slowly(query, gallery, k1, k2, lambda_)
    np.testing.assert_allclose(k_reciprocal_distances(query, gallery, **options), slow, atol=1e-6)

    kept = gallery_ids != -1  # junk takes no part in the neighbourhoods
    slow = rerank_slowly(query, gallery[kept], k1, k2, lambda_).round(12)
    expected = rank_slowly(slow, ids, cameras, gallery_ids[kept], gallery_cameras[kept])
    result = evaluate_reranked(*case, **options)
    np.testing.assert_allclose(result.average_precision, expected["ap"], atol=1e-12)
    np.testing.assert_array_equal(result.first_hit_rank, expected["first"])
    indices = np.flatnonzero(kept)
    assert result.top_indices.tolist() == [indices[order[:10]].tolist() for order in expected["top"]]


def test_hand_values_of_two_pairs():
    # Four rows on a line: query 0 and gallery 0.1, query 10 and gallery 10.1; k1 = k2 = 1.
    distances = k_reciprocal_distances([[0.0], [10.0]], [[0.1], [10.1]], k1=1, k2=1, lambda_=0.3)
    # k1 = 1: a row's set is itself and its nearest; both pairs are reciprocal. round(1 / 2) = 0: half sets are the row
    # alone and add nothing. Weights of query 0: exp(0) and exp(-d) with d = (0.1 / 10.1)^2; of its partner: the
    # same with its own largest distance, 10.
    d, partner = (0.1 / 10.1) ** 2, (0.1 / 10.0) ** 2
    mine = np.array([1, np.exp(-d)]) / (1 + np.exp(-d))
    theirs = np.array([np.exp(-partner), 1]) / (1 + np.exp(-partner))
    jaccard = 1 - np.minimum(mine, theirs).sum() / np.maximum(mine, theirs).sum()
    assert distances[0, 0] == pytest.approx(0.7 * jaccard + 0.3 * d, abs=1e-7)
    assert distances[0, 1] == pytest.approx(0.7 + 0.3 * 1.0, abs=1e-7)  # nothing shared; the farthest in its row


def test_plain_distances_are_squared_once():
    # With lambda = 1 only the original distance remains: squared, divided by the row's largest square.
    distances = k_reciprocal_distances([[0.0]], [[1.0], [2.0], [4.0]], lambda_=1.0)
    np.testing.assert_allclose(distances, [[1 / 16, 4 / 16, 16 / 16]], rtol=1e-6)


@pytest.mark.parametrize("lambda_", [0.0, 0.3, 1.0])
def test_the_streamed_evaluation_agrees_with_the_matrix(lambda_):
    case = people(3, queries=60, gallery=600, dimension=32, identities=40)
    streamed = evaluate_reranked(*case, lambda_=lambda_)
    kept = case[4] != -1
    matrix = k_reciprocal_distances(case[0], case[3][kept], lambda_=lambda_)
    assert evaluate_distances(matrix, case[1], case[2], case[4][kept], case[5][kept]).mAP == pytest.approx(
        streamed.mAP, abs=1e-6 if lambda_ else 1e-4
    )  # Jaccard alone ties, except for float32 rounding


def test_lambda_one_gives_the_ranking_without_reranking():
    case = people(4)
    np.testing.assert_array_equal(
        evaluate_reranked(*case, lambda_=1.0).average_precision, evaluate_ranking(*case).average_precision
    )


def test_cosine_normalises_the_rows():
    query, ids, cameras, gallery, *labels = people(5)
    units = [side / np.linalg.norm(side.astype(float), axis=1, keepdims=True) for side in (query, gallery)]
    np.testing.assert_allclose(
        k_reciprocal_distances(query, gallery, metric="cosine"), rerank_slowly(*units), atol=1e-5
    )
    assert evaluate_reranked(query, ids, cameras, gallery, *labels, metric="cosine").mAP == pytest.approx(
        evaluate_reranked(units[0], ids, cameras, units[1], *labels).mAP, abs=1e-6
    )


@given(
    seed=st.integers(0, 10**6),
    block=st.integers(3, 90),
    threads=st.integers(1, 3),
    copies=st.sampled_from([0, 40]),
    device=st.sampled_from(["cpu", TORCH_ON_CPU]),
)
def test_neighbours_are_exact_for_any_block_size_on_any_device(seed, block, threads, copies, device):
    query, _, _, gallery, *_ = people(seed, copies=copies)
    values = np.concatenate([query, gallery])
    rows = measure_rows(values, "euclidean", "all")
    squares = ((values[:, None].astype(float) - values[None].astype(float)) ** 2).sum(2)
    for count in (1, 6, 30, 100):
        found = find_neighbours(rows, count, device=device, threads=threads, progress=None, block=block)
        expected = np.argsort(squares, axis=1, kind="stable")[:, :count]
        np.testing.assert_array_equal(found.index, expected)
        np.testing.assert_allclose(found.farthest_sq, squares.max(axis=1), rtol=1e-12)


def test_products_with_the_gallery_are_kept_on_request():
    rng = np.random.default_rng(0)
    rows = measure_rows(rng.integers(-3, 4, (50, 5)).astype(np.float32), "euclidean", "all")
    for queries in (1, 7, 16, 40, 49):
        products = np.full((queries, 50 - queries), np.nan, np.float32)
        find_neighbours(rows, 5, device="cpu", threads=2, progress=None, products=products, block=8)
        np.testing.assert_array_equal(products, rows.values[:queries] @ rows.values[queries:].T)


@pytest.mark.parametrize("lambda_", [0.0, 0.3])
def test_recomputing_the_products_changes_nothing(monkeypatch, lambda_):
    case = people(6, queries=40, gallery=300, dimension=40)
    kept = evaluate_reranked(*case, lambda_=lambda_)
    monkeypatch.setattr(reranking, "KEPT_BYTES", 0)
    again = evaluate_reranked(*case, lambda_=lambda_, threads=2)
    np.testing.assert_array_equal(kept.average_precision, again.average_precision)
    np.testing.assert_array_equal(kept.top_indices, again.top_indices)


def test_every_pair_of_rows_is_visited_once():
    met = np.zeros((23, 23), int)
    for left, right in triangle(23, 5):
        met[left, right] += 1
        if left != right:
            met[right, left] += 1
    assert (met == 1).all()


def test_features_that_are_all_equal_fall_back_to_gallery_order():
    result = evaluate_reranked(
        np.ones((3, 4)), [1, 2, 3], [0, 0, 0], np.ones((90, 4)), np.repeat([1, 2, 3], 30), np.ones(90, int), top=3
    )
    slow = rerank_slowly(np.ones((3, 4)), np.ones((90, 4))).round(12)
    expected = rank_slowly(slow, [1, 2, 3], [0, 0, 0], np.repeat([1, 2, 3], 30), np.ones(90, int))
    np.testing.assert_allclose(result.average_precision, expected["ap"])


def test_reranking_raises_map_where_neighbours_agree():
    case = people(7, queries=60, gallery=700, dimension=16, identities=30)
    assert evaluate_reranked(*case).mAP > evaluate_ranking(*case).mAP + 0.02


def test_progress_covers_both_halves():
    calls = []
    evaluate_reranked(*people(8), progress=lambda done, total: calls.append((done, total)))
    assert calls == [(done, len(calls)) for done in range(1, len(calls) + 1)]
    assert len(calls) >= 2


def test_tensors_and_small_float_types_are_accepted():
    query, _, _, gallery, *_ = people(9)
    halves = torch.from_numpy(query).half(), torch.from_numpy(gallery).half()
    plain = [side.float().numpy() for side in halves]
    np.testing.assert_array_equal(k_reciprocal_distances(*halves), k_reciprocal_distances(*plain))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k1": 0}, "k1: found 0; expected at least 1"),
        ({"k2": -1}, "k2: found -1; expected at least 1"),
        ({"lambda_": 1.5}, "lambda: found 1.5; expected 0 to 1"),
        ({"lambda_": float("nan")}, "lambda: found nan; expected 0 to 1"),
        ({"metric": "manhattan"}, 'metric "manhattan": expected one of: cosine, euclidean'),
        ({"device": "abacus"}, 'device "abacus"'),
    ],
)
def test_parameters_that_mean_nothing_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        evaluate_reranked(*people(10), **options)


def test_a_bad_gallery_row_after_junk_is_named_by_the_callers_number():
    case = people(11)
    case[4][:8] = -1
    case[3][10, 0] = np.nan
    with pytest.raises(InputError, match=r"gallery features: 1 row holds NaN \(row 10\)"):
        evaluate_reranked(*case)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_agrees_bit_for_bit():
    case = people(12, queries=300, gallery=3000, dimension=128, identities=100)
    gpu, cpu = evaluate_reranked(*case, device="cuda"), evaluate_reranked(*case)
    np.testing.assert_array_equal(gpu.average_precision, cpu.average_precision)
    np.testing.assert_array_equal(gpu.top_indices, cpu.top_indices)


def test_spare_candidates_do_not_affect_the_result(monkeypatch):
    case = people(13, copies=40)
    plain = evaluate_reranked(*case)
    monkeypatch.setattr(neighbours, "SPARE", 0)  # every row is in doubt and fully computed
    np.testing.assert_array_equal(evaluate_reranked(*case).average_precision, plain.average_precision)
