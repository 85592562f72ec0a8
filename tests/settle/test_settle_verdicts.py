"""Which comparisons a look decides."""

from harness.settle.verdicts import Budget, Comparison, Evidence, Found, decide

PLAIN = Comparison("a", "b", "score")
MARGIN = Comparison("a", "b", "score", within=0.5)


def found(difference: float, equality: float = 1.0, direction: float = 1.0) -> Found:
    return Found(difference, direction, equality)


def test_without_margins_differences_have_the_whole_error() -> None:
    assert Budget.of([PLAIN], 0.05) == Budget(0.05, 0.0)
    assert Budget.of([PLAIN, MARGIN], 0.05) == Budget(0.025, 0.025)


def test_holm_frees_what_a_decided_difference_does_not_need() -> None:
    # 0.015 * 3 = 0.045; 0.02 * 2 = 0.04, made monotone 0.045; 0.06 stays open.
    verdicts = decide([PLAIN] * 3, [found(0.02, direction=-1), found(0.015), found(0.06)])
    assert verdicts == ["worse", "better", "open"]


def test_an_equality_frees_nothing_for_differences() -> None:
    # The second is 0.02 * 2 = 0.04 > 0.025, although the first is decided.
    assert decide([MARGIN] * 2, [found(0.9, 0.001), found(0.02)]) == ["practically equal", "open"]


def test_a_difference_that_lies_within_the_margin_is_practically_none() -> None:
    assert decide([MARGIN], [found(0.001, 0.001)]) == ["practically equal"]


def test_only_comparisons_with_a_margin_count_among_the_equalities() -> None:
    # 0.02 * 1 <= 0.025, though there are three comparisons.
    assert decide([PLAIN, MARGIN, PLAIN], [found(1.0), found(1.0, 0.02), found(1.0)])[1] == "practically equal"


def test_the_direction_is_that_of_the_look_that_decides() -> None:
    one = Found()
    one.add(Evidence(3, -0.4, 0.0001), 0.15)
    one.add(Evidence(4, +0.1, 0.2), 0.1275)
    assert (one.difference, one.direction) == (0.0001 / 0.15, -0.4)
