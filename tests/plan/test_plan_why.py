"""The nearest finished stage, and what makes the difference to it."""

from typing import Any

from harness.plan import Comparison, Difference, Stage
from harness.plan.why import Known
from harness.trainer import StageSpec


def stage(name: str, parent: str | None = None, code: str = "old", **settings: Any) -> Stage:
    return Stage.of(StageSpec(kind=name, name=name, settings=settings, code=("m:f",)), code, parent)


def compared(planned: list[Stage], finished: list[Stage], known: Known | None = None) -> Comparison:
    both = ({one.fingerprint: one for one in stages} for stages in (planned, finished))
    return Comparison(*both, known or Known())


def test_a_changed_setting_is_named_with_both_values() -> None:
    new, near = stage("train", lr=0.2, seed=0, model={"width": 8}), stage("train", lr=0.1, seed=0, model={"width": 8})
    far = stage("train", lr=0.1, seed=1, model={"width": 9})
    comparison = compared([new], [far, near])
    assert comparison.nearest(new) == near
    assert comparison.differences(new, near) == (Difference("setting", "lr", 0.1, 0.2),)


def test_a_stage_that_differs_in_its_code_alone_is_nearer_than_one_of_another_seed() -> None:
    new, same = stage("train", code="new", lr=0.1, seed=0), stage("train", lr=0.1, seed=0)
    other = stage("train", code="new", lr=0.1, seed=1)
    assert compared([new], [other, same]).nearest(new) == same


def test_parents_count_into_how_near_a_stage_is() -> None:
    """Evaluations have equal settings in every row: which one is near, their parents decide."""
    first, second = stage("train", lr=0.1, width=8), stage("train", lr=0.9, width=1)
    near, far = stage("score", first.fingerprint), stage("score", second.fingerprint)
    trained = stage("train", lr=0.1, width=9)
    new = stage("score", trained.fingerprint)
    comparison = compared([trained, new], [far, near, first, second])
    assert comparison.nearest(new) == near
    assert comparison.differences(new, near) == (Difference("parent", "train", "train", "train"),)


def test_what_changed_in_the_code_is_named_by_module_and_function() -> None:
    known = Known(
        {"old": {"m": {"f": "1", "g": "2"}, "gone": {"f": "1"}}, "new": {"m": {"f": "9", "g": "2", "h": "3"}}}
    )
    new, old = stage("train", code="new"), stage("train")
    assert compared([new], [old], known).differences(new, old) == (
        Difference("code", "gone", True, False),
        Difference("code", "m", True, True, ("f", "h")),
    )


def test_code_of_which_nothing_was_recorded_is_said_to_have_changed() -> None:
    new, old = stage("train", code="new"), stage("train")
    assert compared([new], [old]).differences(new, old) == (Difference("code", "", "old", "new"),)


def test_changed_data_is_named_by_its_part_with_the_numbers_of_files() -> None:
    known = Known(data={"abc": ("train", 750), "abd": ("train", 751)})
    new, old = stage("train", splits={"train": "abd"}), stage("train", splits={"train": "abc"})
    assert compared([new], [old], known).differences(new, old) == (Difference("data", "train", 750, 751),)


def test_there_is_nothing_near_a_stage_of_a_kind_that_never_ran() -> None:
    assert compared([new := stage("score")], [stage("train")]).nearest(new) is None
