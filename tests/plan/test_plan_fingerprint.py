"""The identity of settings. To renew the golden values after a deliberate change (raise VERSION with it):
python tests/plan/test_plan_fingerprint.py
"""

import doctest
import json
import math
import os
import subprocess
import sys
import unicodedata
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.plan import fingerprint as compute
from harness.plan.fingerprint import canonical

GOLDEN: dict[str, Any] = {
    "none": None,
    "true": True,
    "one": 1,
    "one_point_zero": 1.0,
    "text_one": "1",
    "big": 2**70,
    "tenth": 0.1,
    "infinity": math.inf,
    "unicode": "日本 é",
    "empty_list": [],
    "empty_mapping": {},
    "nested": {"model": {"stride": 8, "levels": [4, 5, 6]}, "lr": 0.0001, "seed": 0, "stage6": False, "parent": None},
}
GOLDEN_FILE = Path(__file__).parent / "golden_fingerprints.json"

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def same(left: Any, right: Any) -> bool:
    """Equality of plain data as the module defines it, written down without any encoding."""
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return bool(left == right)


@pytest.mark.parametrize("name", GOLDEN)
def test_fingerprints_are_the_pinned_ones(name: str) -> None:
    assert compute(GOLDEN[name]) == json.loads(GOLDEN_FILE.read_text())[name]


def test_another_process_under_another_hash_seed_agrees() -> None:
    for seed in ("1", "4242"):
        done = subprocess.run(
            [sys.executable, __file__, "--print"],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(done.stdout) == json.loads(GOLDEN_FILE.read_text())


def test_values_of_different_types_differ() -> None:
    values = [None, False, True, 0, 1, 0.0, 1.0, "", "0", "1", "None", b"1", [], {}, [1], {"1": 1}, [[1]], [None]]
    assert len({compute(value) for value in values}) == len(values)


def test_neighbouring_pieces_do_not_run_into_each_other() -> None:
    pairs = [
        (["ab", "c"], ["a", "bc"]),
        ([[1], 2], [[1, 2]]),
        ({"a": "b"}, ["a", "b"]),
        ([1, 2], [12]),
        (["1;i2"], [1, 2]),
    ]
    for left, right in pairs:
        assert compute(left) != compute(right)


def test_a_tuple_is_a_list_and_any_mapping_a_dict() -> None:
    assert compute((1, (2,))) == compute([1, [2]])
    assert compute(MappingProxyType({"a": 1})) == compute({"a": 1})


def test_zero_has_no_sign_but_the_smallest_numbers_have() -> None:
    assert compute(-0.0) == compute(0.0)
    assert compute(5e-324) != compute(-5e-324) != compute(0.0)


def test_text_is_compared_code_point_by_code_point() -> None:
    assert compute(unicodedata.normalize("NFC", "é")) != compute(unicodedata.normalize("NFD", "é"))
    assert compute("\ud800") != compute("\ud801")


def test_nan_is_refused_with_its_place() -> None:
    with pytest.raises(ValueError, match=r"\$\.losses\.eps\[1\] is NaN"):
        compute({"losses": {"eps": [0.5, math.nan]}})


class Text(str):
    pass


@pytest.mark.parametrize("value", [object(), {1}, Text("a"), 1j, Path("a"), range(2)])
def test_unknown_types_are_refused_with_their_place(value: object) -> None:
    with pytest.raises(TypeError, match=rf"\$\.a\[0\] is of type {type(value).__name__}"):
        compute({"a": [value]})


def test_a_key_that_is_no_text_is_refused_with_its_place() -> None:
    with pytest.raises(TypeError, match=r"\$\.a has the key 1 of type int; expected str"):
        compute({"a": {1: 2}})


@given(plain, plain)
def test_fingerprints_are_equal_exactly_if_values_are(left: Any, right: Any) -> None:
    assert (compute(left) == compute(right)) == same(left, right)
    assert (canonical(left) == canonical(right)) == same(left, right)


@given(st.dictionaries(st.text(max_size=6), plain, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_keys_says_nothing(mapping: dict[str, Any], random: Any) -> None:
    keys = list(mapping)
    random.shuffle(keys)
    assert compute({key: mapping[key] for key in keys}) == compute(mapping)


def test_the_examples_in_the_docstrings_hold() -> None:
    from harness.plan import identifiable
    from harness.syntax import normalised

    module = sys.modules["harness.plan.fingerprint"]
    assert doctest.testmod(module).failed == 0
    assert doctest.testmod(identifiable).failed == 0
    assert doctest.testmod(sys.modules[normalised.__module__]).failed == 0


if __name__ == "__main__":
    computed = json.dumps({name: compute(value) for name, value in GOLDEN.items()}, indent=2)
    if "--print" in sys.argv:
        print(computed)
    else:
        GOLDEN_FILE.write_text(computed + "\n")
