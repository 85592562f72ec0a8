"""The ``settle:`` of a table: which comparisons are to be decided."""

import pytest

from harness.errors import InputError
from harness.matrix import load_matrix
from harness.matrix.matrix import Settle

CLAIMS = "claims:"


def settled(declare, text):
    return load_matrix(declare(table={CLAIMS: f"{text}\nclaims:"}), profile="paper").settle


def test_without_a_word_all_claims_are_settled(declare):
    assert load_matrix(declare(), profile="paper").settle == Settle(claims=("SAC helps",))


def test_a_table_that_claims_nothing_settles_its_matched_pairs(declare):
    line = "claims:\n  - {text: SAC helps, better: full, than: 2, metric: mAP, by: 1.0}\n"
    assert load_matrix(declare(table={line: ""}), profile="paper").settle == Settle(pairs=True)


def test_claims_by_name_margins_and_the_most_seeds(declare):
    found = settled(declare, "settle: {claims: [SAC helps], pairs: all, within: {mAP: 0.5}, max_seeds: 12}")
    assert found == Settle(claims=("SAC helps",), pairs=True, within={"mAP": 0.5}, max_seeds=12)


def test_claims_may_be_left_out(declare):
    assert settled(declare, "settle: {claims: none, pairs: all}") == Settle(pairs=True)


def test_a_margin_of_a_claim_is_kept(declare):
    matrix = load_matrix(declare(table={"by: 1.0": "within: 0.5"}), profile="paper")
    assert matrix.claims[0].within == 0.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{claims: al}", "settle.claims: expected all, none, or a list of claims by their text"),
        ("{claims: []}", "settle.claims: expected all, none, or a list of claims by their text"),
        ("{claims: [SAC help]}", 'settle.claims.0: "SAC help" is not a claim; did you mean "SAC helps"?'),
        ("{claims: none}", "settle: found neither claims nor pairs to settle, expected one of them"),
        ("{within: {map: 1}}", 'settle.within.map: "map" is not measured here; did you mean "mAP"?'),
        ("{within: {mAP: 0}}", "settle.within.mAP: found 0, expected a number above 0"),
        ("{max_seeds: 2}", "settle.max_seeds: found 2, expected a number of at least 3"),
    ],
)
def test_a_mistake_in_it_is_reported_with_its_place(declare, text, message):
    with pytest.raises(InputError) as refused:
        settled(declare, f"settle: {text}")
    assert str(refused.value).startswith(f"table.yaml:10: {message}")
