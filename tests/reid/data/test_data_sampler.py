import doctest
import math
import time
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import InputError
from harness.reid.data import sampler
from harness.reid.data.sampler import identity_batches, shuffled_batches

_LABELS = st.lists(st.integers(1, 12), min_size=1, max_size=80).map(lambda labels: np.array(labels, dtype=np.int64))


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(sampler).failed == 0


@given(images=st.integers(1, 200), batch_size=st.integers(1, 50), seed=st.integers(0, 9))
def test_a_shuffled_epoch_shows_no_image_twice_and_leaves_out_less_than_a_batch(images, batch_size, seed):
    batches = shuffled_batches(images, batch_size, _generator(seed))
    size = min(batch_size, images)
    assert batches.shape == (images // size, size)
    assert len(np.unique(batches)) == batches.size
    assert batches.min() >= 0
    assert batches.max() < images
    assert np.array_equal(batches, shuffled_batches(images, batch_size, _generator(seed)))


def test_every_image_is_shown_in_some_epoch():
    shown = np.unique(np.concatenate([shuffled_batches(10, 8, _generator(seed)).ravel() for seed in range(20)]))
    assert shown.tolist() == list(range(10))


def test_no_images_are_an_error():
    with pytest.raises(InputError, match="cannot make batches of 4 from 0 images"):
        shuffled_batches(0, 4, _generator())


@given(labels=_LABELS, identities=st.integers(1, 6), images=st.integers(1, 5), seed=st.integers(0, 9))
def test_every_batch_holds_p_identities_with_k_images_each(labels, identities, images, seed):
    present = np.unique(labels)
    if len(present) < identities:
        with pytest.raises(InputError):
            identity_batches(labels, identities, images, _generator(seed))
        return
    batches = identity_batches(labels, identities, images, _generator(seed))
    counts = Counter(labels.tolist())
    assert batches.shape[1] == identities * images
    for batch in batches:
        shown = labels[batch].reshape(identities, images)
        assert (shown == shown[:, :1]).all()
        assert len(np.unique(shown[:, 0])) == identities
        for indices, identity in zip(batch.reshape(identities, images), shown[:, 0], strict=True):
            times = Counter(indices.tolist()).values()
            own = counts[int(identity)]
            if own >= images:
                assert max(times) == 1  # no image twice
            else:  # all images, as evenly as can be
                assert len(times) == own
                assert max(times) - min(times) <= 1
    visits = Counter(labels[batches[:, ::images]].ravel().tolist())
    assert set(visits) == set(present.tolist())
    wanted = {identity: max(1, (2 * own + images) // (2 * images)) for identity, own in counts.items()}
    assert len(batches) == math.ceil(sum(wanted.values()) / identities)
    extra = {identity: visits[identity] - min(wanted[identity], len(batches)) for identity in wanted}
    assert min(extra.values()) >= 0
    able = [extra[identity] for identity in wanted if visits[identity] < len(batches)]
    assert not able or max(able) >= max(extra.values()) - 1  # evenly
    assert np.array_equal(batches, identity_batches(labels, identities, images, _generator(seed)))


def test_all_images_of_an_identity_are_shown_before_any_is_shown_again():
    labels = np.repeat([5, 9], [8, 8])
    batches = identity_batches(labels, 2, 4, _generator())
    assert batches.shape == (2, 8)
    assert sorted(batches.ravel().tolist()) == list(range(16))


def test_the_length_of_an_epoch_by_hand():
    # Visits of K = 4: 8 images 2, 6 images round(1.5) = 2, 5 images round(1.25) = 1, 1 image max(1, 0) = 1; 6 in all.
    labels = np.repeat([1, 2, 3, 4], [8, 6, 5, 1])
    assert identity_batches(labels, 2, 4, _generator()).shape == (3, 8)
    # With P = 4: ceil(6 / 4) = 2 batches need 8 visits, two more than wanted, which the identities with one visit get.
    batches = identity_batches(labels, 4, 4, _generator())
    assert batches.shape == (2, 16)
    assert np.bincount(labels[batches[:, ::4]].ravel()).tolist() == [0, 2, 2, 2, 2]
    # With P = 3: 6 visits fill two batches.
    assert identity_batches(labels, 3, 4, _generator()).shape == (2, 12)


def test_exactly_as_many_identities_as_a_batch_needs_make_epochs_of_full_length():
    labels = np.repeat(np.arange(18), 20)
    assert identity_batches(labels, 18, 4, _generator()).shape == (5, 72)


def test_identities_with_few_images_do_not_shorten_the_epoch():
    # 9 identities want 10 visits, one wants 1: 91 visits make ceil(91 / 10) = 10 batches, so the one comes 10 times.
    labels = np.repeat(np.arange(10), [40] * 9 + [2])
    batches = identity_batches(labels, 10, 4, _generator())
    assert batches.shape == (10, 40)
    assert np.bincount(labels[batches[:, ::4]].ravel()).tolist() == [10] * 10


def test_epochs_of_market1501_show_about_all_images_and_take_milliseconds():
    generator = np.random.default_rng(0)
    labels = generator.permutation(np.concatenate([np.arange(751), generator.integers(0, 751, 12_936 - 751)]))
    started = time.process_time()
    batches = identity_batches(labels, 18, 4, _generator())
    seconds = time.process_time() - started
    assert abs(batches.size - 12_936) < 0.04 * 12_936
    assert len(np.unique(batches)) > 0.85 * 12_936
    assert seconds < 0.25  # 5 ms measured


def test_every_identity_shares_a_batch_with_every_other():
    labels = np.repeat(np.arange(12), 8)
    met = {
        tuple(pair)
        for seed in range(30)
        for batch in identity_batches(labels, 3, 4, _generator(seed))
        for pair in [sorted(labels[batch[[a, b]]]) for a, b in ((0, 4), (0, 8), (4, 8))]
    }
    assert len(met) == 12 * 11 // 2


def test_another_seed_gives_other_batches():
    labels = np.repeat(np.arange(12), 8)
    one, other = (identity_batches(labels, 3, 4, _generator(seed)) for seed in (0, 1))
    assert not np.array_equal(one, other)


def test_too_few_identities_are_reported_with_their_number():
    with pytest.raises(InputError) as error:
        identity_batches(np.array([1, 1, 2]), 3, 4, _generator())
    assert str(error.value) == (
        "a batch of 3 identities x 4 images cannot be drawn from 2 identities (3 images); "
        "expected at most 2 identities a batch"
    )
