"""CMC, mAP and mINP: computed by hand, compared with the slow protocol, and unchanged by whatever must not matter."""

import doctest
import tracemalloc

import numpy as np
import pytest
import torch
from evaluate_oracles import exact_distances, rank_slowly
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import InputError
from harness.reid import compiled
from harness.reid.evaluate import classification, evaluate_distances, evaluate_ranking, ranking, reranking, rows
from harness.reid.evaluate.bounds import product_bounds
from harness.reid.evaluate.scan import MANY_HITS, slack

TORCH_ON_CPU = "cpu:0"
"""Takes the code path for devices, on the CPU."""


def problem(seed, queries=12, gallery=60, dimension=9, copies=False, whole=False, shift=0.0):
    """Random features and labels, with junk, distractors and lone queries among them."""
    rng = np.random.default_rng(seed)
    draw = (lambda shape: rng.integers(-1, 2, shape)) if whole else rng.standard_normal
    query, others = draw((queries, dimension)) + shift, draw((gallery, dimension)) + shift
    if copies:
        others[gallery // 2 :] = others[rng.integers(0, gallery // 2, gallery - gallery // 2)]
        query[0] = others[0]
    ids, cameras = rng.integers(1, 6, queries), rng.integers(0, 3, queries)
    gallery_ids, gallery_cameras = rng.integers(-1, 5, gallery), rng.integers(0, 3, gallery)
    return query.astype(np.float32), ids, cameras, others.astype(np.float32), gallery_ids, gallery_cameras


def assert_as_explained(result, distances, labels, ap="step"):
    expected = rank_slowly(distances, *labels, ap=ap)
    np.testing.assert_allclose(result.average_precision, expected["ap"], rtol=1e-12)
    np.testing.assert_allclose(result.inp, expected["inp"], rtol=1e-12)
    np.testing.assert_array_equal(result.first_hit_rank, expected["first"])
    top = result.top_indices.shape[1]
    assert result.top_indices.tolist() == [(order + [-1] * top)[:top] for order in expected["top"]]
    valid = expected["first"] > 0
    assert (result.queries, result.valid_queries) == (len(valid), valid.sum())
    assert result.mAP == pytest.approx(expected["ap"][valid].mean(), abs=1e-12)
    assert result.mINP == pytest.approx(expected["inp"][valid].mean(), abs=1e-12)
    for rank in range(1, 51):
        assert result.cmc[rank - 1] == pytest.approx((expected["first"][valid] <= rank).mean(), abs=1e-12)


def labels_of(case):
    return case[1], case[2], case[4], case[5]


def assert_same(left, right):
    for name in ("average_precision", "inp", "first_hit_rank", "top_indices", "cmc"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))


def test_hand_values_of_one_query():
    # One query of identity 1, camera 0. By distance: junk, its own camera, RIGHT, distractor, RIGHT, wrong, RIGHT.
    distances = [[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]]
    ids, cameras = [-1, 1, 1, 0, 1, 2, 1], [1, 0, 1, 1, 2, 1, 1]
    step = evaluate_distances(distances, [1], [0], ids, cameras, top=4)
    # Junk and the query's own camera fall out: RIGHT at ranks 1, 3 and 5.
    assert step.mAP == pytest.approx((1 / 1 + 2 / 3 + 3 / 5) / 3)
    assert step.mINP == pytest.approx(3 / 5)
    assert step.first_hit_rank.tolist() == [1]
    assert step.top_indices.tolist() == [[2, 3, 4, 5]]
    # Precisions before the matches: 1 by definition, 1/2, 2/4.
    trapezoid = evaluate_distances(distances, [1], [0], ids, cameras, ap="trapezoid")
    assert trapezoid.mAP == pytest.approx(((1 + 1) / 2 + (1 / 2 + 2 / 3) / 2 + (2 / 4 + 3 / 5) / 2) / 3)
    assert (step.ap, trapezoid.ap) == ("step", "trapezoid")


def test_metrics_have_the_names_that_tables_use():
    result = evaluate_distances([[0.1, 0.2]], [1], [0], [2, 1], [1, 1])
    assert result.metrics() == {
        "mAP": 0.5,
        "rank1": 0.0,
        "rank5": 1.0,
        "rank10": 1.0,
        "rank20": 1.0,
        "mINP": 0.5,
        "valid_queries": 1,
    }
    assert result.cmc.tolist() == [0.0] + [1.0] * 49


@pytest.mark.parametrize("whole", [False, True], ids=["floats", "many ties"])
def test_many_matches_per_query_rank_like_few(whole):
    # Four identities among 1,400 items: about 250 matches per query, too many for a pass over each to pay off.
    case = problem(5, queries=6, gallery=1400, dimension=3, copies=True, whole=whole)
    query, _, _, gallery, gallery_ids, _ = case
    assert min(np.bincount(gallery_ids[gallery_ids > 0])[1:]) > MANY_HITS
    for query_chunk, gallery_chunk in ((1024, 2048), (4, 333)):
        result = evaluate_ranking(*case, query_chunk=query_chunk, gallery_chunk=gallery_chunk)
        assert_as_explained(result, exact_distances(query, gallery), labels_of(case))


@pytest.mark.parametrize("ap", ["step", "trapezoid"])
@pytest.mark.parametrize("device", ["cpu", TORCH_ON_CPU])
@pytest.mark.parametrize(
    "kind", [{}, {"copies": True}, {"whole": True, "dimension": 3}, {"shift": 4096.0, "copies": True}], ids=str
)
def test_features_rank_as_the_protocol_says(kind, device, ap):
    for seed in range(4):
        case = problem(seed, **kind)
        result = evaluate_ranking(*case, ap=ap, device=device, top=7)
        assert_as_explained(result, exact_distances(case[0], case[3]) ** 2, labels_of(case), ap)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_a_matrix_ranks_as_the_protocol_says(dtype):
    case = problem(1, copies=True)
    distances = exact_distances(case[0], case[3]).astype(dtype)
    assert_as_explained(evaluate_distances(distances, *labels_of(case)), distances, labels_of(case))


def test_integers_are_accepted_as_distances():
    case = problem(2)
    distances = np.random.default_rng(0).integers(0, 9, (12, 60))
    before = distances.copy()
    assert_as_explained(evaluate_distances(distances, *labels_of(case)), distances, labels_of(case))
    np.testing.assert_array_equal(distances, before)


@given(
    seed=st.integers(0, 10**6),
    query_chunk=st.integers(1, 20),
    gallery_chunk=st.integers(1, 80),
    threads=st.integers(1, 3),
    device=st.sampled_from(["cpu", TORCH_ON_CPU]),
    whole=st.booleans(),
)
def test_chunks_threads_and_devices_change_nothing(seed, query_chunk, gallery_chunk, threads, device, whole):
    case = problem(seed, whole=whole, copies=True)
    whole_sale = evaluate_ranking(*case, threads=1)
    pieces = evaluate_ranking(
        *case, query_chunk=query_chunk, gallery_chunk=gallery_chunk, threads=threads, device=device
    )
    assert_same(whole_sale, pieces)


@given(seed=st.integers(0, 10**6), data=st.data())
def test_the_order_of_a_gallery_without_ties_does_not_matter(seed, data):
    query, ids, cameras, gallery, gallery_ids, gallery_cameras = problem(seed)
    order = np.array(data.draw(st.permutations(range(len(gallery)))))
    first = evaluate_ranking(query, ids, cameras, gallery, gallery_ids, gallery_cameras)
    second = evaluate_ranking(query, ids, cameras, gallery[order], gallery_ids[order], gallery_cameras[order])
    np.testing.assert_array_equal(first.average_precision, second.average_precision)
    np.testing.assert_array_equal(first.top_indices, np.where(second.top_indices >= 0, order[second.top_indices], -1))


@given(seed=st.integers(0, 10**6), distractors=st.integers(1, 30))
def test_distractors_never_help_and_junk_never_matters(seed, distractors):
    query, ids, cameras, gallery, gallery_ids, gallery_cameras = problem(seed)
    more = np.random.default_rng(seed).standard_normal((distractors, query.shape[1])).astype(np.float32)

    def with_identity(identity):
        return evaluate_ranking(
            query,
            ids,
            cameras,
            np.concatenate([gallery, more]),
            np.concatenate([gallery_ids, np.full(distractors, identity)]),
            np.concatenate([gallery_cameras, np.zeros(distractors, int)]),
        )

    plain = evaluate_ranking(query, ids, cameras, gallery, gallery_ids, gallery_cameras)
    assert with_identity(0).mAP <= plain.mAP + 1e-15
    assert_same(with_identity(-1), plain)


def test_ties_are_broken_by_gallery_order():
    rng = np.random.default_rng(0)
    query = rng.standard_normal((1, 64)).astype(np.float32)
    gallery = np.repeat(rng.standard_normal((1, 64)).astype(np.float32), 300, axis=0)  # 300 copies of one box
    ids = np.full(300, 2)
    ids[[10, 250]] = 1
    for chunk in (1, 7, 64, 300):
        result = evaluate_ranking(query, [1], [0], gallery, ids, np.ones(300, int), gallery_chunk=chunk)
        assert result.first_hit_rank.tolist() == [11]
        assert result.mAP == pytest.approx((1 / 11 + 2 / 251) / 2)
        assert result.top_indices.tolist() == [list(range(10))]


def test_duplicates_of_the_query_are_at_distance_zero_in_gallery_order():
    query = np.random.default_rng(0).standard_normal((1, 257)).astype(np.float32)
    gallery = np.concatenate([query + 1, query, query, query])
    result = evaluate_ranking(query, [1], [0], gallery, [1, 2, 1, 3], [1, 1, 1, 1], top=4)
    assert result.top_indices.tolist() == [[1, 2, 3, 0]]
    assert result.mAP == pytest.approx((1 / 2 + 2 / 4) / 2)


def test_differences_lost_in_float32_products_still_rank():
    # |x|^2 = 3e10, so float32 scores are off by thousands; the distances are 1, 2, 3, ...
    base = np.full((1, 300), 10_000.0, np.float32)
    gallery = np.repeat(base, 40, axis=0)
    gallery[np.arange(40), np.arange(40)] += np.arange(40, 0, -1)
    result = evaluate_ranking(base, [1], [0], gallery, [1] + [2] * 39, [1] * 40, top=40)
    assert result.top_indices.tolist() == [list(range(39, -1, -1))]
    assert result.first_hit_rank.tolist() == [40]


def test_a_row_with_a_huge_norm_simply_comes_last():
    case = problem(3)
    case[3][5] = 1e15
    assert_as_explained(evaluate_ranking(*case), exact_distances(case[0], case[3]) ** 2, labels_of(case))


def test_tiny_features_rank_like_large_ones():
    query, ids, cameras, gallery, gallery_ids, gallery_cameras = problem(4)
    large = evaluate_ranking(query, ids, cameras, gallery, gallery_ids, gallery_cameras)
    factor = np.float32(2.0**-100)  # squares vanish in float32
    tiny = evaluate_ranking(query * factor, ids, cameras, gallery * factor, gallery_ids, gallery_cameras)
    assert_same(large, tiny)


@given(seed=st.integers(0, 10**6), dimension=st.integers(1, 700), offset=st.floats(-100, 100))
def test_float32_scores_stay_within_their_bound(seed, dimension, offset):
    rng = np.random.default_rng(seed)
    query = (rng.standard_normal((4, dimension)) + offset).astype(np.float32)
    gallery = (query[:1] + rng.standard_normal((30, dimension)) * rng.choice([1e-4, 1.0, 30.0])).astype(np.float32)
    halves = (0.5 * (gallery.astype(float) ** 2).sum(1)).astype(np.float32)
    scores = halves - query @ gallery.T
    norms = np.linalg.norm(query.astype(float), axis=1)
    bounds = product_bounds(dimension, largest_norm=np.linalg.norm(gallery.astype(float), axis=1).max())
    squares = exact_distances(query, gallery) ** 2
    exact = (squares - norms[:, None] ** 2) / 2
    for row in range(4):
        for column in range(30):
            bound = slack(squares[row, column], norms[row], bounds)
            assert abs(scores[row, column] - exact[row, column]) <= bound


def test_cosine_ranks_by_angle_whatever_the_norms():
    query, ids, cameras, gallery, gallery_ids, gallery_cameras = problem(5)
    lengths = np.random.default_rng(0).uniform(0.01, 100, (len(gallery), 1)).astype(np.float32)
    result = evaluate_ranking(query, ids, cameras, gallery * lengths, gallery_ids, gallery_cameras, metric="cosine")
    units = [
        side.astype(float) / np.linalg.norm(side.astype(float), axis=1, keepdims=True) for side in (query, gallery)
    ]
    assert_as_explained(result, 1 - units[0] @ units[1].T, (ids, cameras, gallery_ids, gallery_cameras))
    chunked = evaluate_ranking(
        query, ids, cameras, gallery * lengths, gallery_ids, gallery_cameras, metric="cosine", gallery_chunk=7
    )
    assert_same(result, chunked)


def test_rows_of_zeros_have_no_angle_and_do_not_disturb_the_others():
    gallery = [[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0]]
    result = evaluate_ranking([[2.0, 0.0]], [1], [0], gallery, [2, 3, 1], [1, 1, 1], metric="cosine", top=3)
    assert result.top_indices.tolist() == [[1, 0, 2]]  # squared distances 0, 1 and 4


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_of_any_float_type_are_features(dtype):
    query, ids, cameras, gallery, gallery_ids, gallery_cameras = problem(6)
    tensors = [torch.from_numpy(side).to(dtype).requires_grad_() for side in (query, gallery)]
    plain = [side.detach().float().numpy() for side in tensors]
    labels = [torch.from_numpy(values) for values in (ids, cameras, gallery_ids, gallery_cameras)]
    result = evaluate_ranking(tensors[0], labels[0], labels[1], tensors[1], labels[2], labels[3])
    assert_same(result, evaluate_ranking(plain[0], ids, cameras, plain[1], gallery_ids, gallery_cameras))


def test_strided_features_are_read_in_place():
    case = problem(7)
    strided = [np.asfortranarray(case[0]), np.repeat(case[3], 2, axis=1)[:, ::2]]
    assert_same(evaluate_ranking(*case), evaluate_ranking(strided[0], *case[1:3], strided[1], *case[4:]))


def test_identities_beyond_32_bits_stay_distinct():
    big = 2**40
    result = evaluate_ranking([[0.0]], [big + 1], [0], [[1.0], [2.0]], [1, big + 1], [1, 1])
    assert result.first_hit_rank.tolist() == [2]
    with pytest.raises(
        InputError, match="gallery_ids: found 18446744073709551615; expected at most 9223372036854775807"
    ):
        evaluate_ranking([[0.0]], [1], [0], [[1.0]], np.array([2**64 - 1], np.uint64), [1])


def test_a_query_without_a_match_is_counted_and_left_out():
    # Identity 9 is in the gallery only in the query's own camera; identity 8 not at all.
    result = evaluate_ranking([[0.0], [1.0], [2.0]], [1, 9, 8], [0, 0, 0], [[0.5], [1.0]], [1, 9], [1, 0])
    assert (result.queries, result.valid_queries, result.mAP) == (3, 1, 1.0)
    assert np.isnan(result.average_precision).tolist() == [False, True, True]
    assert np.isnan(result.inp).tolist() == [False, True, True]
    assert result.first_hit_rank.tolist() == [1, 0, 0]
    assert result.top_indices[1].tolist() == [0] + [-1] * 9  # its own box in its own camera is no match


def test_junk_is_left_out_wherever_it_is_in_the_gallery():
    case = problem(8)
    assert (case[4] == -1).sum() > 3
    order = np.argsort(case[4] == -1, kind="stable")  # junk last; the others keep their order
    moved = evaluate_ranking(*case[:3], case[3][order], case[4][order], case[5][order], gallery_chunk=16)
    np.testing.assert_array_equal(evaluate_ranking(*case).average_precision, moved.average_precision)


def test_no_rank_list_is_kept_for_a_top_of_zero():
    assert evaluate_ranking(*problem(9), top=0).top_indices.shape == (12, 0)


def test_progress_counts_every_block():
    calls = []
    evaluate_ranking(
        *problem(10), progress=lambda done, total: calls.append((done, total)), query_chunk=5, gallery_chunk=20
    )
    totals = {total for _, total in calls}
    assert len(totals) == 1
    assert [done for done, _ in calls] == list(range(1, totals.pop() + 1))


def test_an_error_in_a_progress_callback_reaches_the_caller():
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate_ranking(*problem(10), progress=interrupt)


def test_no_distance_matrix_is_kept():
    rng = np.random.default_rng(0)
    query, gallery = (rng.standard_normal((rows, 8), dtype=np.float32) for rows in (600, 40_000))
    ids = rng.integers(1, 50, 600), rng.integers(1, 5000, 40_000)
    arguments = (query, ids[0], np.zeros(600, int), gallery, ids[1], np.ones(40_000, int))
    evaluate_ranking(*problem(0))  # compiles
    tracemalloc.start()
    evaluate_ranking(*arguments, threads=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 600 * 40_000 * 4 / 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({0: np.zeros((0, 9))}, r"query features: found no rows; expected at least one"),
        ({3: np.zeros((0, 9)), 4: [], 5: []}, r"gallery features: found no rows"),
        ({0: np.zeros(9)}, r"query features: found shape \(9,\); expected \(rows, dimension\)"),
        ({0: np.zeros((12, 8))}, r"query rows have 8 values, gallery rows 9"),
        ({0: np.full((12, 9), "a")}, r"query features: found type <U1; expected floating-point numbers"),
        ({1: np.zeros(3, int)}, r"query_ids: found shape \(3,\); expected \(12,\)"),
        ({5: np.zeros(60)}, r"gallery_cameras: found type float64; expected integers or text"),
        ({4: np.full(60, -1)}, r"all 60 boxes are junk"),
    ],
)
def test_inputs_that_do_not_fit_are_reported(change, message):
    case = list(problem(11))
    for place, value in change.items():
        case[place] = value
    with pytest.raises(InputError, match=message):
        evaluate_ranking(*case)


def test_rows_that_are_not_finite_are_counted_and_named():
    case = problem(12, queries=20)
    case[0][[5, 9, 12], 3] = np.nan
    with pytest.raises(InputError, match=r"query features: 3 rows hold NaN \(rows 5, 9, 12\); expected finite numbers"):
        evaluate_ranking(*case)
    case = problem(12)
    case[3][7, 0], case[3][:12, 1] = np.inf, np.nan
    with pytest.raises(
        InputError, match=r"gallery features: 12 rows hold NaN \(rows 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, \.\.\.\)"
    ):
        evaluate_ranking(*case)
    case = problem(12)
    with pytest.raises(InputError, match=r"1 row holds infinity \(row 0\)"):
        evaluate_ranking(np.concatenate([[[1e300] * 9], case[0][1:]]), *case[1:])
    with pytest.raises(InputError, match=r"distances: 1 query row\(s\) hold NaN or infinity \(first: row 3\)"):
        evaluate_distances(np.where(np.arange(12)[:, None] == 3, np.nan, np.ones((12, 60))), *labels_of(case))


def test_norms_beyond_float32_products_are_refused():
    case = problem(13)
    case[3][4] = 1e30
    with pytest.raises(InputError, match=r"gallery features: row 4 has norm 3e\+30; expected 0e\+00 to 1e\+18"):
        evaluate_ranking(*case)


def test_a_single_camera_is_explained():
    case = problem(14)
    with pytest.raises(
        InputError, match=r"no query has a valid match: .* none of them in another camera .*cameras 0, gal"
    ):
        evaluate_ranking(case[0], case[1], np.zeros(12, int), case[3], case[4], np.zeros(60, int))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"metric": "cosin"}, 'metric "cosin": did you mean "cosine"'),
        ({"ap": "stp"}, 'ap "stp": did you mean "step"'),
        ({"top": -1}, "top: found -1; expected at least 0"),
        ({"threads": 0}, "threads: found 0; expected at least 1"),
        ({"device": "abacus"}, 'device "abacus": '),
        ({"device": "cuda:99"}, 'device "cuda:99": '),
    ],
)
def test_options_that_mean_nothing_are_refused(option, message):
    with pytest.raises(InputError, match=message):
        evaluate_ranking(*problem(15), **option)


def test_a_callers_fast_float32_setting_is_neither_used_nor_lost():
    torch.set_float32_matmul_precision("medium")
    try:
        case = problem(16, dimension=64)
        assert_same(evaluate_ranking(*case, device=TORCH_ON_CPU), evaluate_ranking(*case))
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_agrees_bit_for_bit():
    case = problem(17, queries=700, gallery=5000, dimension=256, copies=True)
    assert_same(evaluate_ranking(*case, device="cuda"), evaluate_ranking(*case))


def test_compilation_works_without_a_cache_folder(monkeypatch):
    def njit(**options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(compiled.numba, "njit", njit)
    assert compiled.compiled(abs)(-1) == 1


@pytest.mark.parametrize("module", [ranking, reranking, rows, classification], ids=lambda module: module.__name__)
def test_examples_in_docstrings_hold(module):
    assert doctest.testmod(module).failed == 0
