"""Which comparisons a look decides."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from harness.settle.verdicts import Comparison, Evidence, Found, decide

PLAIN = Comparison("a", "b", "score")
MARGIN = Comparison("a", "b", "score", within=0.5)
P_VALUES = st.sampled_from([0.001, 0.01, 0.012, 0.013, 0.016, 0.02, 0.024, 0.026, 0.04, 0.051, 0.9])


def found(difference: float, equality: float = 1.0, direction: float = 1.0) -> Found:
    return Found(difference, direction, equality)


def test_holm_frees_what_a_decided_difference_does_not_need() -> None:
    # 0.015 * 3 = 0.045; 0.02 * 2 = 0.04, made monotone 0.045; 0.06 stays open.
    verdicts = decide([PLAIN] * 3, [found(0.02, direction=-1), found(0.015), found(0.06)])
    assert verdicts == ["worse", "better", "open"]


def test_one_comparison_has_the_whole_error_for_both_of_its_hypotheses() -> None:
    # They cannot be true together: 0.04 <= 0.05 whichever it is.
    assert decide([MARGIN], [found(0.04, 0.9)]) == ["better"]
    assert decide([MARGIN], [found(0.9, 0.04)]) == ["practically equal"]


def test_a_decided_comparison_frees_nothing_while_its_other_hypothesis_may_be_true() -> None:
    # The second is weighed against max(0.9, 0.001): 0.03 * 2 = 0.06 > 0.05, although the first is decided.
    assert decide([MARGIN] * 2, [found(0.9, 0.001), found(0.03, 1.0)]) == ["practically equal", "open"]
    assert decide([MARGIN] * 2, [found(0.001, 0.9), found(0.03, 1.0)]) == ["better", "open"]
    # Without a margin, or once both are refuted, it frees its part: 0.03 * 1 <= 0.05.
    assert decide([PLAIN, MARGIN], [found(0.001), found(0.03, 1.0)]) == ["better", "better"]
    assert decide([MARGIN] * 2, [found(0.001, 0.002), found(0.03, 1.0)]) == ["practically equal", "better"]


@given(st.data())
def test_it_is_the_closed_test_written_out(data: st.DataObject) -> None:
    """A hypothesis is rejected where Bonferroni's test rejects every set that holds it and can be true at once."""
    sets = st.lists(st.tuples(st.booleans(), P_VALUES, P_VALUES), min_size=1, max_size=4)
    drawn = data.draw(sets)
    comparisons = [MARGIN if margin else PLAIN for margin, _, _ in drawn]
    given_ = [found(difference, equality if margin else 1.0) for margin, difference, equality in drawn]

    def rejected(index: int, p_value: float) -> bool:
        choices = [
            [(p_value,)] if place == index else [(), (difference,), *([(equality,)] if margin else [])]
            for place, (margin, difference, equality) in enumerate(drawn)
        ]
        for chosen in itertools.product(*choices):
            together = [p for one in chosen for p in one]
            if min(together) * len(together) > 0.05:
                return False
        return True

    for index, verdict in enumerate(decide(comparisons, given_)):
        margin, difference, equality = drawn[index]
        equal, differs = margin and rejected(index, equality), rejected(index, difference)
        assert verdict == ("practically equal" if equal else "better" if differs else "open")


def test_a_difference_that_lies_within_the_margin_is_practically_none() -> None:
    assert decide([MARGIN], [found(0.001, 0.001)]) == ["practically equal"]


def test_the_direction_is_that_of_the_look_that_decides() -> None:
    one = Found()
    one.add(Evidence(3, -0.4, 0.0001), 0.13)
    one.add(Evidence(4, +0.1, 0.2), 0.117)
    assert (one.difference, one.direction) == (0.0001 / 0.13, -0.4)
